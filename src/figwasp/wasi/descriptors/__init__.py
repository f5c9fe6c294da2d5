"""Floor 6: what the file descriptors of a guest stand for."""
