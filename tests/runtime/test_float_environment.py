"""Floats in a process whose floating-point environment is not the default: some libraries leave it so."""

from __future__ import annotations

import pytest

from tests.runtime.support import check_script

SCRIPT = """
import ctypes, math
import figwasp

ENVIRONMENT, CONTROL = 32, 28  # bytes of the C library's fenv_t, and where it has the control register of SSE
libm = ctypes.CDLL("libm.so.6")

def control():
    saved = (ctypes.c_ubyte * ENVIRONMENT)()
    libm.fegetenv(saved)
    return saved, ctypes.c_uint32.from_buffer(saved, CONTROL)

inst = figwasp.load(figwasp.wat('''(module
  (func (export "add") (param f64 f64) (result f64) (f64.add (local.get 0) (local.get 1)))
  (func (export "divide") (param f64 f64) (result f64) (f64.div (local.get 0) (local.get 1)))
  (func (export "single") (param f64) (result f32) (f32.demote_f64 (local.get 0)))
  (func (export "nearest") (param f64) (result f64) (f64.nearest (local.get 0))))'''))

def check():
    ulp = 2.0**-52
    assert inst.add(1.0, 0.4 * ulp) == 1.0
    assert inst.add(1.0, 0.6 * ulp) == 1.0 + ulp
    assert inst.add(-1.0, -0.4 * ulp) == -1.0
    assert inst.add(-1.0, -0.6 * ulp) == -1.0 - ulp
    assert inst.add(5e-324, 0.0) == 5e-324
    assert inst.add(3e-308, -2.9e-308) == 3e-308 - 2.9e-308 != 0
    assert inst.divide(1.0, 0.0) == math.inf and math.isnan(inst.divide(0.0, 0.0))
    assert inst.divide(1.0, 3.0) == 1 / 3
    assert inst.single(0.1) == 0.10000000149011612 and inst.single(1e300) == math.inf
    assert inst.nearest(2.5) == 2.0

check()
saved, word = control()
CHANGE
check()
libm.fesetenv(saved)
check()
print("right")
"""

CHANGES = {
    **{f"rounding {mode:#x}": f"libm.fesetround({mode})" for mode in (0x400, 0x800, 0xC00)},
    "flush to zero": "word.value |= 1 << 15; libm.fesetenv(saved); word.value &= ~(1 << 15)",
    "denormals are zero": "word.value |= 1 << 6; libm.fesetenv(saved); word.value &= ~(1 << 6)",
    "exceptions are signals": "libm.feenableexcept(0x3D)",
    "an invalid operation is a signal": "libm.feenableexcept(1)",
    "all masks of SSE alone": "word.value &= ~0x1F80; libm.fesetenv(saved); word.value |= 0x1F80",
}


@pytest.mark.parametrize("change", CHANGES)
def test_floats_are_those_of_the_specification(change: str) -> None:
    check_script(SCRIPT.replace("CHANGE", CHANGES[change]))
