"""What a process makes once, when it is first used: whole and the same for all, whoever comes between or stops it."""

from __future__ import annotations

from figwasp.runtime.platform import linux
from figwasp.runtime.start import native_runtime
from figwasp.runtime.stubs import installed, library
from tests.interrupts.lines import ALL, SEED, between_lines
from tests.runtime.support import run_script


def test_lazy_entries_have_one_number_each() -> None:
    """A call between any two lines of the first one for a block gets the same entries, and those of their own functions."""
    stubs = native_runtime().stubs
    size = stubs.sequences.lazy_entry_size
    first = 64 * library._LAZY_BLOCK  # of a block that no test has asked for
    inner: list[tuple[int, int]] = []
    outer: list[tuple[int, int]] = []

    def both() -> tuple[int, int]:
        return stubs.lazy_entries(first)[0], stubs.lazy_entries(first + library._LAZY_BLOCK)[0]

    between_lines(library.__file__, lambda: outer.append(both()), lambda _: inner.append(both()))
    assert len(inner) > 3 and {*inner} == {*outer}
    for number, address in zip((first, first + library._LAZY_BLOCK), outer[0], strict=True):
        expected = stubs.sequences.lazy_entries([(number + k, 0) for k in range(library._LAZY_BLOCK)], address, stubs.lazy)
        assert linux.read(address, library._LAZY_BLOCK * size) == expected


def test_stubs_have_one_address_and_one_word_each() -> None:
    """A call at any line of the first one for a stub gets an address that is as good; words of symbols are filled once."""
    stubs = native_runtime().stubs

    def at_line(line: int) -> int:
        """Call at one of the lines; return how many there are."""
        key = f"host:{line & 1023:010b}:v".replace("0", "f").replace("1", "d")  # of a type that no test has asked for
        inner: list[int] = []
        outer: list[int] = []
        lines = between_lines(
            installed.__file__,
            lambda: outer.append(stubs.stub(key)),
            lambda number: inner.append(stubs.stub(key)) if number == line else None,
        )
        assert {stubs.stub(key)} == {*outer, *inner}, line
        between.extend(inner)
        return lines

    between: list[int] = []
    lines = at_line(-1)
    assert lines > 30
    for line in range(0, lines, 1 if ALL else lines // 8):
        at_line(line)
    assert len(between) > 3
    for name, number in stubs._words.items():
        assert linux.read_u64(stubs._region.cells + 8 * number) == stubs.symbols.value(name)


def test_a_builtin_that_was_stopped_is_made_by_the_next_call() -> None:
    """Stopped at any line of its making, the first call of a builtin leaves nothing half made."""
    done = run_script(
        """
        import figwasp
        from tests.interrupts.lines import Stopper, run
        source = figwasp.wat('(module (memory 1 2) (func (export "grow") (result i32) (memory.grow (i32.const 1))))')
        at, stopped = 0, True
        while stopped:
            stopper = Stopper(at)
            stopped = run(lambda _: figwasp.load(source).grow(), None, stopper)
            assert figwasp.load(source).grow() == 1, stopper.place
            at += 97
        assert at > 1000
        """
    )
    assert done.returncode == 0, done.stderr  # finalizers that are stopped are reported there


def test_a_runtime_that_was_being_made() -> None:
    """What is left of one, wherever it was stopped, is not used by anybody: the collector, a fault, a fork, the end of the process."""
    done = run_script(
        f"""
        import gc, os, random
        import figwasp
        from figwasp.runtime import start
        from tests.interrupts.lines import Stopper, run
        chance = random.Random({SEED})
        figwasp.load(figwasp.wat("(module)"))
        whole = Stopper(1 << 60)
        run(lambda _: start._make(), None, whole)
        lines = (1 << 60) - whole.left
        for _ in range({200 if ALL else 6}):
            assert run(lambda _: start._make(), None, Stopper(chance.randrange(lines // 2, lines)))
            gc.collect()
        module = figwasp.wat('(module (memory 1) (func (export "f") (result i32) (i32.load (i32.const 65536))))')
        try:
            figwasp.load(module).f()
        except figwasp.Trap:
            pid = os.fork()
            if not pid:
                gc.collect()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            raise SystemExit(7)
        """,
        env={"PYTHONMALLOC": "debug"},
    )
    assert done.returncode == 7, f"FIGWASP_SEED={SEED}\n{done.stderr}"
