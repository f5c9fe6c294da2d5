"""Floor 2: simplification and value numbering, and its rules."""
