"""Floor 1: from a decoded module to the text format (spec 6)."""
