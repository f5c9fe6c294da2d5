"""Floor 4: modules as a whole: all their functions compiled, in several processes, and the form of that for files."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAGIC: Final = b"\x7ffigwmod"
"""What a serialized module begins with, and no module in the binary or the text format."""
