"""The command line, and what it reads from a server."""
