"""Floor 7: what belongs to `figwasp run` alone: its options, its execution, what it tells on the way."""
