"""Floor 4: the operating system and the Python interpreter: memory, stacks, executable code, object layouts."""
