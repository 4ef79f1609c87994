"""The front measured again: each member beside the original, for longer, and judged on data that no choice has seen.

What a search calls faster was the luckiest of many measurements. So each member is compiled anew and timed in turns
with the original, and so is the original compiled a second time: what that pair shows is the band of noise. A member is
called faster only where its interval lies above the band, and its quality is read off the report data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec
import numpy as np

from codesign.search.executor import Executor
from codesign.search.mlir.edits import Edit
from codesign.search.mlir.graph import Refused
from codesign.search.mlir.problem import ProgramSearch
from codesign.search.mlir.timing import LEAST_GAIN, ROUNDS, band_of, side_by_side
from codesign.search.problem import Metric, Objective, Points, Results, Stage, Status

SECONDS = 0.5
"""For the pairs of one member, at least; as much again for the band of noise."""
TIMEOUT_S = 300.0


How = Literal["full", "brief", "account"]
HOW: tuple[How, ...] = get_args(How)
"""What is measured of a member: everything; not the band of noise; not the runtime either. One process does it all, so
that runtimes can be compared, and is renewed after many members only where one is measured in full."""


class Member(msgspec.Struct, frozen=True):
    """One member of the front, measured again.

    ``speedup`` with its 99 % interval is against the original; ``band`` >= 1 is what the original shows against itself.
    Errors are on the three sets of samples, with 90 % intervals on the report set; ``reason`` says why there is none.
    """

    speedup: float
    low: float
    high: float
    band: float
    runtime: float
    rounds: float
    other_work: float
    search_error: float
    selection_error: float
    report_error: float
    report_low: float
    report_high: float
    flops: float
    bytes: float
    operations: float
    reason: str = ""

    @property
    def faster(self) -> bool:
        """Whether it is faster beyond noise."""
        return not self.reason and self.low > max(self.band, LEAST_GAIN)

    @property
    def sound(self) -> bool:
        """Whether it runs, and answers with numbers on all data."""
        return not self.reason and bool(np.isfinite([self.selection_error, self.report_error]).all())

    def within(self, original: Member, lost: float) -> bool:
        """Return whether it answers the selection data at most ``lost`` worse than the original."""
        return self.sound and self.selection_error <= original.selection_error + lost

    def better(self, original: Member) -> bool:
        """Return whether it answers better beyond chance: better on the selection, intervals on the report apart."""
        return self.sound and self.selection_error < original.selection_error and self.report_high < original.report_low


FIELDS = tuple(field for field in Member.__struct_fields__ if field != "reason")


class Remeasure(ProgramSearch):
    """The same program and task, asked another question: what is each of these points worth, measured with care?"""

    def __init__(self, *, seconds: float = SECONDS, **given: Any) -> None:
        """Set up as the search was; with no ``seconds`` only qualities and costs are worked out again."""
        super().__init__(**given)
        self.seconds = seconds
        self.objectives = (Objective("report_error"),)
        self.metrics = tuple(Metric(name) for name in FIELDS)
        self.constraints = ()
        self.stages = tuple(Stage(how, "core", dear=True) for how in HOW)

    def spec(self) -> dict[str, Any]:
        """Return the question as JSON types."""
        return {**super().spec(), "seconds": self.seconds}

    def _evaluated(self, point: Points, stage: int) -> Results:
        assert self._worker is not None
        evaluator, edits = self._worker.evaluator, self.edits.edits(point)
        try:
            executable, _ = evaluator.compiled(edits)
            answers = {part: evaluator.answers(executable, part) for part in ("search", "selection", "report")}
        except Refused as error:
            return Results.failed(1, self, Status.INVALID, error.message)
        judged = {
            part: self.prepared.task.judge.error(found, self.prepared.task.samples(part).y)
            for part, found in answers.items()
        }
        found = dict.fromkeys(FIELDS, np.nan)
        how = HOW[stage]
        if self.seconds and how != "account":
            original, band = evaluator.call(evaluator.original), np.inf
            if how == "full":
                again = evaluator.call(evaluator.compiled(())[0])
                band = band_of(side_by_side(original, again, rounds=ROUNDS, budget=self.seconds))
            pair = side_by_side(original, evaluator.call(executable), rounds=ROUNDS, budget=self.seconds)
            found |= {
                "speedup": pair.ratio, "low": pair.low, "high": pair.high, "band": band,
                "runtime": pair.second.median, "rounds": float(pair.first.turns), "other_work": pair.first.others,
            }  # fmt: skip
        costs = executable.costs
        found |= {
            "search_error": judged["search"].value, "selection_error": judged["selection"].value,
            "report_error": judged["report"].value, "report_low": judged["report"].low,
            "report_high": judged["report"].high, "flops": _number(costs.flops),
            "bytes": _number(costs.bytes_accessed), "operations": _number(costs.operations),
        }  # fmt: skip
        return Results.make(
            np.array([[found["report_error"]]]),
            metrics={name: np.array([value]) for name, value in found.items()},
            sources=("measured",),
        )


class Bench:
    """Measures points again in a worker process of its own; use it as a context manager."""

    def __init__(self, problem: ProgramSearch, *, seconds: float = SECONDS) -> None:
        """Set up.

        Args:
            problem: The search that found the points.
            seconds: For the pairs of a member, at least; 0 to work out qualities and costs alone.
        """
        self._executor = Executor(
            Remeasure(prepared=problem.prepared, seconds=seconds, **problem.spec()), timeout=TIMEOUT_S
        )
        self._space = problem.edits

    def points(self, points: Points, how: How = "full") -> list[Member]:
        """Return the members ``points`` (N, D), in their order; one after the other, nothing else runs beside them."""
        results = self._executor.one_stage(points, HOW.index(how))
        members = []
        for place in range(len(points)):
            values = {name: float(results.metrics[name][place]) for name in FIELDS}
            ok = results.status[place] == Status.OK
            members.append(Member(**values, reason="" if ok else results.reasons[int(results.reason[place])]))
        return members

    def edits(self, edits: Sequence[Edit], how: How = "full") -> Member:
        """Return the member that a set of edits makes; without ``full`` its band of noise is infinite."""
        return self.points(self._space.rows_of([tuple(edits)]), how)[0]

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.close()


def _number(value: float | None) -> float:
    return np.nan if value is None else value
