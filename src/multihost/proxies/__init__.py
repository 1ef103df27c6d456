"""Proxies, one module a type. None of them knows the name of a key or the code of a reply."""
