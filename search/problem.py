"""What a search is about: objectives, constraints, stages, and the results of evaluating points.

Points are the rows of an array (the first axis counts points); what a row means is the space's affair.
Objectives are always minimised inside: an objective that is better when higher is stored negated and
shown negated back. Units are SI; every objective names its functional unit ("output token").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.search.constraints import Constraint
from codesign.search.space import Space

if TYPE_CHECKING:
    from codesign.run import Run

Floats = NDArray[np.float64]
Points = NDArray[Any]


class Status(IntEnum):
    """How the evaluation of one point ended."""

    OK = 0
    INFEASIBLE = 1
    INVALID = 2
    CRASHED = 3
    TIMEOUT = 4


class Objective(msgspec.Struct, frozen=True):
    """One thing to improve; ``unit`` is SI, ``functional_unit`` says per what ("output token")."""

    name: str
    unit: str = ""
    functional_unit: str = ""
    better: Literal["lower", "higher"] = "lower"

    @property
    def sign(self) -> float:
        """+1 or -1: the factor between the value shown and the value minimised inside."""
        return 1.0 if self.better == "lower" else -1.0


class Metric(msgspec.Struct, frozen=True):
    """One more column of the results that is shown and may be constrained, but is not an objective."""

    name: str
    unit: str = ""
    functional_unit: str = ""


class Stage(msgspec.Struct, frozen=True):
    """One step of an evaluation, from cheap to dear.

    ``resource`` is what it needs: ``any`` core shared with others, a ``core`` alone (it is timed), the ``gpu``.
    A ``dear`` stage is journalled one line an evaluation, a cheap one a line a batch.
    """

    name: str
    resource: Literal["any", "core", "gpu"] = "any"
    dear: bool = False


class Item(msgspec.Struct, frozen=True):
    """One slice of a breakdown."""

    label: str
    value: float


class Breakdown(msgspec.Struct, frozen=True):
    """What one number of a point is made of."""

    title: str
    unit: str
    items: tuple[Item, ...]


class Command(msgspec.Struct, frozen=True):
    """A command that realises a point, with notes on what it cannot express."""

    title: str
    text: str
    notes: tuple[str, ...] = ()


class Course(msgspec.Struct, frozen=True):
    """One number over equal steps of time, and what it would be without the point where that is known."""

    label: str
    values: tuple[float, ...]
    baseline: tuple[float, ...] = ()


class Timeline(msgspec.Struct, frozen=True):
    """What a point does over time: ``areas`` stack up in ``unit``, ``curve`` is drawn above in its own unit.

    ``step`` is the length of a step ("h"), ``start`` the time of the first; ``limit`` bounds the sum of the areas.
    """

    title: str
    unit: str
    step: str
    start: str
    areas: tuple[Course, ...]
    curve: Course
    curve_unit: str
    limit: float | None = None


class Spot(msgspec.Struct, frozen=True):
    """A part of a point on a roofline.

    ``x`` is its intensity, ``y`` its rate, ``share`` its share of the time, ``before`` what the baseline has there.
    """

    label: str
    x: float
    y: float
    share: float
    bound: str
    before: tuple[float, float] | None = None


class Roofline(msgspec.Struct, frozen=True):
    """Rates over intensities under a peak (in ``y_unit``) and, where there is one, a bandwidth (in ``slope_unit``)."""

    title: str
    x_unit: str
    y_unit: str
    peak: float
    slope: float | None
    slope_unit: str
    spots: tuple[Spot, ...]


class Grid(msgspec.Struct, frozen=True):
    """Numbers of one unit in rows and columns, darker where higher; None where there is none."""

    title: str
    unit: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


class Listing(msgspec.Struct, frozen=True):
    """A table of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Details(msgspec.Struct, frozen=True):
    """What a report shows when a point is chosen."""

    breakdowns: tuple[Breakdown, ...] = ()
    commands: tuple[Command, ...] = ()
    notes: tuple[str, ...] = ()
    timelines: tuple[Timeline, ...] = ()
    rooflines: tuple[Roofline, ...] = ()
    grids: tuple[Grid, ...] = ()
    listings: tuple[Listing, ...] = ()


