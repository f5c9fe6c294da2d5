"""Floor 6: runs the commands of a script and tells which passed and which failed.

In: the commands and an engine. Out: a `Report`. Messages of traps are compared with what the script expects; of other outcomes
only the kind is: the wording of what is malformed, invalid or unlinkable is not normative.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from figwasp import errors
from figwasp.wast.engine import Definition, Engine, Found, Instance
from figwasp.wast.matching import matches, show, show_patterns
from figwasp.wast.report import Failure, Report
from figwasp.wast.script import Action, Command, ScriptModule, parse_script

__all__ = ["run_script"]

_T = TypeVar("_T")


def run_script(text: str | bytes, engine: Engine) -> Report:
    """Run a script on an engine made for it, which knows the proposals that are on."""
    report = Report()
    try:
        commands = parse_script(text)
    except errors.ParseError as error:
        report.tally("script").failed += 1
        report.failures.append(Failure(error.line, "the script", "a script", _first_line(error)))
        return report
    script = _Script(engine, {"spectest": engine.spectest()})
    _run_all(script, commands, report)
    return report


def _run_all(script: _Script, commands: list[Command], report: Report) -> None:
    """Run commands in their order, and wait for the threads that are left."""
    for command in commands:
        _run(script, command, report)
    for thread in list(script.threads.values()):
        thread.join(report)


def _run(script: _Script, command: Command, report: Report) -> None:
    """Run one command and count it."""
    tally = report.tally(command.kind)
    try:
        if command.kind == "thread":
            script.start_thread(command)
        elif command.kind == "wait":
            script.thread(command).join(report)
        else:
            _COMMANDS[command.kind](script, command)
        tally.passed += 1
    except errors.Unsupported:  # nothing runs here
        raise
    except _Wrong as wrong:
        _fail(command, report, wrong)
    except Exception as error:  # whatever goes wrong inside is a failure of this command, and the next one is run
        _fail(command, report, _Wrong("to be run", _outcome(error)))


def _fail(command: Command, report: Report, wrong: _Wrong) -> None:
    report.tally(command.kind).failed += 1
    report.failures.append(Failure(command.line, command.shown, wrong.expected, wrong.found))


class _Wrong(Exception):
    """The command failed."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(expected, found)
        self.expected = expected
        self.found = found


class _Absent:
    """Stands for an instance or a module that could not be made; commands that depend on it cannot pass."""

    __slots__ = ()

    def wrong(self) -> _Wrong:
        """Return the failure of such a command."""
        return _Wrong("an instance", "it could not be made")


_ABSENT: Final = _Absent()


class _Thread:
    """A thread of a script: a script of its own, which shares instances."""

    def __init__(self, script: _Script, commands: list[Command]) -> None:
        self._report = Report()
        self._thread = threading.Thread(target=_run_all, args=(script, commands, self._report))
        self._thread.start()

    def join(self, report: Report) -> None:
        """Wait for the thread and add the outcome of its commands, once."""
        self._thread.join()
        report.add(self._report)
        self._report = Report()


