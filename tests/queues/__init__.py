"""How long shared objects live, and what keeps them."""
