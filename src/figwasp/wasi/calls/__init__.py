"""Floor 6: the functions of WASI preview 1."""
