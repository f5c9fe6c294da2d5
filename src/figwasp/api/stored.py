"""Floor 5: modules that are compiled as a whole, and their form for files and other processes.

In: a module. Out: all its functions compiled; bytes; and from these bytes the module again, without decoding, validating or compiling.

The bytes: magic, format, checksum of all that follows; the digest of figwasp's sources by which they are known fastest; sizes of the
parts, number of functions, whether all bodies are valid; and the parts: the *stamp*, which names everything that the code depends on,
in text with zeros between; the binary; the decoded module (`wasm.syntax.frozen`); the image of its code (`codegen.stored.image`).

The checksum finds damage. It does not find forging: whoever makes the bytes makes machine code that runs in this process.
"""

from __future__ import annotations

import sys
from binascii import crc32
from collections.abc import Callable, Iterator
from struct import Struct
from typing import TYPE_CHECKING, Final

from figwasp.api.engine import Engine, chosen
from figwasp.api.module import Module
from figwasp.cache import keys
from figwasp.codegen.stored.image import Image
from figwasp.codegen.stored.serial import BadCode
from figwasp.errors import Error, Unusable
from figwasp.layout import GUARD
from figwasp.runtime import arguments
from figwasp.runtime.code.whole import Whole
from figwasp.runtime.platform.processor import machine
from figwasp.wasm.syntax.frozen import freeze, thaw

if TYPE_CHECKING:
    from figwasp.runtime.code.translate import Translator
    from figwasp.runtime.config import Config

__all__ = ["MAGIC", "compile_all", "deserialize", "serialized"]

MAGIC: Final = b"\x7ffigwmod"
"""What the bytes begin with; no module in the binary or the text format does."""
_FORMAT: Final = 1
_START: Final = Struct("<8sII")  # magic, format, checksum of what follows
_REST: Final = Struct("<32s4Q2I")  # digest of the sources; sizes of stamp, binary, decoded module and image; functions, validity
_HEAD_SIZE: Final = _START.size + _REST.size
_CHANGED: Final = "the sources of figwasp have been changed since this process began"


def compile_all(module: Module, jobs: int | None, progress: Callable[[int, int], object] | None) -> bool:
    """Do what `Module.compile` does, and return whether the code is in the cache now."""
    jobs = arguments.jobs(jobs)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable or None, not {type(progress).__name__}")
    whole = _whole(module)
    whole.compile_all(module._is_valid, jobs, progress)
    image = whole.image()
    with module._lock:
        module._is_valid = True
        compiled = module._compiled
        if compiled is None or not compiled.has_all(image):
            module._image = image
    if compiled is not None:
        compiled.install_all(image)
    return module._kept is not None and module._kept.replace(module._decoded, image)


def _whole(module: Module) -> Whole:
    """Return the code of a module that there is, to be made whole."""
    config = module.engine.config
    mode = config.mode  # once for all processes

    def make() -> Translator:
        from figwasp.runtime.code.translate import Translator  # best imported where it is needed

        return Translator(module._decoded, mode, config.metered, module._facts)

    return Whole(module._decoded, make, _images(module))


def _images(module: Module) -> Iterator[Image | None]:
    """Yield the images of a module's code."""
    image = module._image
    if image is not None and image.text:
        yield image
    if module._compiled is not None:
        yield module._compiled.image()
    elif module._kept is not None:
        yield module._kept.image


def serialized(module: Module) -> bytes:
    """Do what `Module.serialize` does."""
    digest, own = keys.sources(), _own()
    if digest is None or own is None:
        raise Error(_CHANGED)
    stamp = [own, *_stamp(module.engine.config)]
    whole = _whole(module)
    if module._compiled is not None:
        whole.compile(sorted(module._compiled.known), 1)
    decoded = module._decoded
    parts = ("\0".join(stamp).encode(), decoded.data, freeze(decoded), whole.image().to_bytes())
    rest = _REST.pack(digest, *map(len, parts), len(decoded.func_types), module._is_valid)
    body = b"".join((rest, *parts))
    return _START.pack(MAGIC, _FORMAT, crc32(body)) + body


_NAMES: Final = ("figwasp", "Python", "processor", "memory", "fuel", "proposals")
"""Of what stands in a stamp."""
_SETS: Final = ("processor", "proposals")
"""Those that are many words, of which some may be the same."""


def _own() -> str | None:
    """Return the first part of a stamp; None if nobody knows which sources are running."""
    contents = keys.contents()
    return contents and f"{sys.modules['figwasp'].__version__} {contents.hex()}"


