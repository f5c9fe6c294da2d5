"""Floor 4: the garbage-collected heap as IR: allocation, marking, sweeping."""

from __future__ import annotations
