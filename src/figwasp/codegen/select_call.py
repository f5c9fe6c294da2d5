"""Floor 3: instruction selection, whatever the machine: function entry, calls and returns, traps and polls.

The machine adds these rules to its own, and gives the selection `Hooks` for what they leave to it. A CALL, like ENTRY and RET, is
one instruction that lists registers and locations; allocation makes the moves. What travels in memory that allocation does not
know, the result area, is loaded and stored here.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen import abi
from figwasp.codegen.code import STUB_TO_NATIVE, STUB_TO_WASM
from figwasp.codegen.mach import (
    AREA,
    ARRIVE,
    CALL,
    ENTRY,
    FUEL,
    INVOKE,
    MEM_BITS,
    NONE,
    POLL,
    RET,
    STACK,
    TAIL,
    TO_BUILTIN,
    TO_CELL,
    TO_REGISTER,
    TO_STUB,
    TRAP,
    UNWIND,
    CallSite,
    MInst,
)
from figwasp.codegen.select import Rule, Selector
from figwasp.errors import Unsupported
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, CONV_WASM, Call, Value
from figwasp.ir.types import CELL, CELLS, I32, I64, INT

# Entry and exit


def entry(s: Selector) -> None:
    """Append ENTRY, which defines the parameters that are used, and the instance."""
    func = s.func
    params = func.blocks[0].params
    site = CallSite([], [], [], [])
    if func.conv == CONV_WASM:
        signature = abi.wasm_signature(s.target, func.params[1:], func.results)
        s.mfunc.instance = s.use(params[0])
        site.results.append(s.mfunc.instance)
        site.result_locs.append(s.target.instance_reg)
        params = params[1:]
        s.mfunc.incoming = signature.stack_bytes
        if s.hidden != NONE:
            site.results.append(s.hidden)
            site.result_locs.append(signature.hidden)
    else:
        signature = abi.c_signature(s.target, func.params, func.results)
    for param, loc in zip(params, signature.params):
        register = s.regs[param.id]
        if register > 0:
            if func.conv == CONV_C and param.type == I32:
                register = _clean(s, register)
            site.results.append(register)
            site.result_locs.append(loc)
    s.code.append(MInst(ENTRY, NONE, NONE, NONE, NONE, 0, site))


def _clean(s: Selector, register: int) -> int:
    """Append the extension of an i32 that comes from C, where the upper half is unspecified; return the raw register."""
    raw = s.new_register(I64)
    s.code.append(s.target.move(I32, register, raw))
    return raw


def _return(s: Selector, value: Value, _rd: int) -> None:
    func = s.func
    site = CallSite([], [], [], [])
    s.code.append(MInst(RET, NONE, NONE, NONE, NONE, 0, site))
    if func.conv == CONV_C:
        signature = abi.c_signature(s.target, func.params, func.results)
    else:
        signature = abi.wasm_signature(s.target, func.params[1:], func.results)
    stores: list[tuple[MInst, Value]] = []
    for result, loc in zip(value.args, signature.results):
        if loc < STACK:
            site.args.append(s.use(result))
            site.arg_locs.append(loc)
        else:
            store = s.target.store_memory(result.type, NONE, _hidden(s), CELL * (loc - STACK) << MEM_BITS)
            s.code.append(store)
            stores.append((store, result))
    for store, result in stores:
        store.rn = s.use(result)


def _hidden(s: Selector) -> int:
    """Return the register that holds the address of the caller's result area."""
    if s.hidden == NONE:
        s.hidden = s.new_register(I64)
    return s.hidden


# Calls


def _call(s: Selector, value: Value, rd: int) -> None:
    call = _callee(value)
    site = _wasm_site(s, value, rd, call, value.args[0], value.args[1:])
    site.target = call.target


def _call_builtin(s: Selector, value: Value, rd: int) -> None:
    call = _callee(value)
    site = _wasm_site(s, value, rd, call, value.args[0], value.args[1:])
    site.kind = TO_BUILTIN
    site.target = call.target


def _call_ptr(s: Selector, value: Value, rd: int) -> None:
    site = _wasm_site(s, value, rd, _callee(value), value.args[1], value.args[2:])
    _address(s, site, value.args[0])


def _address(s: Selector, site: CallSite, code: Value) -> None:
    """Fill in the code address: a register, or the place it would be loaded from."""
    site.kind = TO_REGISTER
    if not s.hooks.fold_callee(s, site, code):
        site.address = s.use(code)


def _enter_wasm(s: Selector, value: Value, rd: int) -> None:
    site = _wasm_site(s, value, rd, _callee(value), value.args[1], value.args[2:])
    site.kind = TO_STUB
    site.target = STUB_TO_WASM
    site.address = s.use(value.args[0])
    site.clobbers = abi.all_clobbers(s.target)


def _callee(value: Value) -> Call:
    """Return the callee of a call."""
    call = value.aux
    assert type(call) is Call
    return call


