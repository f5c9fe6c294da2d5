"""Floor 6: everything about one function: the wasm text, each form on the way to machine code, the code, and what enters it.

In: a module or an instance, the index of a function. Out: an `Explanation`. The stages are those that run when the function is
first called, and again when it is hot: validation, the baseline compiler, `ir.build.builder`, `codegen.pipeline`, with the settings
of the engine; the entry is the stub that the runtime would make for the function's type. Only the last step is left out: nothing is
installed, and nothing is run. Of an instance it is told besides which of the codes the function has there now.
"""

from __future__ import annotations

import gc
from time import perf_counter
from typing import Final

from figwasp.api.engine import Engine
from figwasp.api.module import Module
from figwasp.codegen.isa import host_or_any
from figwasp.codegen.target import Target
from figwasp.errors import Error, Unsupported
from figwasp.explain.baseline import compile_baseline, without_code
from figwasp.explain.joined import joined
from figwasp.explain.live import BASELINE, Standing
from figwasp.explain.products import CodeProduct, Compilation, Line, Product, compile
from figwasp.ir import pipeline
from figwasp.ir.build.builder import build
from figwasp.ir.layouts import layout_of
from figwasp.layout import CHECKED, GUARD
from figwasp.runtime.config import Config
from figwasp.wasm.syntax.module import FUNC
from figwasp.wasm.syntax.module import Module as Decoded
from figwasp.wasm.syntax.types import FuncType
from figwasp.wasm.text.print.code import as_string
from figwasp.wasm.text.print.module import func_lines, show_func
from figwasp.wasm.valid.context import Context
from figwasp.wasm.valid.module import validate_func, validate_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.api.instance import Instance
    from figwasp.runtime.code.compile import CompiledModule

PASSES: Final = [name.replace(" ", "-") for name, _ in pipeline.PASSES]
STAGES: Final = ["wat", "baseline", "ssa", *PASSES, "select", "allocate", "frame", "code", "entry", "joined", "times"]
"""The names that `Explanation.stage` knows."""
INSTALLED: Final = "installed"
"""One more, of a function of an instance."""
MODES: Final = {GUARD: "guarded", CHECKED: "checked"}


class Explanation(Compilation):
    """The products of one function. See `Compilation` for the products from SSA form to bytes.

    Attributes:
        index: of the function.
        name: of the function, printable, or "".
        type: of the function.
        mode: how its memory accesses are made safe, GUARD or CHECKED.
        metered: whether its code counts fuel.
        wat: the wasm text, with byte offsets.
        baseline: the code of the baseline compiler, a `CodeProduct`; another `Product`, which says why, if there is none.
        standing: which code it had when it was asked about, if that was in an instance; else None.
        installed: that code as it stood in memory; None if there was none, or a wrapper in its place.
        validate: empty; its time is that of validating the function.
    """

    __slots__ = (
        "_entry", "_rows", "baseline", "index", "installed", "metered", "mode", "name", "standing", "type", "validate", "wat",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        type: FuncType,
        name: str,
        mode: int,
        metered: bool,
        wat: Product,
        rows: list[Line],
        validate: Product,
        baseline: Product,
        line: Compilation,
        standing: Standing | None,
    ) -> None:
        self.index = index
        self.type = type
        self.name = name
        self.mode = mode
        self.metered = metered
        self.wat = wat
        self.validate = validate
        self.baseline = baseline
        self.ssa, self.passes, self.select = line.ssa, line.passes, line.select
        self.allocate, self.frame, self.code = line.allocate, line.frame, line.code
        self._rows = rows
        self._entry: Compilation | None = None
        self.standing = standing
        self.installed: CodeProduct | None = None
        if standing is not None and standing.address and not standing.has_listener:
            made = baseline if standing.tier == BASELINE else self.code
            assert isinstance(made, CodeProduct)
            self.installed = made.installed(standing.read())

    @property
    def stages(self) -> list[str]:
        """The names that `stage` knows: `STAGES`, and of a function of an instance "installed"."""
        return STAGES if self.standing is None else [*STAGES, INSTALLED]

    @property
    def entry(self) -> Compilation:
        """The stub that Python calls, which unboxes, enters the function and boxes; the runtime makes one for each type.

        Raises:
            Unsupported: this platform cannot run compiled code, and has no such stubs.
        """
        if self._entry is None:
            from figwasp.explain.entry import compile_entry  # all else works on any platform

            self._entry = compile_entry(self.type)
        return self._entry

    @property
    def joined(self) -> str:
        """Wasm, SSA form and code side by side."""
        return joined(self._rows, self.final, self.code)

    @property
    def times(self) -> str:
        """Time and size of each stage; with FIGWASP_CHECK=1 its checks count."""
        stages = [self.validate, *self.products]
        rows = [_row(product.name, product.seconds, product.size) for product in [self.wat, *stages]]
        rows.append(_row("all", _sum(stages), ""))
        if self.baseline.seconds is not None:
            rows.append(_row(self.baseline.name, self.baseline.seconds, self.baseline.size))
        try:
            rows.append(_row("entry", _sum(self.entry.products), self.entry.code.size))
        except Unsupported:
            pass
        return "".join(rows)

    def stage(self, name: str) -> str:
        """Return the product of a stage of `stages`, as text.

        Raises:
            KeyError: there is no such stage.
        """
        if name == "entry":
            try:
                return str(self.entry)
            except Unsupported as reason:
                return f"(none: {reason})\n"
        if name == "joined":
            return self.joined
        if name == "times":
            return self.times
        if name == INSTALLED and self.standing is not None:
            return f"(none: {self.standing.words})\n" if self.installed is None else str(self.installed)
        return {product.name: product for product in [self.wat, self.baseline, *self.products]}[name].text

    def __str__(self) -> str:
        return self.show(self.stages)

    def show(self, stages: list[str]) -> str:
        """Return several stages, each under a heading; a form that is as the one before says so."""
        name = f' "{self.name}"' if self.name else ""
        settings = f"{MODES[self.mode]} memory{', fuel counted' if self.metered else ''}"
        standing = "" if self.standing is None else f"; {self.standing.words}"
        out = [f"=== function {self.index}{name} {self.type!r}, {settings}{standing}\n"]
        before = ""
        for name in stages:
            text = self.stage(name)
            out.append(f"--- {name}\n" + ("(unchanged)\n" if text == before else text))
            before = text
        return "\n".join(out)


