"""The shared types on every server there is."""