def _wasm_site(s: Selector, value: Value, rd: int, call: Call, instance: Value, args: list[Value]) -> CallSite:
    """Append a call in the wasm convention, with the loads of results that come back in memory."""
    signature = abi.wasm_signature(s.target, call.params, call.results)
    site = CallSite([], [], [], [], abi.wasm_clobbers(s.target))
    area = _result_area(s, signature.area_bytes)
    _take_results(s, site, rd, call.results, signature.results, area)
    s.code.append(MInst(CALL, NONE, NONE, NONE, NONE, 0, site, value.pos))
    _pass(s, site, signature, area, instance, args)
    return site


def _pass(s: Selector, site: CallSite, signature: abi.Signature, area: int, instance: Value, args: list[Value]) -> None:
    """Fill in the arguments of a call in the wasm convention that has been appended; `area` is its result area."""
    site.stack_bytes = signature.stack_bytes
    s.mfunc.has_calls = s.mfunc.polls = True
    s.mfunc.outgoing = max(s.mfunc.outgoing, signature.stack_bytes)
    if signature.hidden != NONE:
        address = s.new_register(I64)
        s.code.append(s.hooks.area_address(address, area))
        site.args.append(address)
        site.arg_locs.append(signature.hidden)
    site.args.append(s.use(instance))
    site.arg_locs.append(s.target.instance_reg)
    if s.func.conv == CONV_C or instance is not s.func.blocks[0].params[0]:
        site.clobbers |= 1 << s.target.instance_reg  # it keeps what the call puts there, not what it held
    for arg, loc in zip(args, signature.params):
        site.args.append(s.use(arg))
        site.arg_locs.append(loc)


# Calls with a handler. Nothing is left in registers at the landing pad, and nothing but the results where those are: what is live
# over the call is in memory, where it has been stored when it was defined.


def _invoke(s: Selector, value: Value, _rd: int) -> None:
    site = _invoke_site(s, value, value.args[0], value.args[1:])
    site.target = _callee(value).target


def _invoke_builtin(s: Selector, value: Value, _rd: int) -> None:
    site = _invoke_site(s, value, value.args[0], value.args[1:])
    site.kind = TO_BUILTIN
    site.target = _callee(value).target


def _invoke_ptr(s: Selector, value: Value, _rd: int) -> None:
    site = _invoke_site(s, value, value.args[1], value.args[2:])
    _address(s, site, value.args[0])


def _invoke_site(s: Selector, value: Value, instance: Value, args: list[Value]) -> CallSite:
    """End the block with a call in the wasm convention that has a handler."""
    if s.func.conv == CONV_C:
        raise Unsupported("a handler in a function of the C convention")
    call = _callee(value)
    signature = abi.wasm_signature(s.target, call.params, call.results)
    site = CallSite([], [], [], [], abi.all_clobbers(s.target))
    site.catches = call.catches
    s.code.append(MInst(INVOKE, NONE, NONE, NONE, NONE, 0, site, value.pos))
    s.current.succs = [s.edge(0), s.edge(1)]
    _pass(s, site, signature, s.areas[value.id], instance, args)
    return site


def arrive(s: Selector, value: Value) -> None:
    """Append what takes the results of an `invoke`, at the head of the block where it goes on."""
    call = _callee(value)
    signature = abi.wasm_signature(s.target, call.params, call.results)
    site = CallSite([], [], [], [])
    area = s.areas[value.id] = _result_area(s, signature.area_bytes)
    _take_results(s, site, s.regs[value.id], call.results, signature.results, area)
    if site.results:
        s.code.append(MInst(ARRIVE, NONE, NONE, NONE, NONE, 0, site, value.pos))


def _take_results(s: Selector, site: CallSite, rd: int, types: bytes, locs: list[int], area: int) -> None:
    """Fill in the results that are used, and append loads of those that come back in the result area."""
    if rd > 0:
        s.results[0] = rd
    for number, register in s.results.items():
        loc = locs[number]
        if loc < STACK:
            site.results.append(register)
            site.result_locs.append(loc)
        else:
            offset = area + CELL * (loc - STACK)
            s.code.append(s.target.load_memory(types[number], register, AREA, offset << MEM_BITS))
    s.results.clear()


def _result_area(s: Selector, size: int) -> int:
    """Return the offset of an area for the results of one call at a time."""
    if size > s.result_area_size:
        s.result_area = s.reserve_area(size)
        s.result_area_size = size
    return s.result_area


def _result(s: Selector, value: Value, rd: int) -> None:
    number = value.aux
    assert type(number) is int
    s.results[number] = rd


def _call_native(s: Selector, value: Value, rd: int) -> None:
    site = _c_site(s, value, rd)
    if len(site.args) > s.target.native_args:
        raise Unsupported(f"a call to native code passes at most {s.target.native_args} parameters")
    site.kind = TO_STUB
    site.target = STUB_TO_NATIVE
    site.clobbers |= s.target.native_clobbers
    site.address = s.use(value.args[0])


def _call_c(s: Selector, value: Value, rd: int) -> None:
    site = _c_site(s, value, rd)
    _address(s, site, value.args[0])


