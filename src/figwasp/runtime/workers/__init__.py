"""Floor 4: other processes that compile for this one."""