class _Script:
    """The state of a script under way.

    Args:
        engine: makes its instances.
        registered: the instances that modules can import from, by name.
    """

    def __init__(self, engine: Engine, registered: dict[str, Instance]) -> None:
        self.engine = engine
        self.threads: dict[str | None, _Thread] = {}
        self.definitions: dict[str | None, Definition | _Absent] = {}
        self.instances: dict[str | None, Instance | _Absent] = {}
        self.registered = registered
        self.absent: set[str] = set()

    # What commands are made of

    def define(self, source: ScriptModule | None) -> Definition:
        """Make a valid module."""
        assert source is not None
        return self.engine.define(source.encode())

    def instantiate(self, definition: Definition) -> Instance:
        """Make an instance."""
        if not self.absent.isdisjoint(item.module for item in definition.imports):
            raise _ABSENT.wrong()
        return self.engine.instantiate(definition, self.registered)

    def instance(self, id_: str | None) -> Instance:
        """Return an instance by identifier, or the last one."""
        found = self.instances.get(id_)
        if found is None:
            raise _Wrong("an instance", f"none is called {id_}" if id_ else "there is none yet")
        if isinstance(found, _Absent):
            raise found.wrong()
        return found

    def perform(self, action: Action | None) -> list[Found]:
        """Do an action and return its results."""
        assert action is not None
        instance = self.instance(action.module)
        return instance.invoke(action.name, action.args) if action.kind == "invoke" else [instance.get(action.name)]

    # Commands

    def module(self, command: Command) -> None:
        """Define a module, and unless it is only a definition, instantiate it."""
        source = command.source
        assert source is not None
        try:
            definition = self.define(source)
        except Exception:
            self._keep(self.definitions, source.id, _ABSENT)
            if not source.definition:
                self._keep(self.instances, source.id, _ABSENT)
            raise
        self._keep(self.definitions, source.id, definition)
        if not source.definition:
            self._make(source.id, definition)

    def make_instance(self, command: Command) -> None:
        """Instantiate a definition."""
        definition = self.definition(command.definition)
        if isinstance(definition, _Absent):
            self._keep(self.instances, command.id, definition)
            raise definition.wrong()
        self._make(command.id, definition)

    def definition(self, id_: str | None) -> Definition | _Absent:
        """Return a definition by identifier, or the last one."""
        found = self.definitions.get(id_)
        if found is None:
            raise _Wrong("a definition", f"none is called {id_}" if id_ else "there is none yet")
        return found

    def asserted(self, command: Command) -> Definition:
        """Return the module that an assertion instantiates: its own, the last definition from then on, or an earlier one."""
        if command.source is not None:
            made = self.definitions[None] = self.define(command.source)
            return made
        found = self.definition(command.definition)
        if isinstance(found, _Absent):
            raise found.wrong()
        return found

    def _make(self, id_: str | None, definition: Definition) -> None:
        try:
            instance = self.instantiate(definition)
        except Exception:
            self._keep(self.instances, id_, _ABSENT)
            raise
        self._keep(self.instances, id_, instance)

    @staticmethod
    def _keep(where: dict[str | None, _T], id_: str | None, what: _T) -> None:
        where[None] = what
        where[id_] = what

    def register(self, command: Command) -> None:
        """Let other modules import from an instance."""
        self.registered.pop(command.name, None)
        self.absent.discard(command.name)
        if isinstance(self.instances.get(command.id), _Absent):
            self.absent.add(command.name)
        self.registered[command.name] = self.instance(command.id)

    def action(self, command: Command) -> None:
        """Do an action."""
        self.perform(command.action)

    def assert_return(self, command: Command) -> None:
        """Do an action and compare its results."""
        expected = command.expected
        found = self.perform(command.action)
        if len(found) != len(expected) or not all(matches(*pair) for pair in zip(expected, found)):
            raise _Wrong(show_patterns(expected), " ".join(map(show, found)) or "no result")

    def assert_trap(self, command: Command) -> None:
        """Do an action or make an instance and check that it traps."""
        definition = self.asserted(command) if command.action is None else None
        try:
            if definition is not None:
                self.instantiate(definition)
                found = "an instance"
            else:
                found = " ".join(map(show, self.perform(command.action))) or "return"
        except errors.Trap as trap:
            found = f"trap: {trap.code}"
            if command.text.startswith(trap.code) or trap.code.startswith(command.text):
                return
        raise _Wrong(f"trap: {command.text}", found)

    def assert_exception(self, command: Command) -> None:
        """Do an action and check that it throws."""
        try:
            found = " ".join(map(show, self.perform(command.action))) or "return"
        except errors.WasmException:
            return
        raise _Wrong("an exception", found)

    def assert_malformed(self, command: Command) -> None:
        """Check that a module is refused as malformed."""
        try:
            self.define(command.source)
        except errors.Malformed:
            return
        except errors.Error as error:
            raise _Wrong(f"malformed: {command.text}", _outcome(error)) from None
        raise _Wrong(f"malformed: {command.text}", "a valid module")

    def assert_invalid(self, command: Command) -> None:
        """Check that a module is refused as invalid."""
        try:
            self.define(command.source)
        except errors.Invalid:
            return
        except errors.Error as error:
            raise _Wrong(f"invalid: {command.text}", _outcome(error)) from None
        raise _Wrong(f"invalid: {command.text}", "a valid module")

    def assert_unlinkable(self, command: Command) -> None:
        """Check that a valid module does not find its imports."""
        definition = self.asserted(command)
        try:
            self.instantiate(definition)
        except errors.Unlinkable:
            return
        raise _Wrong(f"unlinkable: {command.text}", "an instance")

    def start_thread(self, command: Command) -> None:
        """Start a thread with commands of its own; instances that it shares keep the names they are registered under."""
        shared: dict[str, Instance] = {"spectest": self.registered["spectest"]}
        inner = _Script(self.engine, shared)
        if command.shared is not None:
            instance = self.instances.get(command.shared)
            if instance is not None:
                inner._keep(inner.instances, command.shared, instance)
        self.threads[command.id] = _Thread(inner, command.commands)

    def thread(self, command: Command) -> _Thread:
        """Return the thread that a command names."""
        found = self.threads.get(command.id)
        if found is None:
            raise _Wrong("a thread", f"none is called {command.id}")
        return found


_COMMANDS: Final[dict[str, Callable[[_Script, Command], None]]] = {
    "module": _Script.module,
    "instance": _Script.make_instance,
    "register": _Script.register,
    "action": _Script.action,
    "assert_return": _Script.assert_return,
    "assert_trap": _Script.assert_trap,
    "assert_uninstantiable": _Script.assert_trap,
    "assert_exhaustion": _Script.assert_trap,
    "assert_exception": _Script.assert_exception,
    "assert_malformed": _Script.assert_malformed,
    "assert_invalid": _Script.assert_invalid,
    "assert_unlinkable": _Script.assert_unlinkable,
    "assert_malformed_custom": _Script.assert_malformed,
    "assert_invalid_custom": _Script.assert_invalid,
}


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _outcome(error: Exception) -> str:
    """Return an exception as the text of an outcome."""
    what = type(error).__name__ if not isinstance(error, errors.Error) else type(error).__name__.lower()
    return f"{what}: {_first_line(error)}"
