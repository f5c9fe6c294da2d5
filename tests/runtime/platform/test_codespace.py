"""Executable memory: no page is ever writable and executable; what happens where the system forbids one way or both."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

import figwasp
from figwasp.codegen.code import FIELD_NEAR, RELOC_STUB, STUB_TICK, STUB_TRAP, Code
from figwasp.codegen.isa import host
from figwasp.codegen.words import Words
from figwasp.runtime.platform import codespace, linux
from figwasp.runtime.start import native_runtime
from tests.interrupts.lines import between_lines
from tests.runtime.support import check_script, load

COUNT = 8

BIG = "(module " + "".join(
    f'(func (export "f{k}") (param i32) (result i32) '
    + "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 3)) (i32.const 1)))" * (k * 20)
    + "(local.get 0))"
    for k in range(COUNT)
) + ")"  # fmt: skip


def run_all(inst: figwasp.Instance) -> None:
    """Call every function, and check what it computes."""
    for k in range(COUNT):
        expected = 5
        for _ in range(k * 20):
            expected = (expected * 3 + 1) & 0xFFFFFFFF
        assert inst.exports[f"f{k}"](5) & 0xFFFFFFFF == expected


def mappings() -> list[tuple[int, int, str]]:
    """Give start, end and permissions of the mappings of this process."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions = line.split()[:2]
        start, end = (int(part, 16) for part in span.split("-"))
        found.append((start, end, permissions))
    return found


def test_no_page_is_writable_and_executable() -> None:
    """While modules are loaded, compiled, run and dropped, no mapping of the process is both."""
    check_script(
        """
        import gc
        from figwasp.runtime.platform import codespace
        from figwasp.runtime.start import native_runtime
        from tests.runtime.support import load
        from tests.runtime.platform.test_codespace import BIG, mappings, run_all
        insts = [load(BIG) for _ in range(3)]
        for inst in insts:
            run_all(inst)
            assert not [entry for entry in mappings() if "w" in entry[2] and "x" in entry[2]]
        space = native_runtime().space
        inside = [entry for entry in mappings() if space.start <= entry[0] < space.start + codespace.RANGE_SIZE]
        assert any("x" in entry[2] for entry in inside) and any("w" in entry[2] for entry in inside)
        insts.clear()
        del inst
        gc.collect()
        assert not [entry for entry in mappings() if "w" in entry[2] and "x" in entry[2]]
        """
    )


def test_code_of_dropped_modules_is_reused() -> None:
    """Loading and dropping modules for ever does not use up the range for code."""
    space = native_runtime().space
    for _ in range(3):
        run_all(load(BIG))
    gc.collect()
    before = len(space._chunks)
    for _ in range(15):
        run_all(load(BIG))
        gc.collect()
    assert len(space._chunks) == before


def test_range_used_up_is_an_error_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no address is left for code, loading or the first call raises LimitExceeded; what runs goes on."""
    inst = load(BIG)
    inst.f1(1)
    kept = []
    space = native_runtime().space
    monkeypatch.setattr(space, "_end", space.start + codespace.RANGE_SIZE)
    monkeypatch.setattr(space, "_free", [])
    with pytest.raises(figwasp.LimitExceeded, match="1 GiB"):  # noqa: PT012
        for _ in range(200):
            kept.append(load(BIG))
            run_all(kept[-1])
    assert inst.f1(1) == inst.f1(1)


FALLBACK = """
    import errno, figwasp
    from pathlib import Path
    from figwasp.runtime.platform import linux
    def refuse(address, size):
        raise OSError(errno.EPERM, "memfd_create: not permitted here")
    linux.dual_map = refuse
