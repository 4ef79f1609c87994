"""Advice on fusion: which chains of kernels could be one, where they come from, and what that would save at most.

What fusing saves is launches. Their time is saved only while the host holds the device back, and then at most

    time saved <= launches saved x launch floor

where the floor is the least a launch takes: measured with empty kernels where the profile was made here, else the 5 %
quantile of launch latency in the trace. Kernels launched with a graph save nothing: the graph is one launch already;
nor do kernels whose launch the trace does not hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from codesign.profilers.attribution import Attribution, Nesting, containing
from codesign.profilers.chains import ChainLength, ideal_launch_ratio, separate
from codesign.profilers.chains import Sequence as KernelSequence
from codesign.profilers.metrics import microseconds
from codesign.profilers.pairing import Mask, Pairing
from codesign.profilers.trace import HostEvents, Int64, Trace

SHOWN = 24
"""Chains reported."""

SHOWN_OF_A_LENGTH = 6
CANDIDATES = 100
"""Chains of each length that are looked at, deterministic ones first, then those that occur most."""

LOOKED_AT = 32
"""Occurrences of a chain whose operators and modules are looked up."""

MOST_NAMES = 6
"""Operators named for a chain; of longer lists the first and the last."""

LONGEST_NAME = 400
"""Characters of a name in a chain, which repeats its names; the longest of real templates are cut."""

MODULE = "nn.Module: "
"""Begins the names of module calls among the recorded Python functions."""


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """Kernels in a row that could be one.

    Attributes:
        kernels: Names in order, long ones cut in the middle; their number is the length.
        occurrences: Times it runs, without overlap with itself or another chain of its length.
        score: Proximity score, 0 to 1; 1 is deterministic: what begins so always goes on so.
        launches_saved: If every occurrence became one kernel; kernels of graphs have none to save.
        ideal_launch_ratio: Launches of the whole trace before over after; None where nothing is saved.
        time_saved_us: Upper bound, us; None without a floor.
        operators: Operators that launch it, in order, as in most occurrences.
        module: Innermost module or named range around all of it, as in most occurrences; empty where unknown.
    """

    kernels: tuple[str, ...]
    occurrences: int
    score: float
    launches_saved: int
    ideal_launch_ratio: float | None
    time_saved_us: float | None
    operators: tuple[str, ...]
    module: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The chains of one place in the model, which a person can go to.

    Attributes:
        name: The module or named range around them; where there is none, the operator that launches their first kernel.
        chains: Positions in ``Fusion.chains``, the best first; they overlap, so one of them is to be chosen.
        launches_saved: By the best.
        time_saved_us: By the best, upper bound, us; None without a floor.
    """

    name: str
    chains: tuple[int, ...]
    launches_saved: int
    time_saved_us: float | None


class Fusion(msgspec.Struct, frozen=True, kw_only=True):
    """What fusing could save.

    Attributes:
        places: The chains by where they are launched, most launches saved by a deterministic chain first.
        chains: Deterministic ones first, then those that save most launches. Those of one length do not overlap; those
            of different lengths do, so their savings do not add up.
        found: Chains that occur at least twice, of all lengths.
        kernels: Kernels of the trace.
        graph_kernels: Those of them that graphs launch.
        floor_us: Least time of a launch; None without launches.
        floor_source: Where it comes from.
    """

    places: tuple[Place, ...]
    chains: tuple[Chain, ...]
    found: int
    kernels: int
    graph_kernels: int
    floor_us: float | None
    floor_source: str


def fusion(
    trace: Trace,
    pairing: Pairing,
    attribution: Attribution,
    nesting: Nesting,
    kernels: KernelSequence,
    lengths: tuple[ChainLength, ...],
    *,
    floor_us: float | None,
    floor_source: str,
) -> Fusion:
    """Return the chains worth fusing.

    Args:
        trace: The trace.
        pairing: Its kernels and launches.
        attribution: The operators of its kernels.
        nesting: How its operators nest.
        kernels: The kernels in order on their streams.
        lengths: Its chains.
        floor_us: Least time of a launch, us.
        floor_source: Where the floor comes from, in words.
    """
    launched = (pairing.attributed & ~pairing.graph)[kernels.kernel]
    total = int(launched.sum())
    rows = [(row, chain, places) for row in lengths for chain, places in _apart(row, launched)]
    rows.sort(key=lambda r: (r[0].score[r[1]] < 1.0, -len(r[2]) * (r[0].length - 1), -r[0].length))
    where = _Where(trace, pairing, attribution, nesting, kernels)
    chains = []
    for row, chain, places in rows[:SHOWN]:
        operators, module = where.of(places[:LOOKED_AT], row.length)
        saved = len(places) * (row.length - 1)
        chains.append(Chain(
            kernels=tuple(_cut(trace.names[n]) for n in kernels.name[places[0] : places[0] + row.length]),
            occurrences=len(places), score=float(row.score[chain]), launches_saved=saved,
            ideal_launch_ratio=_rounded(ideal_launch_ratio(total, row.length, len(places))),
            time_saved_us=None if floor_us is None else microseconds(saved * floor_us * 1000.0),
            operators=operators, module=module,
        ))  # fmt: skip
    return Fusion(
        places=_places(chains), chains=tuple(chains), found=sum(int((row.count >= 2).sum()) for row in lengths),
        kernels=len(pairing.kernel), graph_kernels=int(pairing.graph.sum()), floor_us=floor_us,
        floor_source=floor_source if floor_us is not None else "",
    )  # fmt: skip