@dataclass(frozen=True, slots=True)
class Results:
    """Results of N points under M objectives and C constraints; build it with ``Results.make``."""

    status: NDArray[np.uint8]
    """(N,) ``Status`` of each point."""
    objectives: Floats
    """(N, M), minimised; +inf where the point has no value."""
    low: Floats
    """(N, M) lower end of the 90 % interval."""
    high: Floats
    """(N, M) upper end of the 90 % interval."""
    violations: Floats
    """(N, C) relative violation of each constraint; > 0 is violated."""
    cost_s: Floats
    """(N,) seconds this evaluation took."""
    repeats: NDArray[np.int64]
    """(N,) measurements behind the value."""
    reason: NDArray[np.int32]
    """(N,) index into ``reasons`` of why a point is not ok, -1 where it is."""
    reasons: tuple[str, ...]
    metrics: Mapping[str, Floats] = field(default_factory=dict)
    """Extra columns, each (N,); NaN where unknown."""
    source: NDArray[np.int16] = field(default_factory=lambda: np.zeros((0, 0), np.int16))
    """(N, M) index into ``sources``: how each value came about."""
    sources: tuple[str, ...] = ("analytical",)
    apart: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """(N,) true for points that may not be ranked with the rest (unknown quality): they get a front of their own."""

    def __len__(self) -> int:
        return len(self.status)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """(N,) true where the point is feasible and has values."""
        good: NDArray[np.bool_] = self.status == Status.OK
        return good

    @property
    def violation(self) -> Floats:
        """(N,) total violation: 0 when feasible, +inf where the point has no values at all."""
        total = np.maximum(self.violations, 0.0).sum(axis=1) if self.violations.shape[1] else np.zeros(len(self))
        broken = (self.status != Status.OK) & ~((self.status == Status.INFEASIBLE) & (total > 0.0))
        return np.where(broken, np.inf, total)

    @classmethod
    def make(
        cls,
        objectives: Any,
        *,
        low: Any = None,
        high: Any = None,
        violations: Any = None,
        constraints: Sequence[Constraint] = (),
        status: Any = None,
        reason: Any = None,
        reasons: Sequence[str] = (),
        metrics: Mapping[str, Any] | None = None,
        source: Any = None,
        sources: Sequence[str] = ("analytical",),
        apart: Any = None,
        cost_s: Any = 0.0,
        repeats: Any = 1,
    ) -> Results:
        """Return results with everything not given filled in.

        Args:
            objectives: (N, M) values to minimise. A row with a value that is not finite becomes ``invalid``.
            low: (N, M) interval; the value itself where not given. ``high`` likewise.
            high: see ``low``.
            violations: (N, C) relative violations; an ok row with one above 0 becomes ``infeasible``.
            constraints: the C constraints; their texts become the reasons of rows that violate them.
            status: (N,) ``Status``, ok where not given.
            reason: (N,) index into ``reasons``, -1 for none.
            reasons: texts, one per distinct reason.
            metrics: extra columns, each (N,) or a scalar.
            source: (N, M) or (M,) or scalar index into ``sources``.
            sources: texts such as ``analytical`` or ``calibrated``.
            apart: (N,) true for points of unknown quality.
            cost_s: seconds spent per point.
            repeats: measurements per point.
        """
        values = np.array(objectives, dtype=np.float64, ndmin=2)
        count, width = values.shape
        state = np.full(count, Status.OK, np.uint8) if status is None else np.array(status, dtype=np.uint8)
        bad = np.zeros((count, 0)) if violations is None else np.asarray(violations, dtype=np.float64)
        bad = np.where(np.isnan(bad), np.inf, bad)
        why = np.full(count, -1, np.int32) if reason is None else np.array(reason, dtype=np.int32)
        texts = list(reasons)
        values[~np.isfinite(values)] = np.inf
        broken = (state == Status.OK) & ~np.isfinite(values).all(axis=1)
        if broken.any():
            state[broken] = Status.INVALID
            why[broken & (why < 0)] = len(texts)
            texts.append("an objective has no finite value")
        violated = (state == Status.OK) & (bad > 0.0).any(axis=1)
        if violated.any():
            state[violated] = Status.INFEASIBLE
            fresh = violated & (why < 0)
            names = [c.text for c in constraints] or [f"constraint {i + 1}" for i in range(bad.shape[1])]
            why[fresh] = len(texts) + np.argmax(bad[fresh], axis=1)
            texts.extend(f"violates {name}" for name in names)
        values[state > Status.INFEASIBLE] = np.inf
        return cls(
            status=state,
            objectives=values,
            low=values if low is None else np.where(np.isfinite(values), np.asarray(low, np.float64), np.inf),
            high=values if high is None else np.where(np.isfinite(values), np.asarray(high, np.float64), np.inf),
            violations=bad,
            cost_s=np.broadcast_to(np.asarray(cost_s, np.float64), count).copy(),
            repeats=np.broadcast_to(np.asarray(repeats, np.int64), count).copy(),
            reason=why,
            reasons=tuple(texts),
            metrics={k: np.broadcast_to(np.asarray(v, np.float64), count) for k, v in (metrics or {}).items()},
            source=np.broadcast_to(np.asarray(0 if source is None else source, np.int16), (count, width)),
            sources=tuple(sources),
            apart=np.broadcast_to(np.asarray(False if apart is None else apart, np.bool_), count),
        )

    @classmethod
    def failed(cls, count: int, problem: Problem, status: Status, reason: str, cost_s: float = 0.0) -> Results:
        """Return ``count`` rows without values that all failed for one reason."""
        return cls.make(
            np.full((count, len(problem.objectives)), np.inf),
            violations=np.full((count, len(problem.constraints)), np.inf),
            status=np.full(count, status, np.uint8),
            reason=np.zeros(count, np.int32),
            reasons=(reason,),
            metrics={m.name: np.nan for m in problem.metrics},
            cost_s=cost_s,
            repeats=0,
        )

    def take(self, index: Any) -> Results:
        """Return the rows that ``index`` (indices or a mask) selects."""
        return Results(
            self.status[index],
            self.objectives[index],
            self.low[index],
            self.high[index],
            self.violations[index],
            self.cost_s[index],
            self.repeats[index],
            self.reason[index],
            self.reasons,
            {name: column[index] for name, column in self.metrics.items()},
            self.source[index],
            self.sources,
            self.apart[index],
        )

    def reason_counts(self) -> dict[str, int]:
        """Return how many points each reason took out."""
        used = self.reason[self.reason >= 0]
        counts = np.bincount(used, minlength=len(self.reasons)) if len(used) else np.zeros(len(self.reasons), int)
        return {text: int(n) for text, n in zip(self.reasons, counts, strict=True) if n}

    @staticmethod
    def concatenate(parts: Sequence[Results]) -> Results:
        """Return all rows of ``parts`` (at least one) in order, with their reason and source tables joined."""
        if len(parts) == 1:
            return parts[0]
        reasons: dict[str, int] = {}
        sources: dict[str, int] = {}
        why, source = [], []
        for part in parts:
            table = np.array([reasons.setdefault(t, len(reasons)) for t in part.reasons] + [-1], np.int32)
            why.append(table[part.reason])
            origin = np.array([sources.setdefault(t, len(sources)) for t in part.sources], np.int16)
            source.append(origin[part.source])
        join = np.concatenate
        return Results(
            join([p.status for p in parts]),
            join([p.objectives for p in parts]),
            join([p.low for p in parts]),
            join([p.high for p in parts]),
            join([p.violations for p in parts]),
            join([p.cost_s for p in parts]),
            join([p.repeats for p in parts]),
            join(why),
            tuple(reasons),
            {
                name: join([p.metrics.get(name, np.full(len(p), np.nan)) for p in parts])
                for name in dict.fromkeys(n for p in parts for n in p.metrics)
            },
            join(source),
            tuple(sources),
            join([p.apart for p in parts]),
        )


