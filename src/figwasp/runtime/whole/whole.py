"""Floor 4: the code of a module as one image, from wherever it has been made.

In: a module, images of some of its functions, the serial form of others, and what compiles the rest. Out: one image with its
functions in order of their indices: the same bytes, however they have come together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from figwasp.codegen.code import OPTIMIZED
from figwasp.codegen.stored.image import Image, ImageBuilder
from figwasp.codegen.stored.serial import from_bytes
from figwasp.codegen.words import Words
from figwasp.errors import Invalid, LimitExceeded, Malformed
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.whole.pool import Pool, Progress
from figwasp.wasm.syntax import limits
from figwasp.wasm.valid.module import validate

if TYPE_CHECKING:
    from figwasp.codegen.code import Code
    from figwasp.runtime.code.translate import Translator
    from figwasp.wasm.syntax.module import Module

__all__ = ["Outcome", "Whole"]


class Outcome(NamedTuple):
    """What came of compiling a module as a whole.

    Attributes:
        functions: how many it has.
        before: how many of them had been compiled before.
        size: bytes of their code, with its records.
        is_kept: whether the code is in the cache.
    """

    functions: int
    before: int
    size: int
    is_kept: bool


class Whole:
    """The image of a module that is being put together."""

    __slots__ = ("_codes", "_images", "_make", "_module", "_places")

    def __init__(self, module: Module, make: Callable[[], Translator], images: Iterable[Image | None]) -> None:
        """Begin with what there is.

        Args:
            module: the decoded module.
            make: makes what compiles it; in other processes too.
            images: of some of its functions, with their text.
        """
        self._module = module
        self._make = make
        self._images = [image for image in images if image is not None]
        self._places: dict[int, tuple[Image, int]] = {}  # where each function stands
        for image in self._images:
            for number, index in enumerate(image.indices):
                if image.tiers[number] == OPTIMIZED:
                    self._places.setdefault(index, (image, number))
        self._codes: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._places) + len(self._codes)

    def compile(self, indices: Iterable[int], jobs: int | None = None, progress: Progress | None = None) -> int:
        """Compile those of some functions that are not there, and return what `FuncFacts.size` of them are together.

        Args:
            indices: of defined functions.
            jobs, progress: as `Pool` has them.

        Raises:
            Invalid, Malformed, LimitExceeded: the body of one is.
        """
        first = self._module.num_imported_funcs
        bodies = self._module.bodies
        sizes = {}
        for index in indices:
            if index not in self._places and index not in self._codes:
                body = bodies[index - first]
                sizes[index] = body.end - body.start
        pool = Pool(self._make, sizes, progress)
        pool.run(jobs)
        self._codes |= pool.codes
        return pool.facts_size

    def compile_all(self, is_valid: bool, jobs: int | None = None, progress: Progress | None = None) -> None:
        """Compile all functions that are not there.

        Args:
            is_valid: whether all bodies have been found valid; otherwise they are now.
            jobs, progress: as `Pool` has them.

        Raises:
            Invalid, Malformed, LimitExceeded: as `validate` does, whichever function has been tried first.
        """
        first = self._module.num_imported_funcs
        there = sorted(self._places)
        try:
            size = self.compile(range(first, first + len(self._module.bodies)), jobs, progress)
            if is_valid:
                return
            facts = self._make().facts
            size += sum(facts(index).size for index in there)
            if size <= limits.MAX_FACTS + limits.FACTS_PER_BYTE * len(self._module.data):
                return
        except (Invalid, Malformed, LimitExceeded):
            validate(self._module)
            raise
        validate(self._module)

    def image(self) -> Image:
        """Return the image.

        Raises:
            BadCode: one of those that there were makes no sense.
        """
        indices = sorted({*self._places, *self._codes})
        for image in self._images:
            if image.indices.tolist() == indices and not any(image.tiers):
                return image
        builder = ImageBuilder(len(self._module.func_types))
        for code in self._in_order(indices):
            builder.add(code)
        return builder.finish()

    def _in_order(self, indices: list[int]) -> Iterator[Code]:
        words = Words(len(self._module.func_types))
        fingerprint = machine().fingerprint
        for index in indices:
            found = self._places.get(index)
            yield from_bytes(self._codes[index], fingerprint) if found is None else found[0].whole(found[1], words)
