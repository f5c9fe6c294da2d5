"""Floor 4: the code between Python and WebAssembly, as IR."""
