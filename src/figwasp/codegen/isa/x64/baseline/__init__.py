"""Floor 3: x86-64's part of the baseline tier."""
