"""Floor 6: running the scripts of the specification's test suite."""
