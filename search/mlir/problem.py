"""The search of programs: which edits of a tensor program make it faster, and what they cost in quality.

Points are sets of edits. The process that searches proposes them and never compiles one; worker processes judge and
time them. Workers compile beside each other, each on a processor of its own, and time one after the other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from codesign.errors import UsageError
from codesign.search.constraints import parse_where, violations
from codesign.search.mlir.prepare import Prepared, prepare
from codesign.search.mlir.settings import EXTRAS, GIB, OBJECTIVES, ProgramSpec, checked
from codesign.search.mlir.space import EditSpace
from codesign.search.problem import Command, Details, Listing, Metric, Points, Problem, Results, Stage, Status
from codesign.search.space import Space
from codesign.strict_yaml import convert

if TYPE_CHECKING:
    from codesign.run import Run
    from codesign.search.mlir.worker import Worker

SERVED = 400
"""Evaluations of a worker process: compilers leak a little with each."""
KNOWN_COSTS = {"flops": "flops", "bytes": "bytes_accessed", "operations": "operations"}


class ProgramSearch(Problem):
    """Edits of one program as a search problem."""

    name = "mlir"
    functional_unit = "run"
    explained = False
    told = ("kinds",)
    isolated = True
    block = 1
    served = SERVED

    def __init__(self, *, prepared: Prepared | None = None, ready: str = "", **spec: Any) -> None:
        """Set up from a spec (see ``ProgramSpec``).

        Args:
            prepared: Program and task, instead of those that the spec names.
            ready: In a worker process: the directory that holds them.
            **spec: The fields of the spec.

        Raises:
            UsageError: unknown names, or a program that cannot be searched.
            DataError: a file is wrong.
            EnvironmentLacks: a package is missing.
        """
        self.asked: ProgramSpec = checked(convert(spec, ProgramSpec, "program search spec"))
        self._worker: Worker | None = None
        if ready:
            from codesign.search.mlir.worker import start

            self._worker = start(self.asked, Path(ready))
            prepared = self._worker.prepared
        self.prepared = prepare(self.asked) if prepared is None else prepared
        program, task = self.prepared.program, self.prepared.task
        self.edits = EditSpace(program.graph, length=self.asked.most_edits)
        self.space: Space = self.edits
        if self.asked.screen and not ready:  # workers judge what they are given
            from codesign.search.mlir.screen import screened

            self.space = screened(self.edits, self.asked.screen)
        wanted = tuple(dict.fromkeys(self.asked.objectives))
        self.objectives = tuple(OBJECTIVES[name] for name in wanted)
        others = tuple(Metric(name, o.unit, o.functional_unit) for name, o in OBJECTIVES.items() if name not in wanted)
        self.metrics = (*others, *EXTRAS)
        units = {o.name: o.unit for o in self.objectives} | {m.name: m.unit for m in self.metrics}
        self.constraints = tuple(parse_where(text, units) for text in self.asked.where)
        self.timed = "runtime" in wanted or any(limit.metric in ("runtime", "speedup") for limit in self.constraints)
        self.deterministic = not self.timed
        quality = Stage("quality", "any", dear=True)
        self.stages = (quality, Stage("timing", "core", dear=True)) if self.timed else (quality,)
        self.title = f"{self.asked.model} on {self.asked.backend} ({self.asked.device})"
        does = "trained by" if task.kind == "training" else "answered by"
        self.question = f"Which edits of {self.asked.model} serve best, {self.asked.data} {does} it?"
        self.views = tuple((wanted[0], name) for name in wanted[1:])
        self.sources = self._told()
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def _told(self) -> tuple[str, ...]:
        task = self.prepared.task
        trivial = task.judge.trivial(task.samples("search").y)
        rows = ", ".join(f"{part} {len(task.samples(part)):,}" for part in ("search", "selection", "report"))
        lines = [
            f"error: {task.judge.meaning} on rows that the search sees; rows: {rows}",
            f"answering without the input: error {trivial.value:.4g}",
            "flops, bytes, operations, temporary memory: the compiler's account of one run",
        ]
        if self.timed:
            lines.append(
                "runtime: that of the original over the speed-up of the shortest turns, taken in turns on one processor"
            )
        if task.kind == "training":
            lines.append(
                f"a training step is judged by its weights after {task.steps} steps, in the original forward pass"
            )
        return tuple(lines)

    # --- evaluation ---------------------------------------------------------------------------------------------

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return the results of ``points``; only a worker process can.

        Raises:
            UsageError: in the process that searches.
        """
        if self._worker is None:
            raise UsageError("programs are evaluated in worker processes", "search with codesign.search.api")
        rows = [self._evaluated(point, stage) for point in points]
        return rows[0] if len(rows) == 1 else Results.concatenate(rows)

    def _evaluated(self, point: Points, stage: int) -> Results:
        assert self._worker is not None
        key, edits = point.tobytes(), self.edits.edits(point)
        verdict = self._worker.verdict(key, edits)
        if verdict.refused:
            return Results.failed(1, self, Status.INVALID, verdict.refused)
        costs, error = verdict.costs, verdict.error
        assert error is not None
        columns: dict[str, float] = {
            "runtime": 0.0, "error": error.value, "temporary_memory": _number(costs.temporary_bytes),
            "known": float(verdict.known), "speedup": np.nan, "speedup_low": np.nan, "speedup_high": np.nan,
            "other_work": np.nan, **{name: _number(getattr(costs, own)) for name, own in KNOWN_COSTS.items()},
        }  # fmt: skip
        if verdict.worse:
            return self._results(columns, {"error": (error.low, error.high)}, worse=verdict.worse)
        ends = {"error": (error.low, error.high)}
        turns = 1
        if stage < len(self.stages) - 1:
            limits = [limit for limit in self.constraints if limit.metric not in ("runtime", "speedup")]
            return self._results(columns, ends, limits=tuple(limits))
        if self.timed:
            timed = self._worker.timed(key, edits, verdict)
            columns |= {"runtime": timed.runtime, "speedup": timed.ratio, "speedup_low": timed.low,
                        "speedup_high": timed.high, "other_work": timed.others}  # fmt: skip
            ends["runtime"] = (timed.runtime * timed.ratio / timed.high, timed.runtime * timed.ratio / timed.low)
            turns = timed.turns
        return self._results(columns, ends, turns=turns)

    def _results(
        self,
        columns: dict[str, float],
        ends: dict[str, tuple[float, float]],
        *,
        worse: str = "",
        limits: tuple[Any, ...] | None = None,
        turns: int = 1,
    ) -> Results:
        names = [objective.name for objective in self.objectives]
        signs = np.array([objective.sign for objective in self.objectives])
        values, arrays = [columns[name] for name in names], {k: np.array([v]) for k, v in columns.items()}
        low, high = ([ends.get(name, (columns[name],) * 2)[end] for name in names] for end in (0, 1))
        broken = None
        if self.constraints:
            heeded = self.constraints if limits is None else limits
            broken = np.zeros((1, len(self.constraints)))
            places = [place for place, limit in enumerate(self.constraints) if limit in heeded]
            broken[:, places] = violations(heeded, arrays, 1)
        return Results.make(
            np.array([values]) * signs,
            low=np.array([low]),
            high=np.array([high]),
            violations=broken,
            constraints=self.constraints,
            status=np.array([Status.INVALID if worse else Status.OK], np.uint8),
            reason=np.array([0 if worse else -1], np.int32),
            reasons=(worse,) if worse else (),
            metrics={metric.name: arrays[metric.name] for metric in self.metrics},
            sources=("measured",) if self.timed else ("analytical",),
            repeats=turns,
        )

    # --- what searches and reports ask --------------------------------------------------------------------------

    def baseline(self) -> Points:
        """Return the original program: no edit."""
        return self.edits.rows_of([()])

    def describe(self, point: Points) -> Details:
        """Return what each edit of a mutant does."""
        from codesign.search.mlir.explain import explain

        edits = self.edits.edits(point)
        rows = [one.row() for one in explain(self.prepared.program.graph, edits)]
        if not rows:
            return Details()
        changes = self.space.rows(np.atleast_2d(point))[0]["changes"]
        listing = Listing("What each edit does", tuple(rows[0]), tuple(tuple(row.values()) for row in rows))
        return Details(commands=(Command("Edits", changes),), listings=(listing,))

    def conclude(self, run: Run, *, workers: int = 1, progress: Callable[[Any], None] | None = None) -> None:
        """Measure the front again, and search by random edits to compare with."""
        from codesign.search.mlir.asked import conclude

        conclude(run, self, workers=workers, progress=progress)

    def fingerprint(self) -> dict[str, str]:
        """Return the digests of program, weights and data."""
        found = {"program and weights": self.prepared.program.fingerprint, "data": self.prepared.task.fingerprint}
        if self.prepared.forward is not None:
            found["forward pass"] = self.prepared.forward.fingerprint
        if self.asked.screen:
            from codesign.search.mlir.screen import digest_of

            found["cost model that screens"] = digest_of(self.asked.screen)
        return {**found, "back end": f"{self.asked.backend} {self.asked.device}"}

    def spec(self) -> dict[str, Any]:
        """Return the whole question as JSON types."""
        built: dict[str, Any] = msgspec.to_builtins(self.asked)
        return built

    def worker_spec(self) -> dict[str, Any]:
        """Return the question, and where program and task lie: workers need no tracer and no code of the user."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="codesign-mlir-")
            self.prepared.save(Path(self._scratch.name))
        return {**self.spec(), "ready": self._scratch.name}

    @property
    def memory(self) -> int:
        """Bytes that a mutant may take beyond the original."""
        return int(self.asked.memory_gib * GIB)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> ProgramSearch:
        """Return the problem of a spec."""
        return cls(**spec)


def _number(value: float | None) -> float:
    return np.nan if value is None else value
