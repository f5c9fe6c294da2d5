"""Floor 3: the machines, and what a row of an instruction table means for all of them."""