class Problem:
    """What an engine searches: subclass it, set the attributes, implement ``evaluate``.

    ``deterministic`` promises that evaluating a point twice gives the same bits. ``fingerprint`` maps the name
    of each input (workload, target file, package version) to a digest of its content: a resumed run names the
    inputs that changed.
    """

    name: str = "problem"
    title: str = ""
    question: str = ""
    functional_unit: str = ""
    space: Space
    objectives: tuple[Objective, ...] = ()
    metrics: tuple[Metric, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    stages: tuple[Stage, ...] = (Stage("evaluate"),)
    deterministic: bool = True
    isolated: bool = False
    """True when an evaluation may crash or hang: it then runs in a worker process even with one worker."""
    served: int = 0
    """Evaluations after which a worker process is replaced by a new one, where what it runs leaks memory; 0 never."""
    block: int = 8192
    """Points per call of ``evaluate``; fixed, so that results do not depend on how many workers share them."""
    views: tuple[tuple[str, str], ...] = ()
    """Pairs of objectives or metrics to plot first."""
    sources: tuple[str, ...] = ()
    """Where the numbers come from, one line each."""
    explained: bool = True
    """Whether ``codesign explain`` takes points of this problem."""
    told: tuple[str, ...] = ()
    """Parameters and metrics that tell points apart in a table at the terminal; all that vary where empty."""

    @property
    def dear(self) -> bool:
        """True when every evaluation is worth a journal line of its own."""
        return not self.deterministic or any(stage.dear or stage.resource != "any" for stage in self.stages)

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return the results of ``points`` (N rows) after ``stages[stage]``."""
        raise NotImplementedError

    def baseline(self) -> Points | None:
        """Return the point that reports compare with, one row, or None. It is evaluated first, as id 0."""
        return None

    def seeds(self) -> Points | None:
        """Return points that a search starts from, or None: they are evaluated beside the baseline."""
        return None

    def describe(self, point: Points) -> Details:
        """Return breakdowns, commands and notes of one point (1 row) for reports."""
        return Details()

    def files(self, trials: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """Return further derived files of a run, name -> text, from its kept trials (columns of ``trials.parquet``)."""
        return {}

    def conclude(self, run: Run, *, workers: int = 1, progress: Callable[[Any], None] | None = None) -> None:
        """Add to a finished search of this problem what only it can, such as its front measured again.

        Called by every command that ends a search: at first, resumed, from a spec.
        """

    def nearest_miss(self) -> str:
        """Return what the design closest to feasible lacks, for the error that none is; empty where unknown."""
        return ""

    def fingerprint(self) -> dict[str, str]:
        """Return input name -> digest of its content."""
        return {}

    def spec(self) -> dict[str, Any]:
        """Return what ``from_spec`` needs to build this problem again; JSON types only."""
        return {}

    def worker_spec(self) -> dict[str, Any]:
        """Return what ``from_spec`` needs in a worker process: the spec, and what this process has made ready."""
        return self.spec()

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Problem:
        """Return the problem that ``spec`` describes: used by workers, by ``--resume`` and by spec files."""
        return cls(**spec)
