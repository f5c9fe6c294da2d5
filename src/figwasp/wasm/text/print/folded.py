"""Instructions to the folded form of the text format (spec 6.5.12). Floor 1.

Goes in: the instructions of a function or of a constant expression. Comes out: `Node`s, one per instruction, the operands under the
instruction that takes them, and lines made of these.

Folding is layout: `(op e1 e2)` means e1, e2, op, whatever types they have. So an instruction takes for its operands as many
of the values before it as it should have by its stack effect, and stops short of those that it cannot have: what has several
results, leaves none, stands in code that is not reached, or nests too deep. What stays is a piece of its own before it, and
the text parses back to the same instructions. Blocks nested very deep are left flat.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from figwasp.wasm.syntax.immediates import Immediate, block_and_clauses, number
from figwasp.wasm.syntax.opcodes import BY_NAME, Opcode
from figwasp.wasm.syntax.stack_effect import CLOSERS, OPENERS, SEPARATORS, Effect, block_effect, effect
from figwasp.wasm.text.print.immediates import ImmediatePrinter, Label

__all__ = ["Folder", "Node", "folded_lines", "on_one_line"]

IF: Final = BY_NAME["if"].code
LOOP: Final = BY_NAME["loop"].code
TRY: Final = BY_NAME["try"].code
DELEGATE: Final = BY_NAME["delegate"].code

MAX_HEIGHT: Final = 40
"""Most parentheses that operands nest."""
MAX_BLOCKS: Final = 40
"""Most blocks that nest as folded ones."""
MAX_INDENT: Final = 60
MAX_WIDTH: Final = 100
"""Columns of a line on which an instruction stands with its operands."""
WIDE: Final = MAX_WIDTH + 1
"""The width from which a node is too wide for one line."""

FOLDED: Final = 0
FLAT: Final = 1
ARM: Final = 2
"""Kinds of nodes: an instruction in parentheses; a block up to its `end`; a part of such a block."""
UNSPOKEN: Final = ("then", "do")
"""Parts that have no keyword in a flat block."""


class Node:
    """An instruction with what is folded into it.

    Attributes:
        head: the instruction itself.
        offset: byte offset of the instruction in the binary, or -1.
        children: operands, then what is in the block.
        results: how many values it leaves that something may take.
        kind: FOLDED, FLAT or ARM.
        width: columns that it takes on one line.
        height: how deep it nests.
        tail: the end of a FLAT node.
    """

    __slots__ = ("children", "head", "height", "kind", "offset", "results", "tail", "width")

    def __init__(self, head: str, offset: int, children: list[Node], results: int = 0, kind: int = FOLDED) -> None:
        self.head = head
        self.offset = offset
        self.children = children
        self.results = results
        self.kind = kind
        self.tail = ""
        width: int = len(head) + 2
        height: int = 0
        for child in children:
            width += child.width + 1
            height = max(height, child.height)
        self.width: int = width if kind == FOLDED else width + WIDE
        self.height: int = height + 1 if kind == FOLDED else height


class Frame:
    """A block that is open.

    Attributes:
        row, offset: its opening instruction.
        head: the immediates of that.
        label: its label.
        effect: how many operands it takes and leaves.
        flat: whether it is left flat.
        arms: its operands and the parts that are complete.
        keyword, at: head and byte offset of the part that is open.
        nodes: what is in that part, or in the block itself.
    """

    __slots__ = ("arms", "at", "effect", "flat", "head", "keyword", "label", "nodes", "offset", "row")

    def __init__(self, row: Opcode, offset: int, head: str, effect: Effect, label: Label, flat: bool) -> None:
        self.row = row
        self.offset = offset
        self.head = head
        self.effect = effect
        self.label = label
        self.flat = flat
        self.arms: list[Node] = []
        self.keyword = "then" if row.code == IF else "do" if row.code == TRY else ""
        self.at = -1
        self.nodes: list[Node] = []


class Folder:
    """Makes nodes of the instructions of one function."""

    __slots__ = ("_arities", "_frames", "_nodes", "_printer")

    def __init__(self, printer: ImmediatePrinter, results: int) -> None:
        self._printer = printer
        self._arities = [results]
        self._frames: list[Frame] = []
        self._nodes: list[Node] = []

    def fold(self, instrs: Iterator[tuple[int, Opcode, Immediate]]) -> list[Node]:
        """Return the nodes of a sequence of instructions with their byte offsets; it is over before its last `end`."""
        for offset, row, immediate in instrs:
            code = row.code
            if code in OPENERS:
                self._open(row, offset, immediate)
            elif code in SEPARATORS:
                self._separate(self._printer.instr(row, immediate), offset)
            elif code in CLOSERS:
                self._close(row, offset, immediate)
            else:
                takes, leaves = effect(self._printer.module, row, immediate, self._arities)
                head = self._printer.instr(row, immediate)
                operands = self._take(takes) if takes else []
                self._nodes.append(Node(head, offset, operands, leaves))
        return self._nodes

    def _open(self, row: Opcode, offset: int, immediate: Immediate) -> None:
        flat = len(self._frames) >= MAX_BLOCKS
        block = block_and_clauses(immediate)[0] if isinstance(immediate, tuple) else number(immediate)
        takes, leaves = block_effect(self._printer.module, block)
        operands: list[Node] = []
        if row.code == IF and not flat:
            operands = self._take(takes + 1)
        else:
            self._pin(takes + (row.code == IF))
        head = self._printer.operands(row, immediate)
        frame = Frame(row, offset, head, (takes, leaves), self._printer.open_label(), flat)
        frame.arms = operands
        frame.nodes, self._nodes = self._nodes, frame.nodes
        self._frames.append(frame)
        self._arities.append(takes if row.code == LOOP else leaves)

    def _separate(self, keyword: str, offset: int) -> None:
        frame = self._frames[-1]
        self._end_arm(frame)
        frame.keyword = keyword
        frame.at = offset

    def _end_arm(self, frame: Frame) -> None:
        arm = Node(frame.keyword, frame.at, self._nodes, 0, ARM if frame.flat else FOLDED)
        if len(self._nodes) > 1:
            arm.width += WIDE
        frame.arms.append(arm)
        self._nodes = []

    def _close(self, row: Opcode, offset: int, immediate: Immediate) -> None:
        frame = self._frames.pop()
        if frame.keyword:
            self._end_arm(frame)
        else:
            frame.arms += self._nodes
        label = self._printer.close_label()
        self._arities.pop()
        tail = self._printer.instr(row, immediate)
        if row.code == DELEGATE and not frame.flat:
            frame.arms.append(Node(tail, offset, []))
        head = frame.row.text + (label.bound or (f" (;@{label.number};)" if label.used else "")) + frame.head
        node = Node(head, frame.offset, frame.arms, frame.effect[1], FLAT if frame.flat else FOLDED)
        node.width += WIDE
        if frame.row.code == IF and not frame.flat:
            _raise_condition(node)
        if frame.flat:
            node.tail = tail
            node.results = 0
        self._nodes = frame.nodes
        self._nodes.append(node)

    def _take(self, count: int) -> list[Node]:
        """Take the nodes off the end that leave so many values, as far as they can be operands."""
        nodes = self._nodes
        at = len(nodes)
        while count and at:
            node = nodes[at - 1]
            if not 0 < node.results <= count or node.height >= MAX_HEIGHT:
                nodes[at - 1].results = 0  # some of its values are taken: nothing may reach beyond it
                break
            count -= node.results
            at -= 1
        taken = nodes[at:]
        del nodes[at:]
        return taken

    def _pin(self, count: int) -> None:
        """Keep the nodes that leave so many values where they are, for something that takes them but not as operands."""
        at = len(self._nodes) - 1
        while count > 0 and at >= 0 and self._nodes[at].results:
            count -= self._nodes[at].results
            self._nodes[at].results = 0
            at -= 1


def _raise_condition(node: Node) -> None:
    """Put the operands of an `if` on the line with it where they are short."""
    operands = node.children[:1]
    if operands and operands[0].head != "then" and node.children[1].head == "then" and operands[0].width < MAX_WIDTH // 2:
        node.head += f" {on_one_line(operands[0])}"
        del node.children[0]


def on_one_line(node: Node) -> str:
    """Return a node without blocks as text; its height bounds the recursion."""
    return f"({' '.join([node.head, *map(on_one_line, node.children)])})"


def folded_lines(nodes: list[Node], indent: int) -> list[tuple[int, str]]:
    """Return the lines of nodes with their byte offsets, the nodes one below the other.

    Args:
        nodes: as `Folder` makes them.
        indent: columns before each.
    """
    lines: list[tuple[int, str]] = []
    waiting: list[tuple[Node | None, int, str]] = [(node, indent, "") for node in reversed(nodes)]
    while waiting:
        node, indent, text = waiting.pop()
        margin = " " * min(indent, MAX_INDENT)
        if node is None:
            if text == ")":
                offset, last = lines[-1]
                lines[-1] = (offset, last + ")")
            else:
                lines.append((-1, margin + text))
            continue
        inner = indent + 2
        if node.kind == FOLDED:
            if len(margin) + node.width <= MAX_WIDTH or not node.children:
                lines.append((node.offset, margin + on_one_line(node)))
                continue
            lines.append((node.offset, f"{margin}({node.head}"))
            waiting.append((None, 0, ")"))
        elif node.kind == FLAT:
            lines.append((node.offset, margin + node.head))
            waiting.append((None, indent, node.tail))
            inner = indent if node.children and node.children[0].kind == ARM else indent + 2
        elif node.head not in UNSPOKEN:
            lines.append((node.offset, margin + node.head))
        waiting += [(child, inner, "") for child in reversed(node.children)]
    return lines
