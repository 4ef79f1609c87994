"""Where the time of a pass on a processor goes: between operators, in dispatch, in compute.

Per thread, in integer nanoseconds, so that the parts add up exactly:

    iteration = framework gap + dispatch self time + compute self time

The framework gap is what no operator covers (Python, module calls). Self time is duration minus direct children, since
an operator such as ``aten::addmm`` both calls others and computes itself: leaf time would lose the multiplication.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from operator import attrgetter
from typing import NamedTuple

import msgspec


class Interval(NamedTuple):
    """An event of one thread, ns."""

    name: str
    start: int
    end: int


class SelfTime(msgspec.Struct, frozen=True):
    """Self time of all calls of one operator.

    Attributes:
        name: Operator as torch names it.
        kind: ``dispatch`` or ``compute``.
        calls: How often it ran, over all iterations.
        nanoseconds: Self time, ns, over all iterations.
    """

    name: str
    kind: str
    calls: int
    nanoseconds: int


class Split(msgspec.Struct, frozen=True):
    """The time of all iterations, ns, and the operators that took it, the slowest first."""

    iterations: int
    iteration: int
    gap: int
    dispatch: int
    compute: int
    operators: tuple[SelfTime, ...]

    @property
    def compute_fraction(self) -> float:
        """Return the share of the iterations spent in compute."""
        return self.compute / self.iteration if self.iteration else 0.0


def merged(parts: Sequence[Split]) -> Split:
    """Return the split of the passes of several threads: sums over them."""
    operators: dict[str, SelfTime] = {}
    for row in (row for part in parts for row in part.operators):
        had = operators.get(row.name, SelfTime(row.name, row.kind, 0, 0))
        operators[row.name] = SelfTime(row.name, row.kind, had.calls + row.calls, had.nanoseconds + row.nanoseconds)
    return Split(
        sum(part.iterations for part in parts), sum(part.iteration for part in parts), sum(part.gap for part in parts),
        sum(part.dispatch for part in parts), sum(part.compute for part in parts),
        tuple(sorted(operators.values(), key=lambda row: (-row.nanoseconds, row.name))),
    )  # fmt: skip


class DispatchList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operators that count as dispatch, and why."""

    source: str
    operators: frozenset[str]


@cache
def dispatch_list() -> DispatchList:
    """Return the shipped list."""
    from codesign.strict_yaml import decode_yaml  # a trace of a device needs neither list nor YAML

    text = files("codesign.profilers").joinpath("dispatch_ops.yaml").read_text()
    return decode_yaml(text, DispatchList, "dispatch_ops.yaml")


COMPILED_WRAPPERS = ("TorchDynamo ", "Torch-Compiled Region", "## Call CompiledFxGraph", "AOTDispatcher ", "Pregraph ")
"""How the events begin in which ``torch.compile`` checks, prepares and calls its kernels; the rest is numbered."""


def is_dispatch(name: str, dispatch: frozenset[str]) -> bool:
    """Return whether the self time of an operator is dispatch: it is listed, or only calls generated kernels."""
    return name in dispatch or name.startswith(COMPILED_WRAPPERS)


def compute_fractions(
    iterations: Sequence[Interval], operators: Sequence[Interval], dispatch: frozenset[str]
) -> tuple[float, ...]:
    """Return the share of each iteration spent in compute; ``operators`` are sorted by start."""
    found = []
    for whole in iterations:
        first, last = (bisect_left(operators, end, key=attrgetter("start")) for end in (whole.start, whole.end))
        found.append(split([whole], operators[first:last], dispatch).compute_fraction)
    return tuple(found)


def split(iterations: Sequence[Interval], operators: Iterable[Interval], dispatch: frozenset[str]) -> Split:
    """Return where the time of ``iterations`` went.

    Args:
        iterations: Annotated intervals of one thread; they do not overlap.
        operators: Operator events of the same thread, in any order; those outside the iterations are left out.
        dispatch: Names of the operators whose self time is dispatch.
    """
    calls: dict[str, int] = {}
    own: dict[str, int] = {}
    covered = 0
    ordered = sorted(operators, key=lambda event: (event.start, -event.end))
    position = 0
    for whole in sorted(iterations, key=lambda event: event.start):
        stack = [whole]
        while position < len(ordered) and ordered[position].start < whole.start:
            position += 1
        while position < len(ordered) and ordered[position].start < whole.end:
            event = ordered[position]
            position += 1
            while len(stack) > 1 and event.start >= stack[-1].end:
                stack.pop()
            parent = stack[-1]
            # clocks read twice may let a child end a little after its parent: it is cut there
            event = event._replace(end=max(event.start, min(event.end, parent.end)))
            duration = event.end - event.start
            calls[event.name] = calls.get(event.name, 0) + 1
            own[event.name] = own.get(event.name, 0) + duration
            if len(stack) == 1:
                covered += duration
            else:
                own[parent.name] -= duration
            stack.append(event)
    total = sum(whole.end - whole.start for whole in iterations)
    rows = [SelfTime(n, "dispatch" if is_dispatch(n, dispatch) else "compute", calls[n], own[n]) for n in own]
    rows.sort(key=lambda row: (-row.nanoseconds, row.name))
    kinds = {kind: sum(r.nanoseconds for r in rows if r.kind == kind) for kind in ("dispatch", "compute")}
    return Split(len(iterations), total, total - covered, kinds["dispatch"], kinds["compute"], tuple(rows))
