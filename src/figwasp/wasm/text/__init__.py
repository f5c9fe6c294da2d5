"""Floor 1: the text format (spec 6): tokens, and the literals that both directions share."""
