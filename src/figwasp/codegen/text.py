"""Floor 3: MFunc as text, before and after register allocation. For golden tests, `explain`, and people.

A line is `row destination, sources`: the destination first (`%0 =`), then rn, rm, memory, immediate. A tied destination is written
like any other. Pseudo registers print as `pool`, `slot`, `in`, `out`, `area`; stack cells as `in+0`.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import (
    AREA,
    BRANCH,
    CALL,
    ENTRY,
    FIRST_ROW,
    FUEL,
    INCOMING,
    INVOKE,
    JUMP,
    MEM_BITS,
    NONE,
    OUTGOING,
    POOL,
    SLOT,
    STACK,
    SWITCH,
    SYMBOL,
    TAIL,
    TO_BUILTIN,
    TO_CELL,
    TO_FUNC,
    TO_MEMORY,
    TO_REGISTER,
    TO_STUB,
    TRAP,
    TRAPIF,
    VIRTUAL,
    CallSite,
    MBlock,
    MFunc,
    MInst,
)
from figwasp.codegen.target import Target
from figwasp.ir.ops import TYPE_NAMES
from figwasp.layout import CELL_SIZES

_BASES: Final = {POOL: "pool", OUTGOING: "out", INCOMING: "in", AREA: "area", SLOT: "slot"}
_KINDS: Final = {TO_FUNC: "func", TO_REGISTER: "", TO_MEMORY: "", TO_BUILTIN: "builtin", TO_STUB: "stub"}
STUB_NAMES: Final = ["trap", "tick", "unwind", "to_wasm", "to_native", "fuel", "restore_instance", "allocate", "hot"]


def show(func: MFunc, target: Target) -> str:
    """Print a function."""
    return "\n".join([head(func, target), *[_block(block, func, target) for block in func.blocks]]) + "\n"


def head(func: MFunc, target: Target) -> str:
    """Print name, convention, and what is known of the frame."""
    parts = [f"func {func.name or func.index} {'wasm' if func.conv == 0 else 'c'}"]
    for name, size in (("incoming", func.incoming), ("outgoing", func.outgoing), ("area", func.area),
                       ("slots", func.num_slots), ("frame", func.frame_size)):  # fmt: skip
        if size:
            parts.append(f"{name}={size}")
    if func.saved:
        parts.append(f"saved={','.join(register_name(register, target) for register in func.saved)}")
    parts += [f"pool{index}={data[::-1].hex()}" for index, data in enumerate(func.pool)]
    parts += [f"symbol{index}={name}" for index, name in enumerate(func.symbols)]
    return " ".join(parts)


def _block(block: MBlock, func: MFunc, target: Target) -> str:
    """Print a block with a heading that tells parameters, depth and whether it is a loop."""
    params = ", ".join(f"{register_name(param, target)}:{TYPE_NAMES[func.types[param]]}" for param in block.params)
    head = f"b{block.id}" + (f"({params})" if params else "") + ":"
    if block.depth:
        head += f"  ; depth {block.depth}" + (" loop" if block.loop else "")
    lines = [head]
    for inst in block.code:
        text = pseudo(inst, block, target) if inst.op < FIRST_ROW else instruction(inst, target)
        lines.append(f"    {text}" + (f"  ; @{inst.pos:x}" if inst.fault else ""))
    return "\n".join(lines)


def register_name(register: int, target: Target) -> str:
    """Name a register, physical or virtual."""
    if register < 0:
        return "-"
    return f"%{register - VIRTUAL}" if register >= VIRTUAL else target.register_names[register]


def place_name(place: int, target: Target, cells: str) -> str:
    """Name a location of a call site."""
    return f"{cells}+{place - STACK}" if place >= STACK else register_name(place, target)


def instruction(inst: MInst, target: Target) -> str:
    """Print a row's instruction."""
    rows = target.rows
    op = inst.op
    name = rows.names[op]
    operands = []
    reads = rows.reads[op]
    if reads & 1:
        operands.append(register_name(inst.rn, target))
    if rows.memory[op]:
        memory = memory_text(inst, target)
        operands.insert(0 if rows.stores[op] else len(operands), memory)
    else:
        operands += [register_name(register, target) for bit, register in ((2, inst.rm), (4, inst.rx)) if reads & bit]
    if rows.condition[op]:
        assert isinstance(inst.imm, int)
        operands.append(target.condition_names[inst.imm])
    elif rows.immediate[op]:
        operands.append(str(inst.imm))
    defined = f"{register_name(inst.rd, target)} = " if rows.defines[op] else ""
    return f"{defined}{name} {', '.join(operands)}".rstrip()


