"""Floor 4: how calls end early: traps, their backtraces, deadlines."""
