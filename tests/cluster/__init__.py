"""A cluster: where calls go, what its servers answer to what belongs elsewhere, and moves."""
