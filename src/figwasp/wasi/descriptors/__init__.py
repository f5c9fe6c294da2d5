"""Floor 6: the kinds of file descriptors that a guest can have."""
