"""One module a type, one function an operation.

The protocol ends here: callers get values, not replies.
"""
