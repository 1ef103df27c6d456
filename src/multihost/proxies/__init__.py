"""What users hold: one module a family of types. Nothing here knows a key name or a reply."""
