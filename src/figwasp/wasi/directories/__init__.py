"""Floor 6: file systems for guests: of the host, in memory, read-only, and several laid over each other."""
