"""Proxies on their way to other processes, programs and hosts."""
