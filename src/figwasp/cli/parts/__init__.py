"""Floor 7: parts of commands, too large for their modules: what `figwasp doctor` tries, the bar of `figwasp compile`."""
