"""Floor 3: the baseline tier: code put together of templates, in one pass over the bytes of a body."""
