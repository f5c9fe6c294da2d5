"""Floor 4: memory, executable code, traps, instances."""
