"""The map file for `perf`: what is in it, whose it is, and what a fork does. Each in a process of its own."""

from __future__ import annotations

from tests.runtime.support import check_script

PRELUDE = """
import os, figwasp
TEXT = '(module $m (func $f (export "f") (param i32) (result i32) (local.get 0)) (func (export "odd\\\\0aname")) (func (export "x") (call 3)) (func))'
PATH = f"/tmp/perf-{os.getpid()}.map"

def lines(path=PATH):
    with open(path) as file:
        return [line.rstrip("\\n").split(" ", 2) for line in file]

def load(**options):
    return figwasp.load(figwasp.Module(figwasp.wat(TEXT), engine=figwasp.Engine(**options))).exports
"""


def run(code: str) -> None:
    import textwrap

    check_script(PRELUDE + "try:\n" + textwrap.indent(textwrap.dedent(code), "    ") + "finally:\n    os.path.exists(PATH) and os.unlink(PATH)\n")


def test_functions_are_named_where_they_stand() -> None:
    run("""
        from figwasp.runtime.start import native_runtime
        load(perf_map=False).f(1)
        assert not os.path.exists(PATH)
        exports = load(perf_map=True)
        assert not [line for line in lines() if line[2].startswith("m::")]
        for _ in range(2):
            exports.f(1); exports["odd\\nname"](); exports.x()
        found = {name: (int(start, 16), int(size, 16)) for start, size, name in lines() if name.startswith("m::")}
        assert set(found) == {"m::f", "m::odd?name", "m::x", "m::func[3]"}, found
        for name, (start, size) in found.items():
            placed = native_runtime().table.find(start + 1)
            assert (placed.start, placed.end) == (start, start + size)
        assert len(lines()) == len({(start, name) for start, _, name in lines()})
        load().f(1)
        assert sum(name == "m::f" for _, _, name in lines()) == 1
    """)


def test_a_wrapper_of_a_listener_is_named() -> None:
    run("""
        load(perf_map=True, listener=lambda func: object()).f(1)
        assert [name for _, _, name in lines() if name.startswith("m::")] == ["m::f", "m::listen.0"]
    """)


def test_a_map_of_this_user_is_gone_on_with() -> None:
    run("""
        with open(os.open(PATH, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write("1000 10 another compiler\\n")
        load(perf_map=True).f(1)
        assert lines()[0] == ["1000", "10", "another compiler"]
        assert lines()[-1][2] == "m::f"
    """)


def test_what_others_might_write_is_left_alone() -> None:
    run("""
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "victim")
            open(target, "w").close()

            def refused():
                try:
                    load(perf_map=True)
                except figwasp.Error as error:
                    assert PATH in str(error)
                else:
                    assert False
                assert os.path.getsize(target) == 0
                os.unlink(PATH)

            os.symlink(target, PATH)
            refused()
            os.link(target, PATH)
            refused()
            os.close(os.open(PATH, os.O_CREAT, 0o600))
            os.chmod(PATH, 0o666)
            refused()
            os.mkfifo(PATH, 0o600)
            refused()
        load(perf_map=True).f(1)
        assert lines()[-1][2] == "m::f"
    """)


def test_a_forked_child_writes_its_own() -> None:
    run("""
        exports = load(perf_map=True)
        exports.f(1)
        before = lines()
        child = os.fork()
        if not child:
            mine = f"/tmp/perf-{os.getpid()}.map"
            try:
                assert lines(mine) == before
                exports.x()
                assert [name for _, _, name in lines(mine)][-2:] in (["m::x", "m::func[3]"], ["m::func[3]", "m::x"])
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
            finally:
                os.unlink(mine)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert lines() == before
    """)
