"""The shared types over fakeredis."""
