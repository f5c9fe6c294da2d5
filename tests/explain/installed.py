"""Code that is shown against code that is installed."""

from __future__ import annotations

from figwasp.explain import CodeProduct, Explanation


def baseline(explanation: Explanation) -> CodeProduct:
    """Return the code of the baseline compiler, which there has to be."""
    product = explanation.baseline
    assert isinstance(product, CodeProduct), str(product)
    return product


def check_installed(product: CodeProduct, installed: bytes) -> int:
    """Compare all bytes but those that are filled in when code is installed; return how many."""
    compared = 0
    for instruction in product.instructions:
        for at, shown in enumerate(instruction.bytes.split()):
            if shown != "..":
                assert installed[instruction.offset + at] == int(shown, 16)
                compared += 1
    assert installed[product.code.text_size :] == product.code.data[product.code.text_size :]
    return compared