def memory_text(inst: MInst, target: Target) -> str:
    """Print the memory operand of an instruction."""
    displacement = inst.mem >> MEM_BITS
    if inst.rm == POOL:
        return f"[pool{displacement}]"
    if inst.rm == SYMBOL:
        return f"[symbol{displacement}]"
    if inst.rm == SLOT:
        return f"[slot{displacement}]"
    text = _BASES.get(inst.rm) or register_name(inst.rm, target)
    if inst.rx != NONE:
        scale = 1 << (inst.mem & (1 << MEM_BITS) - 1)
        text += f" + {register_name(inst.rx, target)}" + (f"*{scale}" if scale > 1 else "")
    if displacement:
        text += f" {'-' if displacement < 0 else '+'} {abs(displacement)}"
    return f"[{text}]"


def pseudo(inst: MInst, block: MBlock, target: Target) -> str:
    """Print a pseudo operation."""
    op = inst.op
    imm = inst.imm
    name = target.rows.names[op]
    if isinstance(imm, CallSite):
        text = _site(op, name, imm, target)
        return f"{text} -> b{block.succs[0].id}, b{block.succs[1].id}" if op == INVOKE else text
    if op == JUMP:
        args = ", ".join(register_name(arg, target) for arg in block.args)
        return f"jump b{block.succs[0].id}" + (f"({args})" if args else "")
    if op == BRANCH:
        return f"branch {target.condition_names[imm]} b{block.succs[0].id}, b{block.succs[1].id}"
    if op == SWITCH:
        return f"switch {register_name(inst.rn, target)} [{', '.join(f'b{succ.id}' for succ in block.succs)}]"
    if op == TRAPIF:
        return f"trapif {target.condition_names[imm >> 8]} {imm & 0xFF}"
    if op == TRAP or op == FUEL:
        return f"{name} {imm}"
    if inst.rd != NONE:
        return f"{register_name(inst.rd, target)} = {name} {register_name(inst.rn, target)}"
    return name


def _site(op: int, name: str, site: CallSite, target: Target) -> str:
    """Print an entry, a call, its results, a return or a tail call: results, callee, arguments, each as register:location."""
    cells = "in" if op == ENTRY else "out"
    locs = site.arg_locs
    if site.in_place != NONE:
        locs = [loc + site.in_place if loc >= STACK else loc for loc in locs]
    args = _moves(site.args, locs, "in" if site.in_place != NONE else cells, target)
    results = _moves(site.results, site.result_locs, cells, target)
    text = f"{results} = {name}" if results else name
    if op in (CALL, INVOKE, TAIL):
        text += f" {_callee(site, target)}"
    return f"{text} {args}".rstrip() if op != CALL or args else text


def _callee(site: CallSite, target: Target) -> str:
    """Print what a call reaches."""
    if site.kind == TO_REGISTER:
        return register_name(site.address, target)
    if site.kind == TO_MEMORY:
        return f"[{register_name(site.address, target)} + {site.target}]"
    if site.kind == TO_CELL:
        return f"cell of {CELL_SIZES[site.target]}"
    if site.kind == TO_STUB:
        return f"{STUB_NAMES[site.target]} {register_name(site.address, target)}"
    return f"{_KINDS[site.kind]}{site.target}"


def _moves(registers: list[int], locs: list[int], cells: str, target: Target) -> str:
    """Print registers with their locations."""
    return ", ".join(
        f"{register_name(register, target)}:{place_name(loc, target, cells)}" for register, loc in zip(registers, locs)
    )
