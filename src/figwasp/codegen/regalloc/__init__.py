"""Floor 3: register allocation: live ranges, assignment, spilling, rewriting, and the checker of all that."""