def _places(chains: Sequence[Chain]) -> tuple[Place, ...]:
    """Return ``chains``, the best first, by where they are launched."""
    found: dict[str, list[int]] = {}
    for number, chain in enumerate(chains):
        name = chain.module or (chain.operators[0] if chain.operators else "")
        found.setdefault(name, []).append(number)
    return tuple(
        Place(name=name, chains=tuple(numbers), launches_saved=chains[numbers[0]].launches_saved,
              time_saved_us=chains[numbers[0]].time_saved_us)
        for name, numbers in found.items()
    )  # fmt: skip


def _apart(row: ChainLength, launched: Mask) -> Iterator[tuple[int, Int64]]:
    """Yield the first chains of one length with their places, none of which overlaps another.

    Deterministic chains come first, then those that occur most; each needs two places that are still free and whose
    kernels were launched one by one.
    """
    free = launched.copy()
    order = np.lexsort((-row.count, ~row.deterministic))
    order = order[row.count[order] >= 2][:CANDIDATES]
    by_chain = np.argsort(row.number, kind="stable")
    first = np.append(0, np.cumsum(row.count))
    found, whole = 0, np.append(0, np.cumsum(free))
    for chain in order.tolist():
        places = row.place[by_chain[first[chain] : first[chain + 1]]]
        places = separate(places[whole[places + row.length] - whole[places] == row.length], row.length)
        if len(places) >= 2:
            free[places[:, None] + np.arange(row.length)] = False
            whole = np.append(0, np.cumsum(free))
            yield chain, places
            found += 1
        if found == SHOWN_OF_A_LENGTH:
            return


class _Where:
    """Looks up what launched the kernels of a chain."""

    def __init__(
        self, trace: Trace, pairing: Pairing, attribution: Attribution, nesting: Nesting, kernels: KernelSequence
    ) -> None:
        self._trace = trace
        self._outermost = nesting.outermost(attribution.operator)[kernels.kernel]
        named = np.array([name.startswith(MODULE) for name in trace.names] or [False], bool)
        modules = np.flatnonzero(named[trace.functions.name])
        table, mask = (trace.functions, modules) if len(modules) else (trace.annotations, _ranges(trace))
        self._ranges = HostEvents(**{f: getattr(table, f)[mask] for f in table.__struct_fields__})
        self._inside = containing(self._ranges, trace.calls, pairing.launch)[kernels.kernel]

    def of(self, places: Int64, length: int) -> tuple[tuple[str, ...], str]:
        """Return the operators and the module of a chain at ``places``."""
        cells = places[:, None] + np.arange(length)
        operators: Counter[tuple[str, ...]] = Counter()
        for row in self._outermost[cells]:
            known = row[row >= 0]
            steps = known[np.append(True, known[1:] != known[:-1])] if len(known) else known
            operators[tuple(self._trace.names[n] for n in self._trace.operators.name[steps])] += 1
        modules = Counter(self._common(row) for row in self._inside[cells])
        return _shortened(operators.most_common(1)[0][0]), modules.most_common(1)[0][0]

    def _common(self, row: Int64) -> str:
        """Return the name of the innermost range around all kernels of a chain, without its number."""
        ranges = self._ranges
        if (row < 0).any() or (ranges.thread[row] != ranges.thread[row[0]]).any():
            return ""
        start, end = ranges.start[row].min(), ranges.end[row].max()
        around = (ranges.thread == ranges.thread[row[0]]) & (ranges.start <= start) & (ranges.end >= end)
        wide = np.flatnonzero(around)
        if not len(wide):
            return ""
        name = self._trace.names[int(ranges.name[wide[ranges.duration[wide].argmin()]])].removeprefix(MODULE)
        base, _, number = name.rpartition("_")
        return base if base and number.isdecimal() else name


def _ranges(trace: Trace) -> Int64:
    """Return the annotations that a person named: not those of profilers around whole passes."""
    ours = np.array([n.startswith(("ProfilerStep#", "codesign_iteration")) for n in trace.names] or [True], bool)
    return np.flatnonzero(~ours[trace.annotations.name])


def _cut(name: str) -> str:
    half = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}...{name[-half:]}"


def _shortened(names: tuple[str, ...]) -> tuple[str, ...]:
    return names if len(names) <= MOST_NAMES else (*names[: MOST_NAMES - 2], "...", names[-1])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
