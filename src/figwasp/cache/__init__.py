"""Floor 4: a folder on the disk that keeps what has been compiled, from process to process.

Nothing in it is needed, and nothing in it is believed: what is missing, damaged, foreign or old is compiled again and written
anew.
"""