def _c_site(s: Selector, value: Value, rd: int) -> CallSite:
    """Append a call in the C convention; the caller owns the stack arguments."""
    call = _callee(value)
    signature = abi.c_signature(s.target, call.params, call.results)
    site = CallSite([], [], [], [], abi.c_clobbers(s.target))
    s.mfunc.has_calls = s.mfunc.polls = True
    s.mfunc.outgoing = max(s.mfunc.outgoing, signature.stack_bytes)
    if rd > 0:
        site.results.append(_clean(s, rd) if call.results[0] == I32 else rd)
        site.result_locs.append(signature.results[0])
    s.code.append(MInst(CALL, NONE, NONE, NONE, NONE, 0, site, value.pos))
    for arg, loc in zip(value.args[1:], signature.params):
        site.args.append(s.use(arg))
        site.arg_locs.append(loc)
    return site


def _tail(s: Selector, value: Value, _rd: int) -> None:
    call = _callee(value)
    site = _tail_site(s, value, call, value.args[0], value.args[1:])
    site.target = call.target


def _tail_ptr(s: Selector, value: Value, _rd: int) -> None:
    site = _tail_site(s, value, _callee(value), value.args[1], value.args[2:])
    _address(s, site, value.args[0])


def _tail_site(s: Selector, value: Value, call: Call, instance: Value, args: list[Value]) -> CallSite:
    """Leave the frame and jump, with a look whether that leaves the instance if another one may be passed."""
    signature = abi.wasm_signature(s.target, call.params, call.results)
    if s.func.conv == CONV_C:
        raise Unsupported("a tail call in a function of the C convention")
    site = CallSite([], [], [], [], stack_bytes=signature.stack_bytes)
    site.leaves = instance is not s.func.blocks[0].params[0]
    s.mfunc.polls = True  # a loop of tail calls has no other check
    site.in_place = _cell_in_place(s, call.params, signature.stack_bytes)
    if site.in_place == NONE:
        s.mfunc.outgoing = max(s.mfunc.outgoing, signature.stack_bytes)
    s.code.append(MInst(TAIL, NONE, NONE, NONE, NONE, 0, site, value.pos))
    if signature.hidden != NONE:
        site.args.append(_hidden(s))
        site.arg_locs.append(signature.hidden)
    site.args.append(s.use(instance))
    site.arg_locs.append(s.target.instance_reg)
    for arg, loc in zip(args, signature.params):
        site.args.append(s.use(arg))
        site.arg_locs.append(loc)
    return site


def _allocate(s: Selector, value: Value, rd: int) -> None:
    """Take a cell of the heap: as a call that destroys the register of its result only."""
    number = value.aux
    assert type(number) is int
    result = s.target.args[INT][0]
    site = CallSite([], [], [rd] if rd > 0 else [], [result] if rd > 0 else [], 1 << result, TO_CELL, number)
    s.mfunc.polls = True
    s.code.append(MInst(CALL, NONE, NONE, NONE, NONE, 0, site, value.pos))


def _cell_in_place(s: Selector, params: bytes, stack_bytes: int) -> int:
    """Return where among the cells of our own stack arguments those of a tail call begin, as both end at the same place.

    NONE if there are none, or no room for them, or if a value takes several cells: it might be moved over half of another.
    """
    room = abi.wasm_signature(s.target, s.func.params[1:], s.func.results).stack_bytes - stack_bytes
    if not stack_bytes or room < 0 or any(CELLS[type] > 1 for type in params):
        return NONE
    return room // CELL


# Traps and polls


def _trap(s: Selector, value: Value, _rd: int) -> None:
    code = value.aux
    assert type(code) is int
    s.code.append(MInst(TRAP, NONE, NONE, NONE, NONE, 0, code, value.pos))


def _unwind(s: Selector, value: Value, _rd: int) -> None:
    s.code.append(MInst(UNWIND, NONE, NONE, NONE, NONE, 0, 0, value.pos))


def _poll(s: Selector, value: Value, _rd: int) -> None:
    s.mfunc.polls = True
    s.code.append(MInst(POLL, NONE, NONE, NONE, NONE, 0, 0, value.pos))


def _fuel(s: Selector, value: Value, _rd: int) -> None:
    amount = value.aux
    assert type(amount) is int
    s.code.append(MInst(FUEL, NONE, NONE, NONE, NONE, 0, amount, value.pos))


def _jump(s: Selector, _value: Value, _rd: int) -> None:
    s.jump(s.block.succs[0], s.block.args[0])


RULES: Final[dict[int, Rule]] = {
    ops.CALL: _call, ops.CALL_PTR: _call_ptr, ops.CALL_BUILTIN: _call_builtin, ops.CALL_C: _call_c,
    ops.ENTER_WASM: _enter_wasm, ops.CALL_NATIVE: _call_native, ops.RESULT: _result, ops.TRAP: _trap, ops.UNWIND: _unwind,
    ops.POLL: _poll, ops.FUEL: _fuel, ops.JUMP: _jump, ops.RETURN: _return, ops.TAIL: _tail, ops.TAIL_PTR: _tail_ptr,
    ops.ALLOCATE: _allocate, ops.INVOKE: _invoke, ops.INVOKE_PTR: _invoke_ptr, ops.INVOKE_BUILTIN: _invoke_builtin,
}  # fmt: skip
