"""An exception at every line of what a guest does with descriptors: those of the host are closed, and the guest can open as many again."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

import figwasp
from figwasp.wasi import WASI
from tests.interrupts.lines import OpcodeStopper, Stopper, stop_everywhere

pytestmark = [
    pytest.mark.usefixtures("old_objects_left_alone"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # some lines are those of finalizers
]

GUEST = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 8) "file")
  (func $open_file (export "open") (result i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 8) (i32.const 4) (i32.const 1) (i64.const 2) (i64.const 0) (i32.const 0)
      (i32.const 0)))
  (func (export "close") (param i32) (result i32) (call $close (local.get 0)))
  (func (export "use")
    (drop (call $open_file)) (drop (call $open_file))
    (drop (call $renumber (i32.const 5) (i32.const 4)))
    (drop (call $close (i32.const 4)))))"""
MFILE = 33


def open_files() -> int:
    """Return how many descriptors of the host are open."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def test_descriptors(tmp_path: Path) -> None:
    module = figwasp.Module(figwasp.wat(GUEST))

    def prepare() -> tuple[WASI, figwasp.Instance]:
        wasi = WASI(dirs={"/": tmp_path}, max_descriptors=8)
        instance = figwasp.load(module, wasi.imports())
        instance.use()
        return wasi, instance

    def check(both: tuple[WASI, figwasp.Instance]) -> None:
        """What is open can be closed, and then the guest can open as many files as it may, and no more."""
        instance = both[1]
        for number in range(4, 8):
            instance.exports.close(number)
        answers = [instance.exports.open() for _ in range(5)]
        assert answers == [0, 0, 0, 0, MFILE], answers
        for number in range(4, 8):
            assert instance.exports.close(number) == 0

    def operation(both: tuple[WASI, figwasp.Instance]) -> None:
        both[1].use()

    prepare()[0].close()
    before = open_files()

    def after() -> None:
        assert open_files() == before

    assert stop_everywhere(prepare, operation, check, 0.03, (Stopper, OpcodeStopper), after) > 100


def test_closing(tmp_path: Path) -> None:
    """Closing can be stopped, and is finished by closing again."""

    def prepare() -> WASI:
        return WASI(dirs={"/": tmp_path, "/again": tmp_path})

    prepare().close()
    before = open_files()

    def operation(wasi: WASI) -> None:
        wasi.close()

    def after() -> None:
        assert open_files() == before

    assert stop_everywhere(prepare, operation, lambda wasi: None, 1.0, (Stopper, OpcodeStopper), after) > 10
