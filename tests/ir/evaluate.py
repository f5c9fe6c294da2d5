"""A slow and plain evaluator of the SSA form, with an instance in a simulated address space: the oracle's other side.

It knows only what `ops.py` and `layout.py` say. References to code are addresses from CODE on.
"""

from __future__ import annotations

from figwasp import errors, layout
from figwasp.ir import ops
from figwasp.ir.fold import FOLD, UNDEFINED
from figwasp.ir.func import Block, Call, Func, Value
from figwasp.wasm.module import Module
from tests.ir.compiling import layout_of

CODE = 0xC0DE_0000_0000
INSTANCE = 0x1_0000
RECORDS = 0x10_0000
TABLES = 0x20_0000
MEMORY = 0x1_0000_0000
FRAMES = 0x7000_0000_0000

SIZES = {
    op: int("".join(filter(str.isdigit, name[7:])) or name[1:3]) // 8
    for name, op in ops.BY_NAME.items()
    if "_load" in name
}
SIZES |= {
    op: int("".join(filter(str.isdigit, name[9:])) or name[1:3]) // 8
    for name, op in ops.BY_NAME.items()
    if "_store" in name
}
MASKS = {ops.I32: 0xFFFF_FFFF, ops.I64: 0xFFFF_FFFF_FFFF_FFFF}


class Trapped(Exception):
    """A trap, by its code."""


