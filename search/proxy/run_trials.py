"""The trials of a run as a table to learn from, and how fast the run's problem is beside its proxy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from codesign.errors import CodesignError, DataError, UsageError, nearest
from codesign.quantity import Array
from codesign.run import Run
from codesign.search.derive import derive_missing
from codesign.search.parameters import Categorical, Parameter, Real
from codesign.search.problem import Problem
from codesign.search.problems import PROBLEMS, make_problem
from codesign.search.proxy.features import codes_of
from codesign.search.proxy.model import Proxy
from codesign.search.proxy.training import Column, Table, is_constant
from codesign.search.space import BoxSpace

TIMED_ROWS = 4096
TIMED_S = 0.3
"""Each side is called for at least this long, s."""


class Speed(msgspec.Struct, frozen=True):
    """Designs a second of a proxy and of the problem it stands for.

    Attributes:
        proxy_per_s: All targets of a design predicted, in blocks of ``TIMED_ROWS``, on one core.
        problem_per_s: Designs evaluated a second; None where unknown.
        problem_timed: How that is known.
    """

    proxy_per_s: float
    problem_per_s: float | None
    problem_timed: str

    @property
    def speed_up(self) -> float | None:
        """How many times faster the proxy is; below 1 where it is slower."""
        return None if self.problem_per_s is None else self.proxy_per_s / self.problem_per_s


class RunTable(NamedTuple):
    """What a run has to learn from.

    Attributes:
        table: The trials that were kept.
        rows: Trials in it.
        left_out: Parameters that are words of too many kinds to learn from.
        constant: Objectives that nobody asked for by name and that are the same for every design.
    """

    table: Table
    rows: int
    left_out: tuple[str, ...]
    constant: tuple[str, ...] = ()


def table_of_run(run: Run, names: Sequence[str] = ()) -> RunTable:
    """Return the kept trials of ``run``.

    Args:
        run: A search.
        names: Objectives and metrics to learn; where empty all objectives that are not constant.

    Raises:
        UsageError: the run is no search, kept no trials, or has no such objective or metric.
        DataError: its trials are damaged.
    """
    section = run.meta.get("problem")
    if not isinstance(section, dict) or not section.get("parameters") or not section.get("objectives"):
        raise UsageError(f"{run.path} is no search", "a proxy learns from the trials of a search")
    derive_missing(run)
    trials = run.trials()
    listed = {entry["name"]: entry for entry in (*section.get("metrics", ()), *section["objectives"])}
    wanted = tuple(dict.fromkeys(names)) or tuple(entry["name"] for entry in section["objectives"])
    for name in wanted:
        if name not in listed or name not in trials.columns:
            raise UsageError(
                f"{run.path} has no objective or metric {name!r}", nearest(name, set(listed) & set(trials.columns))
            )
    if trials.is_empty():
        raise UsageError(f"{run.path} kept no trials", "search again with --keep all")
    lost = [entry["name"] for entry in section["parameters"] if entry["name"] not in trials.columns]
    if lost:
        raise DataError(f"{run.path}: its trials lack the parameter {lost[0]!r}", "derive them again: codesign report")
    values = {entry["name"]: trials[entry["name"]].to_list() for entry in section["parameters"]}
    found = [_parameter(entry, values[entry["name"]]) for entry in section["parameters"]]
    left_out = tuple(entry["name"] for entry, p in zip(section["parameters"], found, strict=True) if p is None)
    space = BoxSpace([p for p in found if p is not None])
    points = codes_of(space, values, f"trials of {run.path}")
    columns = tuple(
        Column(
            name, listed[name].get("unit", ""), _numbers(run, name, trials[name].to_list()),
            listed[name].get("functional_unit", ""),
        )
        for name in wanted
    )  # fmt: skip
    varied = tuple(column for column in columns if not is_constant(column.values))
    constant: tuple[str, ...] = ()
    if not names and varied:  # where none varies the refusal names one
        constant = tuple(column.name for column in columns if is_constant(column.values))
        columns = varied
    told = Table(space, points, columns, str(section.get("name", "")), dict(run.meta.get("fingerprint", {})))
    return RunTable(told, len(points), left_out, constant)


def _parameter(entry: dict[str, Any], values: list[Any]) -> Parameter | None:
    """Return a parameter as ``run.json`` lists it, or as its values show it where the space is no box."""
    try:
        return msgspec.convert(entry, Parameter)  # type: ignore[arg-type, no-any-return, call-overload, unused-ignore]
    except msgspec.ValidationError:
        pass
    known = [v for v in values if v is not None]
    if known and all(isinstance(v, int | float) and not isinstance(v, bool) for v in known):
        return Real(entry["name"], float(min(known)), float(max(known)), unit=entry.get("unit", ""))
    words = tuple(sorted(set(map(str, known))))
    return Categorical(entry["name"], words) if 0 < len(words) <= MOST_WORDS else None


MOST_WORDS = 64
"""Different words of a parameter of an unknown kind beyond which it is left out."""


def _numbers(run: Run, name: str, values: list[Any]) -> Array:
    try:
        found = np.array([np.nan if v is None else v for v in values], np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{run.path}: {name!r} of its trials holds words", "expected numbers") from None
    return np.where(np.isfinite(found), found, np.nan)


def speed_of(run: Run, proxy: Proxy, problem: Problem | None = None) -> Speed:
    """Return how fast ``proxy`` and the problem of ``run`` are.

    A cheap problem that can be built again is timed here and now on the same designs; of any other the run's own record
    counts, with the search around it.

    Args:
        run: The run that the proxy learned from.
        proxy: The proxy.
        problem: Its problem; built from the run's spec where None.
    """
    points = proxy.space.sample(np.random.Generator(np.random.Philox(key=0)), TIMED_ROWS)
    mine = _per_second(lambda: proxy.predict_points(points), len(points))
    problem = problem or _problem_of(run)
    if (
        problem is not None
        and not problem.dear
        and not problem.isolated
        and problem.space.to_json() == proxy.space.to_json()
    ):
        return Speed(
            mine, _per_second(lambda: problem.evaluate(points), len(points)), "timed here, on the same designs"
        )
    evaluations, seconds = run.meta.get("evaluations", 0), run.meta.get("wall_s", 0.0)
    if not evaluations or not seconds:
        return Speed(mine, None, "the run does not say")
    return Speed(mine, evaluations / seconds, "as the run took, search included")


def _problem_of(run: Run) -> Problem | None:
    stored = run.meta.get("spec", {})
    try:
        return make_problem(stored["problem"], stored["spec"]) if stored.get("problem") in PROBLEMS else None
    except (CodesignError, KeyError):
        return None


def _per_second(call: Callable[[], object], rows: int) -> float:
    """Return rows a second: calls until ``TIMED_S`` passed, after one that is not counted."""
    call()
    began, calls = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < TIMED_S:
        call()
        calls += 1
    return rows * calls / passed
