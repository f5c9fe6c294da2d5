"""Floor 2: the SSA form interpreted: the meaning that machine code is checked against."""
