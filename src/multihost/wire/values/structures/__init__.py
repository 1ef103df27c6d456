"""What makes a key equal to others that are of no builtin type: rules, by class."""
