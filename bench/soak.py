"""Threads that do random things to shared and own objects, with alarms in the main thread, for as long as one likes.

    python bench/soak.py [--seconds S] [--threads N] [--seed SEED] [--no-alarms] [--without NAMES] [--only NAMES]

Every operation ends with the right value, or with one of the errors that `soak_operations.py` names for it; in the main thread,
which does the same, an alarm may raise `Alarm` at any moment. Whatever else is raised is printed and makes the exit status 1, as
does memory that grows. A thread that hangs for a minute ends the run with the stacks of all.

With a debug build of CPython leave out `programs`: there `os.fstat` of CPython 3.11 aborts when an alarm comes as it multiplies.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import os
import random
import signal
import statistics
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import side  # puts the tree's own src first
from soak_operations import OPERATIONS
from soak_world import Alarm, Operation, Token, Worker, World

WATCHDOG, EVERY, FLAT = 60, 10, 32 << 10  # seconds, seconds, KiB


class Alarms:
    """Alarms in the main thread.

    Attributes:
        left: how many more the current operation may get.
        lost: how many Python could not raise, in finalizers and callbacks.
    """

    def __init__(self) -> None:
        self.left = self.lost = 0
        signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, number: int, frame: Any) -> None:
        if self.left > 0:
            while frame is not None:
                if frame.f_code in QUIET:
                    return
                frame = frame.f_back
            self.left -= 1
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))
            raise Alarm

    def around(self, step: Callable[[], None]) -> None:
        """Do something during which up to two alarms come."""
        try:
            try:
                self.left = random.randrange(1, 3)
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 5e-3))
                step()
                self.left = 0
            except Alarm:
                self.left = 0
        except Alarm:
            self.left = 0


class Run:
    """All threads, for some time."""

    def __init__(self, options: argparse.Namespace, operations: dict[str, Operation]) -> None:
        self._world = World()
        self._warm_up()
        self._workers = [Worker(self._world, f"{options.seed} {k}", operations) for k in range(options.threads)]
        self._end = time.monotonic() + options.seconds
        self._alarms = None if options.no_alarms else Alarms()
        self._sizes: list[int] = []
        self._before = [0] * options.threads
        self._ignored = 0
        sys.unraisablehook = self._unraisable

    def _warm_up(self) -> None:
        """Do everything some times: Python's lock of imports does not survive an alarm."""
        worker = Worker(self._world, "", {})
        for operation in list(OPERATIONS.values()) * 5:
            operation.run(worker, worker.own)

    def _unraisable(self, what: Any) -> None:
        if self._alarms is not None and issubclass(what.exc_type, Alarm):
            self._alarms.lost += 1
        else:
            self._ignored += 1
            text = "".join(traceback.format_exception(what.exc_value))
            print(f"FAULT: ignored in {what.object!r}\n{text}", flush=True)

    def _work(self, worker: Worker) -> None:
        while time.monotonic() < self._end:
            worker.step()

    def run(self) -> None:
        """Do it; the main thread is the first worker."""
        threads = [threading.Thread(target=self._work, args=(worker,)) for worker in self._workers[1:]]
        faulthandler.dump_traceback_later(WATCHDOG, exit=True)
        for thread in threads:
            thread.start()
        report = time.monotonic() + EVERY
        while (now := time.monotonic()) < self._end:
            step = self._workers[0].step
            step() if self._alarms is None else self._alarms.around(step)
            if now >= report:
                self._report()
                report = now + EVERY
        for thread in threads:
            thread.join()

    def _report(self) -> None:
        counts = [worker.done.total() + worker.ends.total() for worker in self._workers]
        if all(count > before for count, before in zip(counts, self._before, strict=True)):
            faulthandler.dump_traceback_later(WATCHDOG, exit=True)
            self._before = counts
        self._sizes.append(resident())
        kinds = sum((worker.done for worker in self._workers), Counter())
        shown = " ".join(f"{name}:{count}" for name, count in kinds.most_common())
        print(f"{sum(counts)} operations, {self._sizes[-1] >> 10} MiB, {self._world.live} instances | {shown}", flush=True)

    def finish(self) -> bool:
        """Print what came of it; return whether all is well."""
        ends = sum((worker.ends for worker in self._workers), Counter())
        faults = sum(worker.faults for worker in self._workers) + self._ignored
        total = sum(worker.done.total() for worker in self._workers)
        print(f"{total} operations done; ended by {dict(ends)}; faults: {faults}")
        if self._alarms is not None:
            print(f"alarms that Python could not raise: {self._alarms.lost}")
        world = self._world
        self._workers.clear()
        del world.instance, world.made
        gc.collect()
        tokens = sum(type(thing) is Token for thing in gc.get_objects())
        print(f"when all has been dropped: {world.live} instances, {tokens} references, {resident() >> 10} MiB")
        fifth = len(self._sizes) // 5
        grown = 0
        if fifth:
            first, last = (statistics.median(part) for part in (self._sizes[fifth : 2 * fifth], self._sizes[-fifth:]))
            grown = last - first
            print(f"resident after warming up {first / 1024:.1f} MiB, in the last fifth {last / 1024:.1f} MiB")
        return not faults and grown <= FLAT and (self._alarms is not None or world.live == tokens == 0)


QUIET = {Run._unraisable.__code__, Worker.fault.__code__}
"""Where no alarm is raised: what says what is wrong."""


def resident() -> int:
    """Give the resident size of this process in KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") >> 10


def chosen(options: argparse.Namespace) -> dict[str, Operation]:
    """Give the operations to choose from."""
    only, without = (set(filter(None, names.split(","))) for names in (options.only, options.without))
    if unknown := (only | without) - set(OPERATIONS):
        sys.exit(f"no such operations: {', '.join(unknown)}; there are {', '.join(OPERATIONS)}")
    return {name: operation for name, operation in OPERATIONS.items() if (not only or name in only) and name not in without}


def main() -> None:
    """Run and print; exit status 1 when something was wrong."""
    parser = argparse.ArgumentParser(description="random operations in threads, with alarms")
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", default=str(random.randrange(1 << 32)))
    parser.add_argument("--no-alarms", action="store_true")
    parser.add_argument("--only", default="", help="names of operations, with commas between them")
    parser.add_argument("--without", default="", help="names of operations that are left out")
    options = parser.parse_args()
    print(f"{side.machine()}\nseed {options.seed}, {options.threads} threads, {options.seconds:g} seconds", flush=True)
    faulthandler.enable()
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # tasks that an alarm has cut off
    warnings.simplefilter("ignore", RuntimeWarning)  # and coroutines that it has kept from being awaited
    random.seed(options.seed)
    run = Run(options, chosen(options))
    run.run()
    sys.exit(not run.finish())


if __name__ == "__main__":
    main()
