"""Floor 4: states of instances, kept to go back to or to begin with: what is taken, and how it is put in place.

docs/decisions/030 has what a state consists of.
"""
