"""Floor 2: from validated bytes to SSA form."""
