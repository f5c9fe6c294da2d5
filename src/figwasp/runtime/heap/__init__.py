"""Floor 4: the garbage-collected heap of a store, as Python sees it."""

from __future__ import annotations
