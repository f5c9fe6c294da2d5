"""Floor 3: all that is known of x86-64."""