def explain(
    source: Module | Decoded | Instance, index: int, mode: int | None = None, context: Context | None = None
) -> Explanation:
    """Run the compiler's stages over one function and keep every product.

    Args:
        source: the module, with the settings of its engine; or decoded, with the defaults of engines, and it need not be validated.
            Or an instance: then it is told as well which of the codes the function has there now.
        index: of the function among all functions.
        mode: how memory accesses are made safe, `ir.build.builder.GUARD` or `CHECKED`; what the engine says unless given. Not to be
            given for an instance, whose code is there.
        context: the result of `validate_module` for the module, if there is one.

    Raises:
        ValueError: a mode is given for an instance.
        Error: the function is imported, or there is none of this index.
        Closed: the instance has been closed.
        Invalid, Malformed, LimitExceeded: the function's body is, or the module around it.
    """
    code = None
    if isinstance(source, Decoded):
        decoded, config = source, Engine(tier="auto").config
    elif isinstance(source, Module):
        decoded, config = source._decoded, source.engine.config
    else:
        if mode is not None:
            raise ValueError("an instance has code for one memory mode, and no other is asked about")
        code = source._state.code
        decoded, config, mode = code.module, code.config, code.mode
    if context is None:
        context = validate_module(decoded)
    _check_defined(decoded, index)
    collecting = gc.isenabled()  # as when a function is compiled to be run
    gc.disable()
    try:
        return _explain(context, index, config, _mode(config) if mode is None else mode, code)
    finally:
        if collecting:
            gc.enable()


def _mode(config: Config) -> int:
    """Return how memory accesses would be made safe here."""
    try:
        return config.mode
    except Unsupported:
        return GUARD


def _machine() -> Target:
    """Return the machine of this process as code is made for it, or any where there is no compiler for that."""
    try:
        from figwasp.runtime.platform.processor import machine
    except Unsupported:
        return host_or_any()
    return machine()


def _check_defined(module: Decoded, index: int) -> None:
    if not 0 <= index < len(module.func_types):
        raise Error(f"no function {index}: the module has {len(module.func_types)}")
    if index < module.num_imported_funcs:
        item = [item for item in module.imports if item.kind == FUNC][index]
        raise Error(f"function {index} is imported: {as_string(item.module)} {as_string(item.name)}")


def _explain(context: Context, index: int, config: Config, mode: int, code: CompiledModule | None) -> Explanation:
    """Run the stages; `code`: that of an instance, if one is asked about."""
    module = context.module
    clock = perf_counter()
    facts = validate_func(context, index)
    validated = perf_counter()
    func = build(module, index, facts, layout_of(module), mode, config.metered)
    built = perf_counter()
    func.name = as_string(func.name)[1:-1]  # a guest's name may hold anything
    line = compile(func, _machine(), built - validated)
    body = module.body(index)
    size = f"{facts.num_ops} instructions, {body.end - body.start} bytes"
    wat = Product("wat", show_func(module, index, offsets=True), size)
    rows = [*func_lines(module, index), (body.end - 1, "end")]
    type_ = module.func_type(index)
    validation = Product("validate", "", "", validated - clock)
    baseline = (
        without_code("the engine leaves everything to the optimising compiler")
        if config.tier == "optimize"
        else compile_baseline(module, index, facts, rows, mode, metered=config.metered, counted=config.counted)
    )
    standing = None if code is None else Standing(code, index)
    return Explanation(index, type_, func.name, mode, config.metered, wat, rows, validation, baseline, line, standing)


def _sum(products: list[Product]) -> float:
    return sum(product.seconds or 0.0 for product in products)


def _row(name: str, seconds: float | None, size: str) -> str:
    """Return a line of the table of times."""
    time = "" if seconds is None else f"{1000 * seconds:.3f} ms"
    return f"{name:<14}{time:>11}  {size}".rstrip() + "\n"
