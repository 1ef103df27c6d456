"""Objects that live in a process, and the managers that serve them."""
