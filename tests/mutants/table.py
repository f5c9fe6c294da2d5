"""The mutants: mistakes of one line that some test must notice. `run.py` tries them.

A row: name, its first word being the part of figwasp; file below src/figwasp; the text that is replaced, which stands there exactly once;
the text that replaces it; the tests, files or single ones, of which one must fail; what the mistake would lead to. A row that ends in a
seventh text is of a change that nobody can see, and that text says why: it must survive.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SOURCE: Final = "src/figwasp"


class Mutant(NamedTuple):
    """A row of the table."""

    name: str
    file: str
    old: str
    new: str
    tests: str
    why: str
    survives: str = ""


def applied(mutant: Mutant, text: str) -> str:
    """Return the text of the file with the change.

    Raises:
        ValueError: what is replaced does not stand there exactly once.
    """
    count = text.count(mutant.old)
    if count != 1:
        raise ValueError(f"{mutant.old!r} stands {count} times in {mutant.file}")
    return text.replace(mutant.old, mutant.new)


_SELECT: Final = "tests/codegen/test_select.py"
_EXECUTE: Final = "tests/codegen/execute/test_execute.py"
_HANDLES: Final = "tests/api/heap/"
_MEMORY: Final = "tests/codegen/execute/test_execute_memory.py"
_RANDOM: Final = "tests/property/test_differential.py::test_random_modules_answer_the_same_everywhere"
_REGALLOC: Final = "tests/codegen/regalloc/test_regalloc.py"
_MOVES: Final = "tests/codegen/regalloc/test_moves.py"
_SKELETON: Final = "tests/codegen/regalloc/test_skeleton.py"
_RULES: Final = "tests/ir/simplify/test_simplify_rules.py"
_SIMPLIFY: Final = "tests/ir/simplify/test_simplify.py"
_TRAPS: Final = "tests/runtime/trap/test_traps.py"
_TAILS: Final = "tests/runtime/test_tail_calls.py"
_TAIL_FRAMES: Final = "tests/runtime/trap/test_tail_frames.py"
_CHECKS: Final = "tests/ir/simplify/test_checks.py"
_SMALL_PAGES: Final = "tests/api/addresses/test_small_pages.py"
_SMALL_BULK: Final = "tests/ir/build/test_small_bulk.py"
_TABLES: Final = "tests/runtime/store/test_tables.py"
_STORES: Final = "tests/runtime/store/test_stores.py"
_ALIASES: Final = "tests/ir/simplify/test_simplify.py"
_OBJECTS: Final = "tests/ir/build/test_objects.py"
_FUNCTIONS: Final = "tests/ir/build/test_objects.py::test_functions_of_others_are_kept_first"
_CASTS: Final = "tests/ir/build/test_casts.py"
_DESCRIPTORS: Final = "tests/ir/test_type_descriptors.py"
_REFERENCES: Final = "tests/api/values/test_typed_references.py"
_PATHS: Final = "tests/wasi/test_paths.py"

_X64: Final = "codegen/isa/x64/select"

_ROWS: Final[list[tuple[str, ...]]] = [
    # Selection
    ("select: region", f"{_X64}/memory.py", "if region == s.effect_region:", "if region >= s.block_region:", _SELECT,
     "a load moves over a store"),
    ("select: region, executed", f"{_X64}/memory.py", "if region == s.effect_region:", "if region >= s.block_region:",
     f"{_MEMORY}::test_load_is_not_moved_over_a_store", "the same, seen in what a function returns"),
    ("select: region, random memory", f"{_X64}/memory.py", "if region == s.effect_region:", "if region >= s.block_region:",
     f"{_MEMORY}::test_random_program", "the same, seen in straight code"),
    ("select: region, random modules", f"{_X64}/memory.py", "if region == s.effect_region:", "if region >= s.block_region:", _RANDOM,
     "the same, seen in whole modules"),
    ("select: uses of a load", f"{_X64}/memory.py", "or s.uses[id] != 1 or", "or s.uses[id] < 1 or", _SELECT,
     "a load is done twice, and may give two values"),
    ("select: repeated comparison", f"{_X64}/memory.py", "and s.effect_region >= 0 and aux", "and aux", _SELECT,
     "a load is taken into a comparison that is made once more for another user"),
    ("select: unchanging region", f"{_X64}/memory.py", "== ops.REGION_CONST", "<= ops.REGION_GLOBAL", _SELECT,
     "a global is read after it has been written"),
    ("select: unchanging, other block", f"{_X64}/memory.py", "return region >= s.block_region and s.effect", "return s.effect", _SELECT,
     "a load moves into another block, perhaps a loop"),
    ("select: far offset", f"{_X64}/memory.py", "    elif offset < 0x8000_0000:\n        inst.mem", "    elif offset <= 0x8000_0000:\n        inst.mem",
     _MEMORY, "a displacement of 2 GiB is negative"),
    ("select: index wraps", f"{_X64}/memory.py", "elif op == ops.I64_ADD and s.region_of[index.id]",
     "elif op in (ops.I32_ADD, ops.I64_ADD) and s.region_of[index.id]", _MEMORY, "an i32 index does not wrap at 32 bits"),
    ("select: address in other block", f"{_X64}/memory.py", "and s.regs[base.id] == 0 and s.region_of[base.id] >= s.block_region:",
     "and s.regs[base.id] == 0:", _SELECT, "operands of an address live on into another block"),
    ("select: extended operand", f"{_X64}/memory.py",
     '''is one already."""\n    if value.op == ops.I64_EXTEND_I32_U and s.regs[value.id] == 0:''',
     '''is one already."""\n    if value.op == ops.I64_EXTEND_I32_U:''', _SELECT, "two registers hold the same number"),
    ("select: single use", "codegen/select.py", "return self.uses[id] == 1 and self.region_of[id] >= self.block_region",
     "return self.uses[id] == 1", _SELECT, "operands of what is taken in live on into another block"),
    ("select: dying operand", "codegen/select.py", "self.regs[value.id] == 0 and self.region_of[value.id] >= self.block_region and",
     "self.regs[value.id] == 0 and", _SELECT, "an operand that is needed in a loop is copied first"),
    ("select: mirrored comparison", f"{_X64}/flags.py", "code = _MIRRORED[code]", "code = code", _EXECUTE,
     "a constant on the left turns a comparison round"),
    ("symbols: made anew", "codegen/select.py", "if op == ops.CONST or op == ops.SYMBOL:", "if op == ops.CONST:",
     f"{_SELECT} tests/codegen/execute/test_execute_calls.py", "a symbol lives in a register that nothing defines"),
    ("symbols: each its word", "runtime/stubs/installed.py", "self._region.cells + 8 * number, value", "self._region.cells, value",
     "tests/runtime/code/test_stub_code.py", "code reads a word that holds nothing"),
    ("symbols: no address", "runtime/stubs/ticks.py", 'e.get(e.symbol("static.parked"), 0)',
     'e.get(e.word(id(e)), 0)', "tests/runtime/code/test_stub_code.py", "code that is kept holds an address of another process"),
    ("select: byte compared", f"{_X64}/flags.py", "code = _UNSIGNED.get(code, code)", "code = code", _SELECT,
     "a byte of 200 is less than 100"),
    ("select: byte compared with more", f"{_X64}/flags.py", "0 <= imm < 0x100", "imm < 0x100", _SELECT,
     "a byte is compared with the low half of a number"),
    ("select: mask of memory", f"{_X64}/flags.py", "and not narrow and value.op != ops.I64_LOAD:", "and not narrow:", _SELECT,
     "a mask does not take in the load of an i64"),
    ("select: largest subtrahend", f"{_X64}/ints.py", "imm != NO_IMM and imm != -0x8000_0000", "imm != NO_IMM", _SELECT,
     "the negative of -2**31 is no immediate"),
    ("select: flags of arithmetic", f"{_X64}/branch.py", "len(code) < 2 or code[-2] is not value or", "len(code) < 2 or", _SELECT,
     "an instruction between changes the flags"),
    ("select: equality of floats", f"{_X64}/branch.py", "and code != r.CC_FNE and foldable", "and foldable", _SELECT,
     "a load is done in one of the two moves only"),
    ("select: bound of a switch", f"{_X64}/branch.py", "return mask + 1", "return mask", _SELECT,
     "a switch jumps beyond its table"),
    ("select: zero divided", f"{_X64}/ints.py", "if row == x.IDIV32_R or row == x.IDIV64_R:", "if row == x.IDIV32_R:", _EXECUTE,
     "rdx is not the sign of the dividend"),
    # Register allocation and moves
    ("regalloc: coalescing", "codegen/regalloc/allocate.py", "if mask[x] & mask[y] or types[x]", "if types[x]", _REGALLOC,
     "two values that are live at once share a register"),
    ("regalloc: taken register", "codegen/regalloc/allocate.py",
     "[CLASSES[self.types[v]]]:\n            if not busy[r] & mask and not refused",
     "[CLASSES[self.types[v]]]:\n            if not busy[r] & mask & 1 and not refused", _REGALLOC, "a register is given away twice"),
    ("regalloc: instance", "codegen/regalloc/allocate.py", "busy[r] |= self.ranges.foreign", "busy[r] |= 0", _REGALLOC,
     "the instance stays where another one is passed"),
    ("regalloc: taken slot", "codegen/regalloc/spill.py", "if slot < 0 or taken[slot] & mask:", "if slot < 0:", _REGALLOC,
     "two values that are live at once share a slot"),
    ("regalloc: rows with flags", "codegen/regalloc/spill.py", "or rows.tied[op] or rows.flags[op] or", "or rows.tied[op] or", _REGALLOC,
     "a constant is made again between a comparison and its branch"),
    ("regalloc: profit of a loop", "codegen/regalloc/spill.py", "if gain <= 0:", "if gain > 0:", _REGALLOC,
     "a value that a loop uses is loaded in every round"),
    ("regalloc: longest register", "codegen/regalloc/spill.py", "if length > longest:", "if not longest:", _REGALLOC,
     "a run of uses ends early"),
    ("regalloc: early operands", "codegen/regalloc/liveness.py", "                late += 1\n", "                late += 0\n", _REGALLOC,
     "a tied result overwrites the other operand"),
    ("regalloc: clobbers", "codegen/regalloc/liveness.py", "registers = site.clobbers", "registers = 0", _REGALLOC,
     "a value is in a register that a call destroys"),
    ("regalloc: live in loops", "codegen/regalloc/liveness.py", "            live |= body\n", "            live |= 0\n", _REGALLOC,
     "a value that a loop needs again is overwritten in it"),
    ("regalloc: near uses", "codegen/regalloc/spill.py", "uses[j] - last <= NEAR:", "uses[j] - last <= 0:", _REGALLOC,
     "a spilled value is loaded for each use"),
    ("regalloc: incoming cells", "codegen/regalloc/spill.py", "        if v in self.arrivals:", "        if v in ():", _REGALLOC,
     "a parameter that arrives in memory is copied to another place there"),
    ("regalloc: cost of saving", "codegen/regalloc/allocate.py", "if weight <= SAVE_COST:", "if weight < 0:", _REGALLOC,
     "a register is saved and restored for a value that is used once"),
    ("regalloc: width in memory", "codegen/regalloc/rewrite.py", "CONSTANT and self.rows.width[op] <= SIZES[self.types[v]]", "CONSTANT",
     _REGALLOC, "an instruction reads beyond a slot"),
    ("regalloc: split of late operands", "codegen/regalloc/rewrite.py", "point = 2 * k if tied else 2 * k - 1", "point = 2 * k - 1", _REGALLOC,
     "an operand is read in a register that it has left",
     "a split ends between the two points only where the tied operand is the same value, which the register then still holds"),
    ("regalloc: end of a split", "codegen/regalloc/rewrite.py", "i >= 0 and point < splits.ends[i]:", "i >= 0 and point <= splits.ends[i]:",
     _REGALLOC, "a value is read in a register that it has left"),
    ("regalloc: free scratch register", "codegen/regalloc/scratch.py", "not assignment.busy[candidate] >> (2 * self.k - 1) & 7:",
     "not assignment.busy[candidate] >> (2 * self.k - 1) & 0:", _REGALLOC, "an operand is loaded over another value"),
    ("regalloc: register of the source", "codegen/regalloc/scratch.py", "in order and not assignment.busy[rn] >> 2 * self.k & 3:",
     "in order:", _REGALLOC, "a tied result overwrites a value that is needed later"),
    ("regalloc: block by block", "codegen/regalloc/local.py", "v >= VIRTUAL and self._dies(v, k) and v != rm", "v >= VIRTUAL and v != rm",
     _REGALLOC, "a tied result overwrites a value that is needed later, in huge functions"),
    ("regalloc: aligned frames", "codegen/frame.py", "size = _round(size + target.return_bytes) - target.return_bytes", "size = _round(size)",
     "tests/codegen/test_frame.py", "the stack is not aligned at calls"),
    ("moves: scratch in use", "codegen/regalloc/moves.py", "if self.held or (register_class", "if (register_class", _MOVES,
     "a cycle destroys the address of a call"),
    ("moves: address in place", "codegen/regalloc/moves.py", "address < PHYSICAL and not written >> address & 1", "address < PHYSICAL",
     _REGALLOC, "an argument overwrites the address of a call"),
    ("moves: last reader", "codegen/regalloc/moves.py", "if readers[src] == 0:", "if readers[src] <= 1:", _MOVES,
     "a register is overwritten that is still to be read"),
    ("moves: tail call", "codegen/regalloc/moves.py", "if address in dsts:", "if address in ():", f"{_REGALLOC} {_SKELETON}",
     "an argument overwrites the address of a tail call"),
    ("moves: address beside cells", "codegen/regalloc/moves.py", "if site.in_place == NONE:\n            copy", "if site:\n            copy",
     f"{_REGALLOC} {_SKELETON}", "a move between cells overwrites the address of a tail call"),
    # Tail calls
    ("tails: the same instance", "codegen/isa/x64/tails.py", "self.branch(r.CC_NE, out.label)", "self.branch(r.CC_A, out.label)",
     "tests/codegen/execute/test_tail_calls.py", "a caller goes on with the instance of what its callee called last"),
    ("tails: left already", "codegen/isa/x64/tails.py", "self.branch(r.CC_E, site.back)", "self.branch(r.CC_O, site.back)", _TAILS,
     "tail calls between instances take of the stack"),
    ("tails: room", "codegen/select_call.py", "room < 0 or any(", "any(", _TAILS, "arguments overwrite the return address"),
    ("tails: wide values", "codegen/select_call.py", "if not stack_bytes or room < 0 or any(CELLS[type] > 1 for type in params):",
     "if not stack_bytes or room < 0:", _TAILS, "a vector is moved over half of another"),
    ("tails: bytes to pop", "runtime/code/entries.py", "popped[number] = size", "popped[number] = 0",
     _TAIL_FRAMES, "a backtrace from a function that is being compiled is wrong"),
    # The SSA form
    ("ir: load after a call", "ir/simplify/walk.py", "self.loads.forget()", "self.loads.enter", _SIMPLIFY,
     "a global has the value it had before a call"),
    ("ir: other base", "ir/simplify/memory.py", "apart = key & operands == address", "apart = True", _SIMPLIFY,
     "an imported global may be another one's cell"),
    ("ir: dominance", "ir/simplify/walk.py", "if def_block <= here < self.ends[def_block]:", "if def_block <= here:", _SIMPLIFY,
     "a value is used that only the other branch computes"),
    ("ir: shift back", "ir/simplify/numeric.py", "ops.I64_SHL) and a.args[1] is b:", "ops.I64_SHL):", _RULES,
     "shifts by different counts are taken for a sign extension"),
    ("ir: narrow comparison", "ir/simplify/compare.py", "return _compare(s, value, NARROW[UNSIGNED[op]],",
     "return _compare(s, value, NARROW[op],", _RULES, "an extended u32 is compared as a signed number"),
    ("ir: sign of an extension", "ir/simplify/numeric.py", "if unsigned_bits(a) < 32:", "if unsigned_bits(a) <= 32:", _RULES,
     "a negative number is extended with zeros"),
    ("ir: mask of a count", "ir/simplify/numeric.py", "if int_aux(b.args[1]) & turn != turn:", "if False:", _RULES,
     "a shift count is not masked"),
    ("ir: dead load", "ir/params.py", "                    if aux < _LINEAR:", "                    if True:",
     "tests/ir/test_params.py tests/runtime/trap/test_traps.py::test_dropped_loads_still_trap", "a load beyond the end does not trap"),
    ("ir: parameters", "ir/params.py", "if value is not only and value is not param:", "if value is not only:", "tests/ir/test_params.py",
     "a loop's parameter that never changes is kept"),
    # Exceptions
    ("exceptions: registers", "codegen/select_call.py", "site = CallSite([], [], [], [], abi.all_clobbers(s.target))",
     "site = CallSite([], [], [], [], abi.wasm_clobbers(s.target))", "tests/codegen/execute/test_handlers.py",
     "a landing pad relies on registers that a throw does not restore"),
    ("exceptions: clauses", "ir/build/exceptions.py", "rest = b.emit(ops.I64_SUB, [number, b.const(ops.I64, scope.own)])",
     "rest = number", "tests/api/exceptions/test_exceptions.py", "a clause of the next try_table is taken for another"),
    ("exceptions: resources", "runtime/objects/exceptions.py", "(Error, RecursionError, MemoryError)", "Error",
     "tests/api/exceptions/test_exceptions.py", "a guest goes on without a stack"),
    ("exceptions: stack arguments", "runtime/stubs/builtins/walk.py", "e.emit(ops.I64_SUB, [popped, pushed])", "e.word(0)",
     "tests/api/exceptions/test_exceptions.py", "frames below a tail call are taken for what they are not"),
    # Traps and bounds
    ("traps: divisor 0", "ir/build/numeric.py", "return value.op != ops.CONST or value.aux == bits", "return value.op != ops.CONST",
     _TRAPS, "a constant divisor of 0 kills the process"),
    ("traps: overflow", "ir/build/numeric.py", "overflow = b.emit(ops.I32_AND,", "overflow = b.emit(ops.I32_XOR,", _TRAPS,
     "-2**31 by -1 kills the process"),
    ("traps: truncation", "ir/build/numeric.py", '"i32_trunc_f64_s": ("le",', '"i32_trunc_f64_s": ("lt",', _TRAPS,
     "-2**31 - 1 is converted"),
    ("traps: type of a callee", "ir/build/calls.py", "b.emit(ops.I32_NE, compared(b, ", "b.emit(ops.I32_LT_U, compared(b, ",
     f"{_TRAPS}::test_call_indirect", "a function of another type is called"),
    ("bounds: size of an access", "ir/build/memory.py", "ops.aux_offset(aux) + size)", "ops.aux_offset(aux))",
     "tests/runtime/trap/test_bounds_checks.py",
     "an access begins within memory and ends outside"),
    ("bounds: last byte", "ir/build/checks.py", "return b.emit(ops.I64_LT_U, [b.memory_length(memory), end])",
     "return b.emit(ops.I64_LE_U, [b.memory_length(memory), end])", _SMALL_PAGES, "the last byte cannot be accessed"),
    ("bounds: large offset", "ir/build/checks.py", "if reach > least:", "if reach > 8 * least:", _SMALL_PAGES,
     "the length less an offset wraps"),
    ("bounds: constant index", "ir/build/checks.py", "else least - reach + 1", "else least", _SMALL_PAGES,
     "a constant address at the end is not checked"),
    ("bounds: distance", "ir/simplify/checks.py", "distance < other_end + LEAST_MARGIN", "distance <= other_end + LEAST_MARGIN", _CHECKS,
     "an access may lead behind what is kept free"),
    ("bounds: dominance", "ir/simplify/checks.py", "block <= here < ends[block]", "block <= here", _CHECKS,
     "a check that another branch has passed is dropped"),
    ("bounds: modulus", "ir/simplify/checks.py", "added - other & mask", "added - other", _CHECKS,
     "an index before the one that was checked needs no check"),
    ("bounds: memory.init", "runtime/stubs/builtins/memories.py", "_check(e, from_, length, e.get(record, layout.SEGMENT_LENGTH))",
     "e.get(record, layout.SEGMENT_LENGTH)", _TRAPS,
     "memory.init reads the next segment"),
    ("tables: kept", "runtime/stubs/builtins/tables.py", "[self.get(reference, layout.FUNCREF_INSTANCE), kept]", "[kept, kept]",
     _TABLES, "a table calls a function of an instance that has gone"),
    ("tables: counted", "runtime/stubs/builtins/cells.py", "    hold(e, new)\n", "    hold\n", _TABLES,
     "an object goes while a table has it"),
    ("tables: dropped", "runtime/stubs/builtins/cells.py", "    drop(e, old, record)\n", "    drop\n", _TABLES,
     "objects stay for ever"),
    ("tables: grow within the limit", "runtime/stubs/builtins/tables.py", "[delta, left]", "[left, left]", _TABLES,
     "a guest has more elements than it may"),
    ("bulk: order of stores", "ir/build/bulk.py", "for value, offset, size in reversed(values):", "for value, offset, size in values:",
     _SMALL_BULK, "a copy that traps has written something"),
    ("bounds: table.copy", "runtime/objects/builtins.py", "if source + count > len(from_) or target", "if target", _TRAPS,
     "table.copy reads beyond a table"),
    # Objects
    ("objects: a new one overwrites nothing", "ir/simplify/memory.py", "if region == ops.REGION_INITIAL:", "if region > ops.REGION_INITIAL:",
     _ALIASES, "nothing is known of an object that has just been made"),
    ("objects: fields of two", "ir/simplify/memory.py", "            elif other != aux:\n", "            elif True:\n", _ALIASES,
     "a field that another reference assigns keeps its value"),
    ("objects: elements at any index", "ir/simplify/memory.py", "apart = address >= 0 and key & index == 0", "apart = True", _ALIASES,
     "an element that is assigned by an index keeps its value"),
    ("objects: what a branch found", "ir/simplify/walk.py", "or before.succs[0] is before.succs[1]:", "or before.succs[0] is block:", _ALIASES,
     "a check that a branch has made is made again"),
    ("objects: length", "ir/build/objects/arrays.py", "b.emit(ops.I32_GE_U, [index, _length(b, reference)])",
     "b.emit(ops.I32_GT_U, [index, _length(b, reference)])", _OBJECTS, "an access beyond the last element"),
    ("objects: words of elements", "ir/build/objects/cells.py", "for offset in range(layout.OBJECT_FIELDS, size, 8):",
     "for offset in range(layout.OBJECT_FIELDS, size - 7, 8):", _OBJECTS, "the last elements of a new array are what was there before"),
    ("objects: functions are kept", "ir/build/objects/cells.py", "low == CONCRETE and isinstance", "low == FUNCREF and isinstance", _FUNCTIONS,
     "a function goes while an object has it"),
    ("objects: a segment's end", "ir/build/objects/arrays.py", "b.trap_if(b.emit(ops.I64_GT_U, [b.emit(ops.I64_ADD",
     "b.trap_if(b.emit(ops.I64_GT_S, [b.emit(ops.I64_SUB", _OBJECTS, "an array is made that a segment cannot fill"),
    ("objects: alignment", "ir/layouts.py", "mask = min(size, _WORD) - 1", "mask = min(size, 4) - 1", "tests/ir/test_layouts.py",
     "a reference is where the collector does not look"),
    ("objects: constants", "ir/constants.py", "stack.append(_OBJECTS[code](module, immediate, stack, surroundings))",
     "stack.insert(0, _OBJECTS[code](module, immediate, stack, surroundings))", "tests/ir/test_constants.py", "objects of objects are mixed up"),
    # Types
    ("types: i31 as a source", "ir/build/casts.py", "frozenset((ANYREF, EQREF, I31REF))", "frozenset((ANYREF, EQREF))", _CASTS,
     "a cast reads where an i31 points to"),
    ("types: null as a source", "ir/build/casts.py", "if not source & NON_NULL:\n        null", "if source & NON_NULL:\n        null",
     _CASTS, "a cast reads at 0"),
    ("types: final", "ir/build/casts.py", "    if types[index].final:\n", "    if True:\n", _CASTS, "a subtype is not what it is"),
    ("types: beyond the display", "ir/build/casts.py", "if depth >= layout.DISPLAY_DEPTHS:", "if depth > layout.DISPLAY_DEPTHS:", _CASTS,
     "the parent of a type is taken for an ancestor"),
    ("types: hosts are not eq", "ir/build/casts.py", "_tags(b, reference), layout.HOST_TAG)", "_tags(b, reference), layout.I31_TAG)",
     _CASTS, "ref.eq compares objects of the host"),
    ("types: a place for one", "ir/type_descriptors.py", "places.append(self._free.pop())", "places.append(self._free[-1])",
     _DESCRIPTORS, "two types have one descriptor"),
    ("types: places come back", "ir/type_descriptors.py", "        self._free.append(place)\n", "        self._free\n", _DESCRIPTORS,
     "a server that loads modules for years runs out of descriptors"),
    ("types: of functions", "runtime/objects/values.py", "if low != FUNCREF and not TYPES", "if low == FUNCREF and not TYPES", _REFERENCES,
     "a function of another type is called"),
    ("types: what is counted", "wasm/syntax/types.py", "return low == EXTERNREF or low == ANYREF", "return low == EXTERNREF", _REFERENCES,
     "an object goes while a table of anyref has it"),
    # Limits
    ("limits: growth", "runtime/platform/linear.py", "if new > limit or new", "if new > limit + 1 or new", "tests/api/test_memory.py",
     "a memory is larger than its type says"),
    ("limits: budget", "runtime/limits.py", "if self.used + amount > self.limit:", "if self.used + amount >= self.limit:",
     "tests/runtime/test_limits.py", "the last page of a budget cannot be had"),
    ("limits: instances", "runtime/limits.py", "if len(self._taken) > self._limit:\n            # Some",
     "if len(self._taken) > self._limit + 1:\n            # Some", "tests/runtime/test_limits.py", "there is one instance too many"),
    # Stores
    ("stores: lent objects", "runtime/store/linking.py", "self.native.stubs.move_lent(other.record, self.record)",
     "self.native.stubs.move_lent", _STORES, "externrefs of the store that goes are freed too early or never"),
    ("stores: stack", "runtime/store/linking.py", "        self._use_stack(other.stack_size)\n", "        self._use_stack\n",
     "tests/runtime/test_limits.py", "linked instances overflow a stack that is too small"),
    ("stores: fuel callback", "runtime/store/linking.py", "self.fuel.ask = self.fuel.ask or other.fuel.ask", "self.fuel.ask = self.fuel.ask",
     "tests/runtime/store/test_fuel.py", "a merged store forgets who gives it fuel"),
    ("stores: fuel", "runtime/store/linking.py", "self.fuel.move(context, self.context)", "self.fuel.move", "tests/runtime/store/test_fuel.py",
     "a merged store loses its fuel"),
    ("stores: who stays", "runtime/store/linking.py", "if one._joined >= two._joined else", "if one._joined < two._joined else", _STORES,
     "a lasting store keeps what is left of many short ones"),
    # WASI
    ("wasi: dots", "wasi/directories/paths.py", "        if not self._names:\n", "        if self._names is None:\n", _PATHS,
     "`..` leads out of a directory"),
    ("wasi: absolute link", "wasi/directories/paths.py", 'if target.startswith("/"):', "if not target:", _PATHS,
     "an absolute link is taken for one inside"),
    ("wasi: number of links", "wasi/directories/paths.py", "if self._links > MAX_LINKS:", "if self._links > 2 * MAX_LINKS:", _PATHS,
     "a path may have more links than is said"),
    ("wasi: entered link", "wasi/directories/host.py", "os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW |",
     "os.O_RDONLY) | os.O_DIRECTORY |", _PATHS, "the host follows a link out of the directory"),
    ("wasi: opened link", "wasi/directories/host.py", "_ALWAYS: Final = os.O_NOFOLLOW |", "_ALWAYS: Final =", _PATHS,
     "the host follows a link to a file outside"),
    ("wasi: one buffer", "wasi/calls/memory.py", "if 0 < size <= self.size - base:", "if 0 < size:", "tests/wasi/test_process.py",
     "a buffer that ends outside of memory is cut instead of refused"),
    ("wasi: NUL in a path", "wasi/calls/memory.py", 'if "\\0" in path:', "if not path:", _PATHS,
     "Python's ValueError comes out of the guest"),
    # Threads
    ("threads: what is read anew", "ir/simplify/walk.py", "if flags & ops.ORDERED:", "if flags & ops.TERMINATOR:", _SIMPLIFY,
     "the length of a memory is not the one that another thread has published"),
    ("threads: order of accesses", "codegen/select.py", " | ops.TERMINATOR | ops.ORDERED)", " | ops.TERMINATOR)", _SELECT,
     "a load moves over an atomic one"),
    ("threads: alignment", "ir/build/atomic.py", "    if size == 1:", "    if size < 4:", "tests/spec/test_scripts.py::test_threads_with_all_of_wasm_3",
     "an access of two bytes is not aligned"),
    ("threads: only shared memories", "runtime/objects/instantiate.py", "isinstance(extern, Memory) and not extern.type.shared:",
     "isinstance(extern, Memory) and extern.type.shared:", "tests/runtime/test_shared_memories.py::test_only_shared_memories_cross_threads",
     "shared memories link, and others do not"),
    ("threads: how many are woken", "runtime/trap/parking.py", "        if woken == count:", "        if woken > count:",
     "tests/runtime/test_shared_memories.py::test_wakes_those_that_came_first", "one more is woken than was asked for"),
    ("threads: how many there are", "wasi/threads.py", ">= self._most:", "> self._most:",
     "tests/wasi/threads/test_threads.py::test_threads_without_end", "a program has one more than it may"),
    # Validation
    ("valid: if without else", "wasm/valid/body.py", "if block_op == 0x04 and params != results and", "if block_op == 0x05 and params != results and",
     "tests/wasm/valid/test_validate.py tests/wasm/valid/test_validate_rules.py", "an if leaves what only one side has"),
    ("valid: left operand", "wasm/valid/body.py", "if top == type_ and stack[-1] == type_:", "if top == type_:",
     "tests/wasm/valid/test_validate.py tests/wasm/valid/test_validate_rules.py", "an i64 is added to an i32"),
    ("valid: end of a body", "wasm/valid/body.py", "    if pos != len(code):", "    if pos > len(code):",
     "tests/wasm/valid/test_validate.py tests/wasm/valid/test_validate_rules.py", "a body goes on after its end"),
    ("valid: start function", "wasm/valid/module.py", "    _check_start(module)\n", "    _check_start\n",
     "tests/wasm/valid/test_validate_modules.py", "a start function takes parameters"),
    ("valid: later globals", "wasm/valid/module.py", 'f"global {place}", place)', 'f"global {place}", len(module.globals))',
     "tests/wasm/valid/test_validate_modules.py", "a global is initialised from one that comes after it"),
    # Objects of the heap in Python
    ("objects: another store", "runtime/objects/values.py", "    if not references.owns(handle):", "    if not handle:",
     f"{_HANDLES}test_lives.py", "an object of one store is referred to from another, whose collector does not know it"),
    ("objects: views of constants", "runtime/stubs/objects.py", "= e.get32(block, VIEW_READONLY)", "= e.const(I32, 0)",
     f"{_HANDLES}test_arrays.py", "an array whose elements are constant is written through a view"),
    ("objects: functions", "runtime/heap/fields.py", "store.keep(owner_of(linux.read_u64(place)))", "owner_of(linux.read_u64(place))",
     f"{_HANDLES}test_lives.py::test_functions_in_objects_stay", "an object refers to a function that has gone"),
    ("objects: handles", "runtime/stubs/refs.py", "e.get(e.symbol(place), 0)), handle)", "e.symbol(place)), handle)",
     f"{_HANDLES}test_lives.py", "a handle comes in as an object of the host"),
    ("objects: types of other stores", "runtime/code/known_types.py", "_holders[first] += 1", "_holders[first] += 0",
     f"{_HANDLES}test_making.py", "a type goes while a store has objects of it"),
    ("objects: types of the host", "runtime/heap/chosen.py", "    return FieldType(storage, bool(field.mutable))", "    return field",
     f"{_HANDLES}test_making.py", "a type of the host says something else after it has been checked"),
    # Cache
    ("cache: key of an entry", "cache/entries.py", "or own_key != key or", "or", "tests/cache/test_entries.py",
     "a file under a wrong name is taken for another module's"),
    ("cache: checksum", "cache/entries.py", "!= checksum or len", "!= checksum and len", "tests/cache/test_entries.py", "damage is executed"),
    ("cache: owner", "cache/entries.py", "and status.st_uid == os.geteuid()", "", "tests/cache/test_misuse.py",
     "code of somebody else is executed"),
    ("cache: permissions", "cache/entries.py", "and not status.st_mode & WRITABLE_BY_OTHERS", "", "tests/cache/test_misuse.py",
     "code that anybody can write is executed"),
    ("cache: symlinks", "cache/entries.py", '("O_NOFOLLOW", "O_CLOEXEC"', '("O_CLOEXEC"', "tests/cache/test_misuse.py",
     "a file outside the folder is read"),
    ("cache: what is left", "cache/entries.py", "            os.unlink(part)", "            os.stat(part)", "tests/cache/test_failures.py",
     "a full disk stays full"),
    ("cache: sizes that are told", "cache/entries.py", "and status.st_size <= _HEAD_SIZE + LARGEST", "", "tests/cache/test_misuse.py",
     "a terabyte of nothing is read"),
    ("cache: time of use", "cache/entries.py", "if abs(time.time() - used) > DAY:", "if time.time() - used > DAY:", "tests/cache/test_entries.py",
     "after the clock has been set back an entry is never old"),
    ("cache: clock set back", "cache/eviction.py", "return entry.used > now + DAY, now - entry.used", "return False, now - entry.used",
     "tests/cache/test_eviction.py", "entries that nobody uses stay, those in use go"),
    ("cache: parts in use", "cache/eviction.py", "if abs(now - part.used) > _HOUR]", "if True]", "tests/cache/test_eviction.py",
     "an entry goes while somebody writes it"),
    ("cache: a folder of others", "cache/folder.py", "if not own.st_uid == status.st_uid == os.geteuid():", "if not status.st_uid == os.geteuid():",
     "tests/cache/test_misuse.py", "a symlink of somebody else is followed"),
    ("cache: young sources", "cache/keys.py", "if not statuses or max(status.st_ctime_ns for status in statuses) > imported:", "if not statuses:",
     "tests/cache/test_keys.py", "code of old sources is kept as that of new ones"),
    ("cache: plain values", "cache/keys.py", "        if type(value) is tuple:", "        if isinstance(value, (tuple, set)):",
     "tests/cache/test_keys.py", "a set has another order in each process"),
    # Decoder
    ("decoder: order of sections", "wasm/binary/decode.py", "if ORDER[section] <= last:", "if ORDER[section] < last:",
     "tests/wasm/binary/test_decode.py", "a section may be there twice"),
    ("decoder: end of a section", "wasm/binary/decode.py", "        if self.pos != self.end:", "        if self.pos > self.end:",
     "tests/wasm/binary/test_decode.py", "a section has more in it than is read"),
    ("decoder: size of an integer", "wasm/binary/leb128.py", "if result >> bits:", "if result >> 64:", "tests/wasm/binary/test_leb128.py",
     "a u32 has more than 32 bits"),
    ("decoder: bodies", "wasm/binary/decode.py", "if defined != len(module.bodies):", "if defined > len(module.bodies):",
     "tests/wasm/binary/test_decode.py", "there are bodies without a function"),
    ("decoder: longest integer", "wasm/binary/leb128.py", "if shift >= bits:", "if shift > bits:", "tests/wasm/binary/test_leb128.py",
     "an integer is longer than it may be", "the shift is a multiple of 7 and never the width: 32, 33 or 64"),
]  # fmt: skip

MUTANTS: Final = [Mutant(*row) for row in _ROWS]
