"""Floor 1: validation (spec 3)."""
