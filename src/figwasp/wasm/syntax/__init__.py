"""Floor 1: what a module consists of: types, instructions, names, limits (spec 2)."""
