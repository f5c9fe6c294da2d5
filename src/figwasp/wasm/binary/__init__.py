"""Floor 1: the binary format (spec 5)."""
