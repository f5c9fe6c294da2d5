"""Floor 1: what debug information and names say of code: DWARF, demangling, places for people."""
