"""The settings of a search as the user gives them, checked once, and as ``run.json`` stores them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from codesign.errors import UsageError
from codesign.search.engine import Engine
from codesign.search.engines import check_engine, make_engine
from codesign.search.problem import Problem
from codesign.search.recorder import Keep

DEFAULT_EVALUATIONS = 10_000


class Settings(msgspec.Struct, frozen=True):
    """How a problem is searched. ``sized_for`` is the budget the engine was sized for; it survives a resume."""

    engine: str
    options: dict[str, Any]
    evaluations: int | None
    sized_for: int | None
    time_limit: float | None
    seed: int
    keep: str
    timeout: float | None
    reference: list[float] | None
    objectives: int
    constraints: int

    @property
    def kept(self) -> Keep:
        """Which rows stay."""
        return Keep.parse(self.keep)

    @classmethod
    def check(
        cls,
        *,
        engine: str,
        options: dict[str, Any],
        evaluations: int | None,
        time_limit: float | None,
        seed: int,
        keep: str,
        timeout: float | None,
        reference: Sequence[float] | None,
        workers: int,
        problem: Problem,
    ) -> Settings:
        """Return checked settings.

        Raises:
            UsageError: an unknown engine, or a value that makes no sense.
        """
        check_engine(engine)
        _positive("--evaluations", evaluations)
        _positive("--time", time_limit)
        _positive("--timeout", timeout)
        _positive("--workers", workers)
        if not 0 <= seed < 2**64:
            raise UsageError(f"--seed {seed}: out of range", "a seed is an integer from 0 to 2^64 - 1")
        width = len(problem.objectives)
        if not width:
            raise UsageError("nothing to optimise: the list of objectives is empty", "name at least one objective")
        if reference is not None and (len(reference) != width or not all(map(math.isfinite, reference))):
            raise UsageError(
                f"--reference has {len(reference)} values", f"give one finite number per objective: {width}"
            )
        Keep.parse(keep)
        if evaluations is None and engine != "exhaustive" and time_limit is None:
            evaluations = DEFAULT_EVALUATIONS
        return cls(
            engine,
            options,
            evaluations,
            evaluations,
            time_limit,
            seed,
            keep,
            timeout,
            None if reference is None else [float(v) for v in reference],
            width,
            len(problem.constraints),
        )

    @classmethod
    def restore(cls, stored: Mapping[str, Any], evaluations: int | None, time_limit: float | None) -> Settings:
        """Return stored settings with a new budget or time limit where given."""
        _positive("--evaluations", evaluations)
        _positive("--time", time_limit)
        settings = msgspec.convert(stored, cls)
        if evaluations is not None:
            settings = msgspec.structs.replace(settings, evaluations=evaluations)
        if time_limit is not None:
            settings = msgspec.structs.replace(settings, time_limit=time_limit)
        return settings

    def make_engine(self, problem: Problem) -> Engine:
        """Return the engine as these settings size it."""
        return make_engine(
            self.engine,
            problem.space,
            seed=self.seed,
            evaluations=self.sized_for,
            objectives=self.objectives,
            options=self.options,
        )

    def stored(self) -> dict[str, Any]:
        """Return the settings as JSON types."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


def _positive(flag: str, value: float | None) -> None:
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise UsageError(f"{flag} {value}: must be above 0", "leave it out for no limit")


def problem_section(problem: Problem) -> dict[str, Any]:
    """Return the ``problem`` section of ``run.json``."""
    names = [o.name for o in problem.objectives]
    views = problem.views or tuple((names[i], names[j]) for i in range(len(names)) for j in range(i + 1, len(names)))
    return {
        "name": problem.name,
        "title": problem.title,
        "question": problem.question,
        "functional_unit": problem.functional_unit,
        "parameters": problem.space.describe(),
        "objectives": msgspec.to_builtins(problem.objectives),
        "metrics": msgspec.to_builtins(problem.metrics),
        "constraints": msgspec.to_builtins(problem.constraints),
        "explained": problem.explained,
        "told": list(problem.told),
        "views": [list(view) for view in views],
        "reference_point": None,
        "baseline": None if problem.baseline() is None else 0,
        "sources": list(problem.sources),
    }