class Instance:
    """A module without imports, instantiated in a simulated address space."""

    def __init__(self, module: Module, funcs: list[Func], pages: int = 1) -> None:
        self.funcs = funcs
        self.layout = layout_of(module)
        self.frame = FRAMES
        self.steps = 0
        self.spaces: dict[int, bytearray] = {
            INSTANCE: bytearray(self.layout.size),
            RECORDS: bytearray(0x1000),
            TABLES: bytearray(0x10000),
        }
        self._add_memory(module, pages)
        self._add_tables(module)
        for index, init in enumerate(module.global_inits):
            value = init.instrs[0][1]
            assert isinstance(value, int)
            self.write(INSTANCE + self.layout.global_cell(index), 8, value & MASKS[ops.I64])

    def _add_memory(self, module: Module, pages: int) -> None:
        if not module.memories:
            return
        record = RECORDS
        size = max(module.memories[0].limits.min, pages) * layout.PAGE_SIZE
        self.spaces[MEMORY] = bytearray(size)
        self.write(record + layout.MEM_BASE, 8, MEMORY)
        self.write(record + layout.MEM_LENGTH, 8, size)
        self.write(INSTANCE + self.layout.memory_record(0), 8, record)
        self.write(INSTANCE + self.layout.memory_base(0), 8, MEMORY)
        for data in module.datas:
            if data.offset is not None:
                start = data.offset.instrs[0][1]
                assert isinstance(start, int)
                self.spaces[MEMORY][start : start + data.end - data.start] = module.data[data.start : data.end]

    def _add_tables(self, module: Module) -> None:
        for index, func in enumerate(self.funcs):
            self.write(INSTANCE + self.layout.funcref(index) + layout.FUNCREF_CODE, 8, CODE + index)
            self.write(INSTANCE + self.layout.funcref(index) + layout.FUNCREF_INSTANCE, 8, INSTANCE)
            kind = module.types.index(module.func_type(func.index))
            self.write(INSTANCE + self.layout.funcref(index) + layout.FUNCREF_TYPE, 4, kind)
        for index, type in enumerate(module.types):
            self.write(INSTANCE + self.layout.type_id(index), 4, module.types.index(type))
        for index, table in enumerate(module.tables):
            record = RECORDS + 0x100 * (index + 1)
            base = TABLES + 0x1000 * index
            self.write(record + layout.TABLE_BASE, 8, base)
            self.write(record + layout.TABLE_LENGTH, 8, table.limits.min)
            self.write(INSTANCE + self.layout.table_record(index), 8, record)
        for elem in module.elems:
            if elem.offset is not None:
                start = elem.offset.instrs[0][1]
                assert isinstance(start, int)
                for place, init in enumerate(elem.inits, start):
                    target = init.instrs[0][1]
                    assert isinstance(target, int)
                    address = INSTANCE + self.layout.funcref(target)
                    self.write(TABLES + 0x1000 * elem.table + 8 * place, 8, address)

    def _place(self, address: int, size: int) -> tuple[bytearray, int]:
        if address >= MEMORY:
            base = MEMORY if address < FRAMES else FRAMES + (address - FRAMES >> 24 << 24)
        else:
            base = TABLES if address >= TABLES else RECORDS if address >= RECORDS else INSTANCE
        space = self.spaces[base]
        if address - base + size > len(space):
            assert base == MEMORY, f"wild access to {address:#x}"
            raise Trapped(errors.TRAP_OUT_OF_BOUNDS_MEMORY)
        return space, address - base

    def read(self, address: int, size: int) -> int:
        """Read memory."""
        space, at = self._place(address, size)
        return int.from_bytes(space[at : at + size], "little")

    def write(self, address: int, size: int, value: int) -> None:
        """Write memory."""
        space, at = self._place(address, size)
        space[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")

    def call(self, index: int, args: list[int]) -> list[int]:
        """Call a function with bits, and return bits."""
        frame = self.frame
        try:
            return self._run(self.funcs[index], [INSTANCE, *args])
        finally:
            while self.frame > frame:
                self.frame -= 1 << 24
                del self.spaces[self.frame]

    def _run(self, func: Func, args: list[int]) -> list[int]:
        env: dict[int, int] = {}
        results: list[int] = []
        block = func.blocks[0]
        while True:
            env.update(zip([param.id for param in block.params], args))
            for value in block.code:
                self.steps += 1
                operands = [env[arg.id] for arg in value.args]
                fold = FOLD[value.op]
                if fold is not None:
                    env[value.id] = fold(*operands)
                    assert env[value.id] != UNDEFINED, value
                elif ops.FLAGS[value.op] & ops.TERMINATOR:
                    break
                elif ops.FLAGS[value.op] & ops.CALLS and value.op != ops.POLL:
                    results = self._call(value, operands)
                    env[value.id] = results[0] if results else 0
                elif value.op == ops.RESULT:
                    assert isinstance(value.aux, int)
                    env[value.id] = results[value.aux]
                else:
                    env[value.id] = self._other(value, operands)
            if value.op == ops.RETURN:
                return operands
            block, args = self._leave(block, value, operands, env)

    def _leave(self, block: Block, end: Value, operands: list[int], env: dict[int, int]) -> tuple[Block, list[int]]:
        slot = 0
        if end.op == ops.TRAP:
            raise Trapped(end.aux)
        if end.op == ops.BRIF:
            slot = 0 if operands[0] else 1
        elif end.op == ops.BRTABLE:
            slot = min(operands[0], len(block.succs) - 1)
        return block.succs[slot], [env[arg.id] for arg in block.args[slot]]

    def _other(self, value: Value, operands: list[int]) -> int:
        op = value.op
        aux = value.aux
        assert isinstance(aux, int)
        if op == ops.CONST:
            return aux
        if op == ops.TRAPIF:
            if operands[0]:
                raise Trapped(aux)
            return 0
        if op == ops.SELECT:
            return operands[0] if operands[2] else operands[1]
        if op == ops.FRAME_AREA:
            self.spaces[self.frame] = bytearray(b"\xaa" * aux)
            self.frame += 1 << 24
            return self.frame - (1 << 24)
        if op in SIZES:
            return self._access(value, operands, ops.aux_offset(aux))
        assert op == ops.POLL, value
        return 0

    def _access(self, value: Value, operands: list[int], offset: int) -> int:
        size = SIZES[value.op]
        name = ops.NAMES[value.op]
        if "store" in name:
            self.write(sum(operands[1:]) + offset, size, operands[0])
            return 0
        bits = self.read(sum(operands) + offset, size)
        if name.endswith("_s") and bits >> 8 * size - 1:
            bits -= 1 << 8 * size
        return bits & MASKS[value.type] if value.type in MASKS else bits

    def _call(self, value: Value, operands: list[int]) -> list[int]:
        site = value.aux
        assert isinstance(site, Call)
        if value.op == ops.CALL:
            assert operands[0] == INSTANCE
            return self.call(site.target, operands[1:])
        if value.op == ops.CALL_PTR:
            assert operands[1] == INSTANCE
            return self.call(operands[0] - CODE, operands[2:])
        assert value.op == ops.CALL_BUILTIN, value
        return self.builtin(site.target, operands[1:])

    def builtin(self, number: int, args: list[int]) -> list[int]:
        """Do what the runtime would do; only what the tests need."""
        if number == layout.BUILTIN_MEMORY_GROW:
            pages = len(self.spaces[MEMORY]) // layout.PAGE_SIZE
            if pages + args[1] > 16:
                return [0xFFFF_FFFF]
            self.spaces[MEMORY] += bytes(args[1] * layout.PAGE_SIZE)
            self.write(RECORDS + layout.MEM_LENGTH, 8, len(self.spaces[MEMORY]))
            return [pages]
        if number == layout.BUILTIN_MEMORY_FILL:
            _, start, byte, length = args
            self.spaces[MEMORY][start : start + length] = bytes((byte & 0xFF,)) * length
            return []
        if number == layout.BUILTIN_MEMORY_COPY:
            _, _, target, source, length = args
            self.spaces[MEMORY][target : target + length] = self.spaces[MEMORY][source : source + length]
            return []
        raise AssertionError(f"builtin {number}")
