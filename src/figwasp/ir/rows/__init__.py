"""Floor 2: the rows of the table of IR operations that are not in `ops.py` itself."""