def _stamp(config: Config) -> list[str]:
    """Return the other parts of a stamp, for code under settings."""
    target = machine()
    return [
        " ".join(" ".join(map(str, keys.interpreter())).split()),
        " ".join((target.name, *target.features)),
        "guard" if config.mode == GUARD else "checked",
        "counted" if config.metered else "not counted",
        " ".join(sorted(config.features.enabled)),
    ]


def deserialize(data: bytes | bytearray | memoryview, engine: Engine | None = None) -> Module:
    """Return the module that `Module.serialize` has made bytes of.

    **Only for bytes of your own.** They have machine code in them, which runs in this process without any checks: whoever can write
    the bytes can do here whatever you can. The checksum finds what has been damaged, not what has been forged. Never take them from
    others, nor from where others can write; take their `.wasm`.

    The module takes nothing from the cache and adds nothing to it.

    >>> import figwasp
    >>> module = figwasp.Module(figwasp.wat('(func (export "f") (result i32) (i32.const 1))'))
    >>> module.compile()
    >>> data = module.serialize()
    >>> figwasp.deserialize(data).instantiate().f()
    1
    >>> figwasp.deserialize(data, figwasp.Engine(fuel=True))
    Traceback (most recent call last):
    figwasp.errors.Unusable: the serialized module is for something else than what is here: fuel: not counted; here: counted

    Args:
        data: the bytes.
        engine: the engine of the module, None for the default. It has to have the proposals, and `memory` and `fuel`, of the one that
            the module had; everything else may be different.

    Raises:
        Unusable: the bytes are no serialized module, or damaged; or for another figwasp, Python, processor or engine. The message says
            what is different, and so does `differs`.
        Unsupported: this platform cannot run compiled code.
        TypeError: the arguments are of wrong types.
    """
    engine = chosen(engine)
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data must be bytes, not {type(data).__name__}")
    data = bytes(data)
    _check(data)
    digest, *sizes, functions, valid = _REST.unpack_from(data, _START.size)
    places = [_HEAD_SIZE]
    for size in sizes:
        places.append(places[-1] + size)
    if places[-1] != len(data):
        raise Unusable("the serialized module is damaged: its parts are not as large as they should be")
    stamp, binary, frozen, code = (memoryview(data)[start:end] for start, end in zip(places, places[1:]))
    _compare(digest, bytes(stamp), engine.config)
    try:
        image = Image.from_bytes(code, functions)
    except BadCode as error:
        raise Unusable(f"the serialized module is damaged: {error}") from None
    decoded = thaw(frozen, bytes(binary), engine.config.features)
    return Module._restored(decoded, engine, bool(valid), image)


def _check(data: bytes) -> None:
    """See that bytes are a serialized module as it was written.

    Raises:
        Unusable: they are not.
    """
    if not data.startswith(MAGIC):
        raise Unusable("not a serialized module: it does not begin as one")
    if len(data) < _HEAD_SIZE:
        raise Unusable(f"the serialized module is damaged: {len(data)} bytes are too few")
    _, version, checksum = _START.unpack_from(data)
    if version != _FORMAT:
        raise Unusable(f"the serialized module is for another figwasp: it has format {version}; here: {_FORMAT}", ("figwasp",))
    if crc32(memoryview(data)[_START.size :]) != checksum:
        raise Unusable("the serialized module is damaged: its checksum is not that of what is there")


def _compare(digest: bytes, stamp: bytes, config: Config) -> None:
    """See that what code has been made for is what is here.

    Raises:
        Unusable: it is not.
    """
    sources, own = keys.sources(), None
    there = stamp.decode("utf-8", "replace").split("\0")
    if sources is not None:
        own = there[0] if sources == digest else _own()
    if own is None:
        raise Unusable(f"nobody knows whether the serialized module is for this figwasp: {_CHANGED}", ("figwasp",))
    rows = [row for row in zip(_NAMES, there, [own, *_stamp(config)]) if row[1] != row[2]]
    if rows or len(there) != len(_NAMES):
        what = "; ".join(_difference(*row) for row in rows)
        raise Unusable(f"the serialized module is for something else than what is here: {what}", tuple(name for name, _, _ in rows))


def _difference(name: str, there: str, here: str) -> str:
    """Write what is not the same; of many words those that are not on both sides."""
    if name not in _SETS:
        return f"{name}: {there}; here: {here}"
    theirs, ours = (" ".join(word for word in one.split() if word not in other.split()) for one, other in ((there, here), (here, there)))
    return "; ".join(filter(None, (theirs and f"{name}: {theirs}, which is not here", ours and f"{name}: not {ours}, which is here")))
