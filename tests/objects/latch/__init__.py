"""A primitive as one would add it: Lua files, operations, a proxy, a factory, and a row."""
