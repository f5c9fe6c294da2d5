"""What `bench/packages.py` gives to programs, and what is known of what they make of it.

The designs are a 16-bit counter in Verilog and, for a program that takes what yosys writes, a netlist of a shift register that
feeds the inverse of its last bit back (16 flip-flops and one table). The C file has ten lines.
"""

from __future__ import annotations

import json
from typing import Any

BITS = 16

COUNTER = f"""
module counter (input clk, input reset, output reg [{BITS - 1}:0] count);
  always @(posedge clk)
    if (reset) count <= 0;
    else count <= count + 1;
endmodule
"""

AVERAGE = """
typedef unsigned char byte;
extern byte samples[16];
byte average(byte count)
{
    unsigned sum = 0;
    for (byte i = 0; i < count; i++)
        sum += samples[i & 15];
    return sum / count;
}
"""

SCRIPT = """
def primes(limit):
    found = []
    for number in range(2, limit):
        if all(number % other for other in found):
            found.append(number)
            yield number
print(list(primes(50)), 3 ** 100, "%.6f" % (2 ** 0.5))
for bad in ("1 / 0", "[][1]", "{}['x']", "int('x')"):
    try:
        eval(bad)
    except (ZeroDivisionError, LookupError, ValueError) as error:
        print(type(error).__name__)
def deep(n):
    return deep(n + 1)
try:
    deep(0)
except RuntimeError as error:
    print(error)
"""

SCRIPT_PRINTS = (
    b"[2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47] 515377520732011331036461129765621272702107522001 1.414214\n"
    b"ZeroDivisionError\nIndexError\nKeyError\nValueError\nmaximum recursion depth exceeded\n"
)


def shift_register() -> str:
    """Return the netlist, as yosys writes it."""
    clock, first, inverse = 2, 3, 3 + BITS
    outputs = list(range(first, first + BITS))
    cells = {"invert": _cell("SB_LUT4", {"LUT_INIT": f"{0x5555:016b}"}, I0=outputs[-1], I1="0", I2="0", I3="0", O=inverse)}
    for bit, source in enumerate([inverse, *outputs[:-1]]):
        cells[f"bit{bit}"] = _cell("SB_DFF", {}, C=clock, D=source, Q=outputs[bit])
    ports = {"clk": {"direction": "input", "bits": [clock]}, "out": {"direction": "output", "bits": outputs}}
    names = {name: {"hide_name": 0, "bits": port["bits"], "attributes": {}} for name, port in ports.items()}
    top = {"attributes": {"top": f"{1:032b}"}, "ports": ports, "cells": cells, "netnames": names}
    return json.dumps({"creator": "figwasp", "modules": {"top": top}})


def _cell(kind: str, parameters: dict[str, str], **connections: int | str) -> dict[str, Any]:
    """Return a cell with the bit at each port; outputs have names that only outputs have."""
    return {
        "hide_name": 0,
        "type": kind,
        "parameters": parameters,
        "attributes": {},
        "port_directions": {port: "output" if port in "OQ" else "input" for port in connections},
        "connections": {port: [bit] for port, bit in connections.items()},
    }


def is_version(output: bytes) -> bool:
    """Tell whether these are the words of a yosys that is asked its version."""
    return output.startswith(b"Yosys ") and output.count(b"\n") == 1


def is_counter(output: bytes) -> bool:
    """Tell whether this is a netlist with as many flip-flops as the counter has bits."""
    try:
        cells = json.loads(output)["modules"]["counter"]["cells"]
    except (ValueError, KeyError):
        return False
    return [cell["type"].startswith("$_SDFF_") for cell in cells.values()].count(True) == BITS


def is_average(output: bytes) -> bool:
    """Tell whether this is assembly of the AVR for the C function: a loop over the samples, and a division by the library."""
    return b"\naverage:\n" in output and b"samples" in output and b"call __udivmodhi4\n" in output


def is_routed(output: bytes) -> bool:
    """Tell whether this is a configuration, as text, of the device that was asked for."""
    return b"\n.device 384\n" in output and output.count(b"\n.logic_tile ") > 10


def is_bitstream(output: bytes) -> bool:
    """Tell whether this is a configuration, as bytes: a comment, then the preamble of the device."""
    return output.startswith(b"\xff\x00") and b"\x7e\xaa\x99\x7e" in output
