"""Floor 6: scripts of the specification's test suite, `.wast`, to commands.

In: source text. Out: `Command`s in their order. The grammar is that of Wasm 3.0, in the section "Scripts" of the reference
interpreter's README (interpreter/README.md of the specification's repository).

Modules are stepped over here and read when they are asked for: what is wrong with one is the matter of its command, and
not of the script. Every number is its bits and a mask of the bits that count, so that NaN patterns are nothing special.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final, NamedTuple

from figwasp.wasm.text.cursor import Cursor
from figwasp.wasm.text.lexer import Tokens, tokenize
from figwasp.wasm.text.literals import RANGE_ERROR, float_bits, integer
from figwasp.wasm.text.parse.module import parse_form, wat
from figwasp.wasm.text.parse.numbering import FIELDS
from figwasp.wasm.text.parse.vectors import SHAPES

__all__ = ["Action", "Command", "ScriptModule", "ScriptValue", "parse_script"]

_NUMBERS: Final = {"i32.const": 32, "i64.const": 64, "f32.const": 32, "f64.const": 64}
_NANS: Final = {
    "nan:canonical": {32: (0x7FFF_FFFF, 0x7FC0_0000), 64: (0x7FFF_FFFF_FFFF_FFFF, 0x7FF8_0000_0000_0000)},
    "nan:arithmetic": {32: (0x7FC0_0000, 0x7FC0_0000), 64: (0x7FF8_0000_0000_0000, 0x7FF8_0000_0000_0000)},
}
"""Pattern -> width -> mask and bits."""
_NULLS: Final = {
    **dict.fromkeys(("func", "nofunc"), "funcref"),
    **dict.fromkeys(("extern", "noextern"), "externref"),
    **dict.fromkeys(("exn", "noexn"), "exnref"),
    **dict.fromkeys(("any", "none", "eq", "i31", "struct", "array"), "anyref"),
}
"""Heap type of a null -> the type of reference that is the top of its hierarchy."""
_REFERENCES: Final = {
    "ref.extern": "externref", "ref.func": "funcref", "ref.host": "anyref", "ref.any": "anyref", "ref.eq": "eqref",
    "ref.i31": "i31ref", "ref.struct": "structref", "ref.array": "arrayref", "ref.exn": "exnref",
}  # fmt: skip
"""Constant or pattern -> type of the reference, which is not null."""
_ACTIONS: Final = ("invoke", "get")
_MODULE_ASSERTIONS: Final = frozenset(("assert_malformed", "assert_invalid", "assert_malformed_custom", "assert_invalid_custom"))
_INSTANCE_ASSERTIONS: Final = frozenset(("assert_unlinkable", "assert_uninstantiable"))
"""Of the making of an instance, from a module of theirs or from one defined before; "assert_trap" is of that or of an action."""
_ACTION_ASSERTIONS: Final = frozenset(("assert_return", "assert_trap", "assert_exhaustion", "assert_exception"))
_NEWLINE: Final = re.compile(r"\r\n|\n|\r")
_SPACE: Final = re.compile(r"\s+")
_SHOWN: Final = 100
_DEPTH: Final = 8
"""The depth to which `either` and `thread` may nest."""


class ScriptValue(NamedTuple):
    """A constant, or a pattern that a result must match.

    Attributes:
        type: name of the value type; "" for a null of any.
        bits: raw bits of a number, the host's number of a reference; None for null.
        mask: the bits that count.
        either: patterns of which one must match, instead of all the rest.
    """

    type: str
    bits: int | None
    mask: int = -1
    either: tuple[ScriptValue, ...] = ()


class Action(NamedTuple):
    """An action on an instance: a call, or the read of a global.

    Attributes:
        kind: "invoke" or "get".
        module: identifier of the instance with its `$`, or None for the last one.
        name: the export.
        args: operands of a call.
    """

    kind: str
    module: str | None
    name: str
    args: list[ScriptValue]


class ScriptModule:
    """A module in a script.

    Attributes:
        id: its identifier with `$`, or None.
        definition: whether the keyword `definition` is there, so that the module is not instantiated.
    """

    __slots__ = ("_at", "_end", "_tokens", "definition", "id")

    def __init__(self, tokens: Tokens, at: int, end: int, id: str | None, definition: bool) -> None:
        self._tokens = tokens
        self._at = at
        self._end = end
        self.id = id
        self.definition = definition

    def encode(self) -> bytes:
        """Return the binary.

        Raises:
            ParseError: the text is malformed; the place is one in the script, or within the quoted source.
        """
        if self._at < 0:
            return wat(self._tokens.text)
        return parse_form(self._tokens, self._at)[0].encode()

    @property
    def binary(self) -> bool:
        """Whether the module is written as bytes."""
        at = self._at
        return at >= 0 and "binary" in self._tokens.items[at + 2 : min(at + 5, self._end)]


class Command:
    """One command of a script; attributes that it does not have are None.

    Attributes:
        start, end: its place in the script, in characters.
        kind: the keyword, "action" for an invoke or get that nothing is asserted of, "instance" for `(module instance ...)`.
        line: line number, from 1.
        source: the module.
        action: the action on an instance.
        expected: patterns of the results.
        text: the message that an assertion expects.
        name: the name that `register` gives the instance.
        id: identifier of the instance to register or to make, of the thread to start or to wait for.
        definition: identifier of the module that `(module instance ...)` instantiates, None for the last one; an assertion that
            has neither a module nor an action is of such an instance.
        commands: the commands of a thread.
        shared: identifier of the instance that a thread shares with the script that starts it.
    """

    __slots__ = (
        "_text", "action", "commands", "definition", "end", "expected", "id", "kind", "line", "name", "shared", "source", "start",
        "text",
    )  # fmt: skip

    def __init__(self, kind: str, text: str, start: int, line: int) -> None:
        self._text = text
        self.start = start
        self.end = len(text)
        self.kind = kind
        self.line = line
        self.source: ScriptModule | None = None
        self.action: Action | None = None
        self.expected: list[ScriptValue] = []
        self.text = ""
        self.name = ""
        self.id: str | None = None
        self.definition: str | None = None
        self.commands: list[Command] = []
        self.shared: str | None = None

    @property
    def shown(self) -> str:
        """The beginning of its text, in one line."""
        text = _SPACE.sub(" ", self._text[self.start : min(self.end, self.start + 4 * _SHOWN)])
        return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def parse_script(text: str | bytes) -> list[Command]:
    """Read a script.

    Raises:
        ParseError: the text is no script. Errors inside a module show when that is encoded.
    """
    tokens = tokenize(text)
    items = tokens.items
    reader = _Reader(tokens)
    if items[0] == "(" and items[1] in FIELDS:
        command = reader.new_command("module", 0)
        command.source = ScriptModule(tokens, -1, len(items), None, definition=False)
        return [command]
    commands: list[Command] = []
    while items[reader.cursor.at]:
        commands.append(reader.command())
    return commands


class _Reader:
    """Reads commands one after the other."""

    __slots__ = ("_newlines", "_tokens", "cursor")

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._newlines = [match.start() for match in _NEWLINE.finditer(tokens.text)]
        self.cursor = Cursor(tokens)

    def new_command(self, kind: str, at: int) -> Command:
        """Make a command that begins at a token."""
        offset = self._tokens.offset(at)
        return Command(kind, self._tokens.text, offset, bisect_right(self._newlines, offset - 1) + 1)

    def command(self, depth: int = 0) -> Command:
        """Read one command."""
        command = self._command(depth)
        command.end = self._tokens.offset(self.cursor.at - 1) + 1
        return command

    def _command(self, depth: int) -> Command:
        cursor = self.cursor
        start = cursor.at
        cursor.expect("(")
        keyword = cursor.items[cursor.at]
        if keyword in _ACTIONS:
            command = self.new_command("action", start)
            cursor.at = start
            command.action = self._action()
            return command
        command = self.new_command(keyword, start)
        cursor.at += 1
        if keyword == "module":
            self._module(command, start)
            return command
        if keyword == "register":
            command.name = cursor.name()
            command.id = cursor.identifier()
        elif keyword == "wait":
            command.id = cursor.identifier()
        elif keyword == "thread" and depth < _DEPTH:
            self._thread(command, depth)
        else:
            self._assertion(command)
        cursor.expect(")")
        return command

    def _module(self, command: Command, start: int) -> None:
        cursor = self.cursor
        if cursor.items[cursor.at] != "instance":
            command.source = self._source(start)
            return
        command.kind = "instance"
        self._instance(command)

    def _instance(self, command: Command) -> None:
        """Read the rest of `(module instance ...)`: identifiers of the instance and of the module; one alone is of the module."""
        cursor = self.cursor
        cursor.expect("instance")
        command.definition = cursor.identifier()
        if cursor.items[cursor.at] != ")":
            command.id, command.definition = command.definition, cursor.identifier()
        cursor.expect(")")

    def _thread(self, command: Command, depth: int) -> None:
        cursor = self.cursor
        command.id = cursor.identifier()
        if cursor.opens("shared"):
            cursor.expect("(")
            cursor.expect("module")
            command.shared = cursor.identifier()
            cursor.expect(")")
            cursor.expect(")")
        while cursor.items[cursor.at] == "(":
            command.commands.append(self.command(depth + 1))

    def _source(self, start: int) -> ScriptModule:
        """Step over a module, which begins at a token."""
        cursor = self.cursor
        cursor.at = start
        cursor.expect("(")
        cursor.expect("module")
        definition = cursor.items[cursor.at] == "definition"
        cursor.at += definition
        if cursor.items[cursor.at] == "instance":
            cursor.unexpected("a module")
        id_ = cursor.identifier()
        cursor.skip_form()
        return ScriptModule(self._tokens, start, cursor.at, id_, definition)

    def _assertion(self, command: Command) -> None:
        cursor = self.cursor
        kind = command.kind
        if kind in _INSTANCE_ASSERTIONS or (kind == "assert_trap" and cursor.items[cursor.at + 1] == "module"):
            self._asserted_instance(command)
        elif kind in _MODULE_ASSERTIONS:
            command.source = self._source(cursor.at)
        elif kind in _ACTION_ASSERTIONS:
            command.action = self._action()
        else:
            cursor.fail(f"unknown command {kind[:40]}", cursor.at - 1)
        if kind == "assert_return":
            while cursor.items[cursor.at] == "(":
                command.expected.append(self._value())
        elif kind != "assert_exception":
            command.text = cursor.name()

    def _asserted_instance(self, command: Command) -> None:
        """Read `(module instance ...)`, or a module that is instantiated at once."""
        cursor = self.cursor
        start = cursor.at
        if cursor.items[start + 1 : start + 3] == ["module", "instance"]:
            cursor.at += 2
            self._instance(command)
            return
        command.source = self._source(start)
        if command.source.definition:
            cursor.fail("a definition is not instantiated", start + 2)

    def _action(self) -> Action:
        cursor = self.cursor
        cursor.expect("(")
        kind = cursor.items[cursor.at]
        if kind not in _ACTIONS:
            cursor.unexpected("an action")
        cursor.at += 1
        module = cursor.identifier()
        name = cursor.name()
        args: list[ScriptValue] = []
        while cursor.items[cursor.at] == "(" and kind == "invoke":
            args.append(self._value())
        cursor.expect(")")
        return Action(kind, module, name, args)

    # Values

    def _value(self, depth: int = 0) -> ScriptValue:
        """Read a constant or a pattern."""
        cursor = self.cursor
        cursor.expect("(")
        op = cursor.items[cursor.at]
        cursor.at += 1
        if op in _NUMBERS:
            mask, bits = self._number(op[0] == "f", _NUMBERS[op])
            value = ScriptValue(op[:3], bits, mask)
        elif op == "v128.const":
            value = self._vector()
        elif op == "ref.null":
            value = ScriptValue(self._heap_type(), None)
        elif op in _REFERENCES:
            value = self._reference(_REFERENCES[op])
        elif op == "either" and depth < _DEPTH:
            choices: list[ScriptValue] = []
            while cursor.items[cursor.at] == "(":
                choices.append(self._value(depth + 1))
            value = ScriptValue("", None, -1, tuple(choices))
        else:
            cursor.unexpected("a value", cursor.at - 1)
        cursor.expect(")")
        return value

    def _number(self, is_float: bool, width: int) -> tuple[int, int]:
        """Read a number or a NaN pattern; return mask and bits."""
        cursor = self.cursor
        token = cursor.items[cursor.at]
        if is_float and token in _NANS:
            cursor.at += 1
            return _NANS[token][width]
        bits = float_bits(token, width) if is_float and token else integer(token)
        if bits is None:
            cursor.unexpected("a number")
        if (bits == RANGE_ERROR) if is_float else not -1 << (width - 1) <= bits < 1 << width:
            cursor.fail("constant out of range")
        cursor.at += 1
        every = (1 << width) - 1
        return every, bits & every

    def _vector(self) -> ScriptValue:
        cursor = self.cursor
        shape = cursor.items[cursor.at]
        if shape not in SHAPES:
            cursor.unexpected("the shape of a vector")
        cursor.at += 1
        lanes, width = SHAPES[shape]
        mask = bits = 0
        for lane in range(lanes):
            lane_mask, lane_bits = self._number(shape[0] == "f", width)
            mask |= lane_mask << lane * width
            bits |= lane_bits << lane * width
        return ScriptValue("v128", bits, mask)

    def _heap_type(self) -> str:
        """Read the heap type of a null, if one is given."""
        cursor = self.cursor
        token = cursor.items[cursor.at]
        if token == ")":
            return ""
        cursor.at += 1
        return _NULLS.get(token, "")

    def _reference(self, type_: str) -> ScriptValue:
        """Read the number of a reference, if one is given."""
        cursor = self.cursor
        if cursor.items[cursor.at] == ")":
            return ScriptValue(type_, 0, 0)
        return ScriptValue(type_, cursor.unsigned())
