"""Floor 7: the parts of `figwasp run` alone: its options, its execution, its messages on the way."""
