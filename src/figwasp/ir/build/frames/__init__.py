"""Floor 2: locals in frames: of functions whose SSA form would be out of proportion, and of those entered from other code."""
