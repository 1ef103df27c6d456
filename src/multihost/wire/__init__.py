"""What the server sees: connections, keys, bytes, scripts. Nothing here knows a proxy."""