"""


def test_write_then_protect_where_memfd_is_not_to_be_had() -> None:
    """Without memory objects code is written first and protected then: everything works, traps and forks as well."""
    check_script(
        FALLBACK
        + """
    import os
    inst = figwasp.load(figwasp.wat('''(module (memory 1) (import "h" "f" (func $f (param i32) (result i32)))
      (func (export "a") (result i32) (i32.const 1)) (func (export "b") (result i32) (i32.const 2))
      (func (export "get") (param i32) (result i32) (i32.load (local.get 0)))
      (func (export "call") (param i32) (result i32) (call $f (local.get 0)))
      (func $r (export "r") (call $r)))'''.replace('(memory 1) (import "h" "f" (func $f (param i32) (result i32)))',
      '(import "h" "f" (func $f (param i32) (result i32))) (memory 1)')), {"h": {"f": lambda x: x + 1}})
    assert inst.a() == 1 and inst.call(4) == 5
    for call, arg in ((inst.get, (-1,)), (inst.r, ())):
        try:
            call(*arg)
        except figwasp.Trap:
            pass
        else:
            raise SystemExit("no trap")
    pid = os.fork()
    assert inst.b() == 2
    if pid == 0:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    for k in range(30):
        other = figwasp.load(figwasp.wat(f'(module (func (export "f") (result i32) (i32.const {k})))'))
        assert other.f() == k
    for line in Path("/proc/self/maps").read_text().splitlines():
        permissions = line.split()[1]
        assert not ("w" in permissions and "x" in permissions), line
    """
    )


def test_chunks_made_while_others_prepare_for_a_fork() -> None:
    """What is registered first is called last before a fork, and may wait for another thread, which compiles meanwhile."""
    check_script(
        """
    import os
    import threading
    chunks = []
    def prepare():
        if threading.current_thread() is threading.main_thread():
            thread = threading.Thread(target=lambda: chunks.append(space.chunk(1 << 16, 1 << 16)))
            thread.start()
            thread.join()
    os.register_at_fork(before=prepare)
    import figwasp
    from figwasp.runtime.start import native_runtime
    space = native_runtime().space
    pid = os.fork()
    assert chunks[0].frozen
    later = space.chunk(1 << 16, 1 << 16)
    assert not later.frozen and later is not chunks[0]
    if pid == 0:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    """
    )


def test_no_executable_memory_at_all() -> None:
    """Where the system forbids both ways, the error is Unsupported and names the cause; it stays that way and does not crash."""
    check_script(
        FALLBACK
        + """
    def never(address, data):
        raise OSError(errno.EACCES, "executable memory is not to be had: mprotect: Permission denied")
    linux.map_then_protect = never
    for _ in range(2):
        try:
            figwasp.load(figwasp.wat("(module)"))
        except figwasp.Unsupported as error:
            assert "memfd_create: not permitted here" in str(error) and "mprotect" in str(error), error
        else:
            raise SystemExit("no error")
    """
    )


def test_little_address_space_means_checked_mode() -> None:
    """Under a limit of address space memories have no guard areas: code checks bounds, and everything works."""
    check_script("""
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        import figwasp
        from figwasp.runtime.platform import modes
        inst = figwasp.load(figwasp.wat('''(module (memory (export "memory") 1) (func (export "get") (param i32) (result i32)
          (i32.load offset=4 (local.get 0))) (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))'''))
        assert modes.choose_mode() == modes.CHECKED
        assert inst.get(65528) == 0
        for bad in (65529, 65536, 2**31, 2**32 - 1, 2**32 - 4):
            try:
                inst.get(bad)
            except figwasp.Trap as trap:
                assert trap.code == "out of bounds memory access"
            else:
                raise SystemExit("no trap")
        assert inst.grow(100) == 1 and inst.get(65536 * 100) == 0
        kept = []
        try:
            for _ in range(100_000):
                kept.append(figwasp.load(figwasp.wat("(module (memory 100))")))
        except (figwasp.LimitExceeded, MemoryError):
            pass
        kept.clear()
        assert figwasp.load(figwasp.wat('(module (memory 1) (func (export "f") (result i32) (i32.load (i32.const 0))))')).f() == 0
        """)


def region_in(space: codespace.Space) -> codespace.Region:
    """Make a region without functions, whose code refers to nothing."""
    return codespace.Region(space, 0, lambda kind, target: 0)


def test_region_write_finds_its_chunk() -> None:
    """Code written after another chunk was begun meanwhile goes where it was placed."""
    space = native_runtime().space
    region = region_in(space)
    first = region.place(60_000)
    second = region.place(60_000)
    region.write(first, b"\xcc" * 16)
    region.write(second, b"\xc3" * 16)
    assert linux.read(first, 16) == b"\xcc" * 16 and linux.read(second, 16) == b"\xc3" * 16
    region.release()


def test_code_goes_straight_to_what_is_in_the_range() -> None:
    space = native_runtime().space
    far = linux.symbol("memset")
    goals = {STUB_TRAP: space.start + 64, STUB_TICK: far}
    region = codespace.Region(space, 0, lambda kind, target: goals[target])
    code = Code("calls", -1)
    code.data = bytes.fromhex("ff1500000000") * 2
    code.text_size = len(code.data)
    code.relocs = [(2, FIELD_NEAR, RELOC_STUB, STUB_TRAP), (8, FIELD_NEAR, RELOC_STUB, STUB_TICK)]
    through, straight = region.install(code), region.install(code, direct=True)
    words = [region.origin + Words(0).offset(RELOC_STUB, stub) for stub in goals]
    for address, found in [(through, words), (straight, [goals[STUB_TRAP], words[1]])]:
        data = linux.read(address, len(code.data))
        assert [host().goal(data, offset, FIELD_NEAR, address) for offset in (2, 8)] == found
    region.release()


def test_large_free_pieces_are_split() -> None:
    """What lives is what counts: a small module takes of a large free piece what it needs, and the rest is free for others."""
    space = codespace.Space()
    large = codespace.Region(space, 0, lambda kind, target: 0, room=1 << 20)
    first = large.place(1 << 20)
    large.release()
    small = [region_in(space) for _ in range(8)]
    found = [region.place(100) for region in small]
    assert len(set(found)) == 8 and all(first <= address < first + (1 << 20) for address in found)
    for region, address in zip(small, found, strict=True):
        region.write(address, bytes([address >> 16 & 0xFF]) * 100)
    assert [linux.read(address, 100) for address in found] == [bytes([address >> 16 & 0xFF]) * 100 for address in found]
    assert len(space._chunks) < 20


def test_whoever_lives_among_the_large_does_not_use_up_the_range() -> None:
    """Large regions that come and go, with a small one after each that stays, take the room of one large one."""
    space = codespace.Space()
    kept = []
    for _ in range(300):
        large = codespace.Region(space, 1000, lambda kind, target: 0, room=8 << 20)
        large.write(large.place(8 << 20), b"\xcc" * 16)
        large.release()
        kept.append(region := region_in(space))
        region.write(region.place(100), b"\xc3" * 16)
        linux.write_u64(region.cells, 1)
    assert space._end - space.start < 64 << 20
    assert all(linux.read_u64(region.cells) == 1 and linux.read(region.origin, 16) == b"\xc3" * 16 for region in kept)


def test_where_the_range_is_used_up_what_is_free_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large module takes small pieces then, instead of one as large as it would like."""
    space = codespace.Space()
    piece = region_in(space)
    first = piece.place(100)
    large = region_in(space)
    for _ in range(3):
        large.place(1 << 16)
    piece.release()
    assert space._free[0].words
    monkeypatch.setattr(space, "_end", space.start + codespace.RANGE_SIZE)
    assert large.place(100) in range(first, first + (1 << 16))
    with pytest.raises(figwasp.LimitExceeded):
        large.place(1 << 17)


def test_nobody_else_places_code_where_somebody_does() -> None:
    """Whatever runs between two lines of `place`, no two functions stand at one address."""
    region = region_in(codespace.Space())
    region.place(16)
    inner: list[int] = []
    outer: list[int] = []
    between_lines(
        codespace.__file__,
        lambda: outer.extend(region.place(16) for _ in range(50)),
        lambda _: inner.append(region.place(16)),
    )
    assert len(inner) > 100 and len({*inner, *outer}) == len(inner) + len(outer)
