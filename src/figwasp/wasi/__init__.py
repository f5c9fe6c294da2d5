"""Floor 6: WASI preview 1 in pure Python, written against memory as a buffer and host functions as plain callables."""

from figwasp.wasi.preview1 import WASI

__all__ = ["WASI"]
