"""Floor 2: the SSA form. Three classes: a function holds blocks, a block holds values, an instruction is its value.

Blocks take parameters instead of phis; an edge carries one argument per parameter. A terminator is the last value of its
block; that of an `invoke` is defined where the first successor begins. Values refer to their operands and never to blocks,
parameters do not refer to their arguments: the graph of values is acyclic, so reference counting frees it. Blocks refer to
each other; `Func.release` cuts that.
"""

from __future__ import annotations

from typing import Final

from figwasp.layout import ANY_TAG

PARAM: Final = -1
"""The op of a block parameter: it stands in `Block.params`, not in `Block.code`."""


class Value:
    """An instruction and its result.

    Attributes:
        id: number, unique in the function, dense enough to index lists (`Func.num_values` is the bound).
        op: an `ir.ops` number, or PARAM.
        type: IR type of the result, `ops.VOID` when there is none.
        args: operands.
        aux: an int (constant bits as an unsigned int, memory_aux, trap code), a `Call`, or the name of a symbol.
        pos: byte offset of the wasm instruction in the binary, for traps, backtraces and explain; 0 in stubs.
    """

    __slots__ = ("args", "aux", "id", "op", "pos", "type")

    def __init__(self, id: int, op: int, type: int, args: list[Value], aux: Aux, pos: int) -> None:
        self.id = id
        self.op = op
        self.type = type
        self.args = args
        self.aux = aux
        self.pos = pos

    def __repr__(self) -> str:
        return f"v{self.id}"


CATCH_ANY: Final = (ANY_TAG,)


class Call:
    """The callee of a call.

    Attributes:
        params: IR types of the parameters after the leading code/instance/address operands.
        results: IR types of the results.
        target: function index, builtin number, or -1.
        catches: of an `invoke`, what the handler catches, in order: of a tag the offset in the instance block where its address
            stands, or ANY_TAG. The number of the one that does is in the context then, beside the exception.
    """

    __slots__ = ("catches", "params", "results", "target")

    def __init__(self, params: bytes, results: bytes, target: int = -1, catches: tuple[int, ...] = CATCH_ANY) -> None:
        self.params = params
        self.results = results
        self.target = target
        self.catches = catches


Aux = int | Call | str
"""What `Value.aux` may be."""


class Block:
    """A basic block.

    Attributes:
        id: number, dense in the function.
        params: its parameters (values with op PARAM).
        code: values in order; the last is the terminator.
        succs: successor blocks, in the order the terminator defines.
        args: per successor, one list of arguments.
        preds: predecessor blocks, once per edge; filled by `order.link`.
        depth: loop depth.
        loop: True when it is a loop header (has a back edge).
        dom: its immediate dominator, or None for the entry; filled by `order.dominators`.
    """

    __slots__ = ("args", "code", "depth", "dom", "id", "loop", "params", "preds", "succs")

    def __init__(self, id: int, depth: int = 0) -> None:
        self.id = id
        self.params: list[Value] = []
        self.code: list[Value] = []
        self.succs: list[Block] = []
        self.args: list[list[Value]] = []
        self.preds: list[Block] = []
        self.depth = depth
        self.loop = False
        self.dom: Block | None = None

    def __repr__(self) -> str:
        return f"b{self.id}"


CONV_WASM: Final = 0
CONV_C: Final = 1


class Func:
    """A function in SSA form.

    Attributes:
        name: for printing.
        index: function index in the module, -1 for stubs.
        params: IR types of the parameters. For CONV_WASM the instance (I64) is params[0].
        results: IR types of the results.
        conv: CONV_WASM or CONV_C.
        blocks: in layout order; blocks[0] is the entry and its params are the function's. The blocks of a loop are contiguous,
            the header first; the header has exactly one predecessor outside the loop, which ends in `jump`.
        num_values: bound of value ids.
        continues: True when it takes the place of code that is running: what it begins with must not be interrupted.
    """

    __slots__ = ("blocks", "continues", "conv", "index", "name", "num_values", "params", "results")

    def __init__(self, name: str, index: int, params: bytes, results: bytes, conv: int = CONV_WASM) -> None:
        self.name = name
        self.index = index
        self.params = params
        self.results = results
        self.conv = conv
        self.blocks: list[Block] = []
        self.num_values = 0
        self.continues = False

    def new_value(self, op: int, type: int, args: list[Value], aux: Aux = 0, pos: int = 0) -> Value:
        """Make a value that is in no block yet."""
        value = Value(self.num_values, op, type, args, aux, pos)
        self.num_values += 1
        return value

    def new_block(self, depth: int = 0) -> Block:
        """Make a block and append it to the layout."""
        block = Block(len(self.blocks), depth)
        self.blocks.append(block)
        return block

    def new_param(self, block: Block, type: int) -> Value:
        """Append a parameter to a block."""
        value = self.new_value(PARAM, type, [])
        block.params.append(value)
        return value

    def release(self) -> None:
        """Cut the references between blocks so that reference counting frees the function."""
        for block in self.blocks:
            block.succs = []
            block.preds = []
            block.dom = None
