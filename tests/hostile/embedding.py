"""Python code that does to figwasp what it should not: cases for `test_embedding`, each run in a process of its own.

A case asserts what must come of it. Whatever else it does to the process, a crash above all, the test sees. The cases stand by kind in
`embedding_calls`, `embedding_exceptions`, `embedding_lifetimes` and `embedding_objects`; importing those makes the list.
"""

from __future__ import annotations

from tests.hostile import embedding_calls, embedding_exceptions, embedding_lifetimes, embedding_objects
from tests.hostile.embedding_guest import CASES

__all__ = ["CASES", "KINDS"]

KINDS = (embedding_calls, embedding_exceptions, embedding_lifetimes, embedding_objects)
