"""Floor 6: the products of the compiler's line for one function, written down as they are made.

In: a function in SSA form. Out: a `Compilation`: for every stage a `Product`, its text from the printers that the golden tests
use, its size and the time the stage took. The line is `codegen.pipeline`, run with a trace; later stages change what earlier ones
made, so a product is text, and lines of text with the byte offsets of their wasm instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from time import perf_counter

from figwasp.codegen import pipeline, text
from figwasp.codegen.code import Code
from figwasp.codegen.emit import Origin
from figwasp.codegen.mach import SLOT, VIRTUAL, MFunc
from figwasp.codegen.target import Target
from figwasp.explain.listing import code_instructions, code_text, heading
from figwasp.ir import text as ir_text
from figwasp.ir.func import Func

Line = tuple[int, str]
"""A byte offset in the binary, 0 for none, and a line of text."""


class Product:
    """The product of a stage.

    Attributes:
        name: of the stage.
        text: as its printer writes it; `str()` of the product.
        size: in words, "3 blocks, 12 values".
        seconds: the time of the stage, or None for a product that is only printed.
        blocks: per block, its lines: the heading, then one for each instruction.
    """

    __slots__ = ("blocks", "name", "seconds", "size", "text")

    def __init__(
        self, name: str, text: str, size: str = "", seconds: float | None = None, blocks: list[list[Line]] | None = None
    ) -> None:
        self.name = name
        self.text = text
        self.size = size
        self.seconds = seconds
        self.blocks: list[list[Line]] = blocks or []

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.size}>"


class CodeProduct(Product):
    """The bytes.

    Attributes:
        code: the code that would be installed, but for its relocations.
        instructions: its disassembly.
    """

    __slots__ = ("_heading", "_origins", "_target", "code", "instructions")

    def __init__(
        self,
        name: str,
        code: Code,
        target: Target,
        origins: list[Origin],
        seconds: float | None,
        heading: Callable[[int], str] = heading,
    ) -> None:
        """Disassemble code; `heading`: what stands above the code of a block."""
        self._target, self._origins, self._heading = target, origins, heading
        self.code = code
        self.instructions = code_instructions(code, target, origins)
        size = f"{_count(len(self.instructions), 'instruction')}, {_count(code.text_size, 'byte')}"
        if len(code.data) > code.text_size:
            size += f" and {len(code.data) - code.text_size} of constants"
        super().__init__(name, code_text(code, self.instructions, heading), size, seconds)

    def installed(self, data: bytes) -> CodeProduct:
        """Return the same of the bytes that have been installed, which are read from memory."""
        code = copy(self.code)
        code.data = data
        return CodeProduct("installed", code, self._target, self._origins, None, self._heading)


class Compilation:
    """A function's way from SSA form to bytes.

    Attributes:
        ssa: the form as built.
        passes: the form after each pass.
        select: machine instructions over virtual registers.
        allocate: the same over physical registers and spill slots.
        frame: the heading of the function, now with the frame's size.
        code: the bytes.
    """

    __slots__ = ("allocate", "code", "frame", "passes", "select", "ssa")

    def __init__(self, ssa: Product, tracer: _Tracer) -> None:
        self.ssa = ssa
        self.passes = tracer.products[:-3]
        self.select, self.allocate, self.frame = tracer.products[-3:]
        self.code = tracer.code

    @property
    def products(self) -> list[Product]:
        """All of them in the order in which they were made."""
        return [self.ssa, *self.passes, self.select, self.allocate, self.frame, self.code]

    @property
    def final(self) -> Product:
        """The SSA form that selection gets."""
        return self.passes[-1] if self.passes else self.ssa

    def __str__(self) -> str:
        return f"{self.final}{self.code}"


def compile(func: Func, target: Target, seconds: float) -> Compilation:
    """Run the line over a function and keep every product.

    Args:
        func: the function; it is consumed.
        target: the machine.
        seconds: what building it took.
    """
    ssa = _ssa("ssa", func, seconds)
    tracer = _Tracer(target)
    pipeline.compile(func, target, tracer)
    return Compilation(ssa, tracer)


class _Tracer(pipeline.Trace):
    """Writes the products down; its clock stands still while it does."""

    __slots__ = ("_clock", "_target", "code", "products")

    code: CodeProduct

    def __init__(self, target: Target) -> None:
        self.products: list[Product] = []
        self._target = target
        self._clock = perf_counter()

    def improved(self, name: str, func: Func) -> None:
        seconds = perf_counter() - self._clock
        self.products.append(_ssa(name.replace(" ", "-"), func, seconds))
        self._clock = perf_counter()

    def selected(self, func: MFunc) -> None:
        self._machine("select", func, f", {_count(len(func.types) - VIRTUAL, 'virtual register')}")

    def allocated(self, func: MFunc) -> None:
        self._machine(
            "allocate", func, f", {_count(func.num_slots, 'spill slot')}, {_count(_slot_uses(func), 'use')} of them"
        )

    def framed(self, func: MFunc) -> None:
        seconds = perf_counter() - self._clock
        head = text.head(func, self._target) + "\n"
        self.products.append(Product("frame", head, _count(func.frame_size, "byte"), seconds))
        self._clock = perf_counter()

    def emitted(self, code: Code, origins: list[Origin]) -> None:
        seconds = perf_counter() - self._clock
        self.code = CodeProduct("code", code, self._target, origins, seconds)

    def _machine(self, name: str, func: MFunc, more: str) -> None:
        seconds = perf_counter() - self._clock
        shown = text.show(func, self._target)
        blocks = _join(shown, [[inst.pos for inst in block.code] for block in func.blocks])
        count = sum(len(block) - 1 for block in blocks)
        size = f"{_count(len(blocks), 'block')}, {_count(count, 'instruction')}{more}"
        self.products.append(Product(name, shown, size, seconds, blocks))
        self._clock = perf_counter()


def _ssa(name: str, func: Func, seconds: float) -> Product:
    """Write the SSA form down."""
    text_ = ir_text.show(func, positions=True)
    blocks = _join(text_, [[value.pos for value in block.code] for block in func.blocks])
    values = sum(len(block) - 1 for block in blocks)
    return Product(name, text_, f"{_count(len(blocks), 'block')}, {_count(values, 'value')}", seconds, blocks)


def _join(text_: str, positions: list[list[int]]) -> list[list[Line]]:
    """Give the lines of each block their positions: a line for the function, then per block a heading and its instructions."""
    lines = iter(text_.split("\n")[1:])
    return [[(0, next(lines)), *[(pos, next(lines)) for pos in block]] for block in positions]


def _slot_uses(func: MFunc) -> int:
    """Count the instructions that read or write spill slots."""
    return sum(inst.rm == SLOT for block in func.blocks for inst in block.code)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
