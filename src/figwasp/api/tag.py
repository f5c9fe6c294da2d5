"""Floor 5: tags. `Tag` is made below; this is where users find it."""

from __future__ import annotations

from figwasp.runtime.objects.tag import Tag

__all__ = ["Tag"]
