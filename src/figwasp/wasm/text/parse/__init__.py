"""Floor 1: from the text format to the binary format (spec 6)."""
