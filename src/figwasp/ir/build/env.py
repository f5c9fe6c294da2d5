"""The locals of a function while its SSA form is built, as a persistent array. Floor 2.

Wasm's control flow is structured, so the value of every local is known at every point of the one walk over a body. What
must be remembered are the values at the branches to a label until the label's end is reached. Copying 50,000 values per
branch would be quadratic; instead states form a tree, and only differences are stored (Baker's trick):

    * `values` is the state at the point the walk has reached; `undo` maps the locals written since the last branch point
      to what they held there.
    * `seal` turns these writes into a `LocalsSnapshot`, a child of the state before. It costs as much as there were writes.
    * `go` moves `values` to another state along the tree.
    * `meeting` finds the nearest common ancestor of the states that meet at a label. Only locals written on the way from
      there can differ, so only these need block parameters; `join` collects their values.

Parents are older than their children: the larger number of two states is never an ancestor of the smaller.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from figwasp.ir.func import Value

__all__ = ["Env", "LocalsSnapshot"]


class LocalsSnapshot:
    """The values of all locals at a branch, as a difference from an earlier state.

    Attributes:
        number: counts states in order of creation.
        parent: the state before; None for the root, whose ancestors nobody asks for.
        undo: local -> value in the parent.
        redo: local -> value here; the same keys.
    """

    __slots__ = ("number", "parent", "redo", "undo")

    def __init__(self, number: int, parent: LocalsSnapshot | None, undo: dict[int, Value], redo: dict[int, Value]) -> None:
        self.number = number
        self.parent = parent
        self.undo = undo
        self.redo = redo


class Env:
    """The current values of the locals.

    Attributes:
        values: by local index. Whoever writes here first notes the old value in `undo`, as `set` does.
        undo: local -> value at `state`, for the locals written since.
        state: the branch point reached last.
    """

    __slots__ = ("_count", "state", "undo", "values")

    def __init__(self, values: list[Value]) -> None:
        self.values = values
        self.undo: dict[int, Value] = {}
        self.state = LocalsSnapshot(0, None, {}, {})
        self._count = 1

    def set(self, index: int, value: Value) -> None:
        """Assign to a local."""
        if index not in self.undo:
            self.undo[index] = self.values[index]
        self.values[index] = value

    def seal(self) -> LocalsSnapshot:
        """Return the current state for later use."""
        undo = self.undo
        if undo:
            values = self.values
            self.state = LocalsSnapshot(self._count, self.state, undo, {index: values[index] for index in undo})
            self._count += 1
            self.undo = {}
        return self.state

    def go(self, target: LocalsSnapshot) -> None:
        """Make `target` the current state, forgetting writes since the last `seal`."""
        values = self.values
        for index, value in self.undo.items():
            values[index] = value
        self.undo = {}
        here = self.state
        self.state = target
        path: list[LocalsSnapshot] = []
        while here is not target:
            if here.number > target.number:
                for index, value in here.undo.items():
                    values[index] = value
                assert here.parent is not None
                here = here.parent
            else:
                path.append(target)
                assert target.parent is not None
                target = target.parent
        while path:
            for index, value in path.pop().redo.items():
                values[index] = value

    def meeting(self, states: list[LocalsSnapshot]) -> tuple[LocalsSnapshot, list[int]]:
        """Return the nearest common ancestor of states and the locals written on the way from it to any of them."""
        first = states[0]
        if states.count(first) == len(states):
            return first, []
        return _common_ancestor(states)

    def join(
        self, states: list[LocalsSnapshot], ancestor: LocalsSnapshot, written: list[int]
    ) -> tuple[list[int], list[list[Value]]]:
        """Go to where `states` meet; return which of the locals differ and, per state, their values. The others are set."""
        if not written:
            self.go(ancestor)
            return [], [[] for _ in states]
        rows: list[list[Value]] = []
        for state in reversed(states):
            self.go(state)
            rows.append([self.values[index] for index in written])
        rows.reverse()
        self.go(ancestor)
        keep: list[int] = []
        for number, column in enumerate(zip(*rows)):
            if column.count(column[0]) != len(column):
                keep.append(number)
            else:
                self.set(written[number], column[0])
        if len(keep) < len(written):
            written = [written[number] for number in keep]
            rows = [[row[number] for number in keep] for row in rows]
        return written, rows


def _common_ancestor(states: list[LocalsSnapshot]) -> tuple[LocalsSnapshot, list[int]]:
    pending = {state.number: state for state in states}
    heap = [-number for number in pending]
    heapify(heap)
    written: set[int] = set()
    while len(heap) > 1:
        state = pending.pop(-heappop(heap))
        written.update(state.undo)
        parent = state.parent
        assert parent is not None
        if parent.number not in pending:
            pending[parent.number] = parent
            heappush(heap, -parent.number)
    return pending[-heap[0]], sorted(written)
