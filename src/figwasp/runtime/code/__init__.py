"""Floor 4: from a function of a module to code in place: compiling on first call, ahead, and under a listener."""
