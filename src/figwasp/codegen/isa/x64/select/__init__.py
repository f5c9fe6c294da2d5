"""Floor 3: instruction selection for x86-64, a module for each kind of operation."""
