"""One module a type, one function an operation. Here the protocol ends: callers see values, not
replies.
"""
