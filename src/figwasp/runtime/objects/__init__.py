"""Floor 4: what a running program consists of: instances, functions, memories, tables, globals, stores (spec 4.2)."""
