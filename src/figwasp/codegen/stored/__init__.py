"""Floor 3: forms of compiled code for other processes and for files."""
