"""Verify a front by measuring it: predicted against measured, recalibrate, search again.

Points whose target is a processor of this machine are run for real: the prefill pass and a decode step, each in a
process of its own. The points measured first are those whose uncertainty can change the front most. Every
measurement is a line in ``verification.jsonl``, so nothing that was measured is lost or measured twice. All
measurements so far update the error factors (an overlay file), and the search runs again with the overlay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from codesign.costmodels.calibration import Posterior, calibrations, update, write_overlay
from codesign.costmodels.deployment import Priced, price
from codesign.costmodels.factors import COUNT, LABELS, F
from codesign.costmodels.structure import Load
from codesign.errors import UsageError
from codesign.profilers.disturbance import DISTURBING, Watch
from codesign.quantity import Array, Method, Quantity
from codesign.run import Run, load_run
from codesign.search.derive import add_verification
from codesign.search.driver import run_search
from codesign.search.front_change import expected_change
from codesign.targets import Calibration, Target, overlay_text

if TYPE_CHECKING:
    from codesign.search.deployment import Deployment
    from codesign.search.problem import Problem

JOURNAL = "verification.jsonl"
OVERLAY = "overlay.yaml"
UNSHOWN = frozenset({"design", "metric", "id", "spread", "others"})
"""Fields of a measurement that reports replace or leave out."""
PRIMITIVES = ("prefill", "decode")
SECONDS_EACH = 4.0
"""Time budget of one measurement, s."""
TIMEOUT_S = 300.0
INTERVAL_WIDTH = 3.29
"""Width of a central 90 % normal interval, in standard deviations."""
BUSY_SPREAD = 0.6
"""A measurement whose repeats spread wider than this share of their median was disturbed by other work."""


class Measured(msgspec.Struct, frozen=True):
    """One primitive of one design, measured on this machine, beside its prediction before calibration.

    ``spread`` is the width of the interval of its repeats over their median, ``others`` the share of the processors
    that other work took meanwhile; None where the system does not say.
    """

    id: int
    round: int
    metric: str
    unit: str
    predicted: float
    low: float
    high: float
    measured: float
    spread: float
    repeats: int
    inside: bool
    design: dict[str, Any]
    others: float | None = None

    @property
    def disturbed(self) -> bool:
        """Return whether other work ran beside, by its repeats or by the system's account."""
        return self.spread > BUSY_SPREAD or (self.others or 0.0) > DISTURBING


def verify_run(run: Run, problem: Problem, count: int, rounds: int) -> Run:
    """Measure ``count`` front points in each of ``rounds`` rounds; return the run of the last calibrated search.

    Raises:
        UsageError: the problem is no deployment, none of its targets is this machine, or its overlay is of another.
    """
    from codesign.search.deployment import Deployment

    if not isinstance(problem, Deployment):
        raise UsageError("only deployments can be verified", "leave --verify out")
    local = local_targets(problem)[:1]  # one calibration at a time: its measurements say nothing of another machine
    if not local:
        raise UsageError(
            "none of the targets is this machine",
            "codesign targets detect --out this-cpu.yaml, then --target this-cpu.yaml",
        )
    here = problem.targets[local[0]]
    if problem.asked.overlay is not None and not (here.calibration or here.operators):
        raise UsageError(
            f"{problem.asked.overlay} calibrates another target than {local[0]}, which verification calibrates",
            "a search takes one overlay: leave --overlay or --verify out",
        )
    current, asked = run, problem
    for number in range(1, rounds + 1):
        done = [row.design for row in read_measured(run)]
        ids = choose(current, asked, local, count, done)
        for identity in ids:
            append_measured(run, measure_point(current, problem, identity, number))
        rows = read_measured(run)
        if not rows:
            raise UsageError("no front point runs on this machine", "widen the space, or drop limits that exclude it")
        overlay = write_overlay(run.path / OVERLAY, learnt_text(here, fit(problem, here.id, rows), len(rows)))
        asked = Deployment(**{**problem.spec(), "overlay": str(overlay)})
        settings = run.meta["spec"]["search"]
        current = run_search(
            asked, engine=run.meta["engine"], seed=run.meta["seed"], evaluations=settings.get("evaluations"),
            directory=run.path / f"round-{number}", force=True, argv=run.meta["argv"],
        )  # fmt: skip
        write_summary(run, current, problem, asked, rows, number)
    return load_run(current.path)


def learnt_text(target: Target, posterior: Posterior, measurements: int) -> str:
    """Return the overlay of ``target`` with what so many measurements tell, on top of the calibration that it has."""
    factors = calibrations(target, posterior, f"{measurements} measurements here")
    return overlay_text(target.id, factors, target.operators)


def local_targets(problem: Deployment) -> list[str]:
    """Return the targets that describe this machine: processors measured by ``targets detect``."""
    return [name for name, target in problem.targets.items() if target.kind == "cpu" and name.startswith("this-")]


def choose(
    run: Run, problem: Deployment, local: Sequence[str], count: int, done: Sequence[dict[str, Any]]
) -> list[int]:
    """Return the ids of the front points here whose error would change the front most, designs ``done`` left out."""
    columns = run.front["columns"]
    names = [o.name for o in problem.objectives]
    signs = np.array([o.sign for o in problem.objectives])
    values = np.stack([np.asarray(columns[n], dtype=np.float64) for n in names], axis=1) * signs
    ends = [
        np.stack([np.asarray(columns[f"{n}_{end}"], dtype=np.float64) for n in names], axis=1) * signs
        for end in ("low", "high")
    ]
    change = expected_change(values, np.minimum(*ends), np.maximum(*ends), seed=run.meta["seed"])
    here = np.array([t in local for t in columns["target"]])
    fresh = np.array([design_of(run.point(i)) not in done for i in columns["id"]])
    order = np.argsort(-np.where(here & fresh, change, -np.inf), kind="stable")
    return [int(columns["id"][i]) for i in order[:count] if here[i] and fresh[i]]


def measure_point(run: Run, problem: Deployment, identity: int, number: int) -> list[Measured]:
    """Run the design's prefill and decode step on this machine."""
    from codesign.profilers.measure import Request, measure_in_subprocess

    point = run.point(identity)
    asked = problem.asked
    priced = priced_design(problem, point)
    found = []
    for primitive, quantity, batch in primitives(priced, asked.mode, int(point["batch"]), asked.generate):
        request = Request(
            model=asked.model, phase=primitive, batch=batch, prompt=asked.prompt,
            context=asked.prompt + asked.generate // 2, dtype=point["dtype"], seconds=SECONDS_EACH,
            seed=run.meta["seed"],
        )  # fmt: skip
        watch = Watch()
        result = measure_in_subprocess(request, timeout=TIMEOUT_S)
        others = watch.share()
        inside = quantity.low <= result.median <= quantity.high
        found.append(
            Measured(identity, number, primitive, "s", quantity.value, quantity.low, quantity.high, result.median,
                     (result.high - result.low) / result.median, result.repeats, inside, design_of(point),
                     None if others is None else others.fraction)
        )  # fmt: skip
    return found


def design_of(point: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a point that decide its latency on one device."""
    return {name: point[name] for name in ("target", "dtype", "tp", "pp", "ep", "nodes", "batch")}


def design_text(design: dict[str, Any]) -> str:
    """Return a measured design in a few words."""
    words = [str(design["dtype"]), *(f"{k} {design[k]}" for k in ("tp", "pp", "ep") if design[k] != 1)]
    return ", ".join([*words, f"batch {design['batch']}"])


def priced_design(problem: Deployment, point: dict[str, Any], scales: Array | None = None) -> Priced:
    """Return the priced design, with the factors of its target scaled on top of the calibration it has."""
    target = problem.targets[point["target"]]
    if scales is not None:
        before = {entry.name: entry.scale for entry in target.calibration}
        combined = {LABELS[f]: float(scales[f]) * before.get(LABELS[f], 1.0) for f in F}
        entries = tuple(
            Calibration(name, scale, 0.1, Method.CALIBRATED, "trial")
            for name, scale in combined.items()
            if scale != 1.0
        )
        target = msgspec.structs.replace(target, calibration=entries)
    asked = problem.asked
    load = Load(point["batch"], asked.prompt, asked.generate)
    return price(problem.model, target, problem.structure(point), load, asked.site)


def primitives(priced: Priced, mode: str, batch: int, generate: int) -> list[tuple[str, Quantity, int]]:
    """Return (primitive, predicted seconds, batch it runs at): the prefill pass and the mean decode step."""
    prefill, decode = priced.phases
    sigmas = priced.machine.sigmas
    found = []
    for name, column, size in (
        ("prefill", prefill.seconds, 1 if mode == "continuous" else batch),
        ("decode", decode.seconds * (1.0 / max(generate - 1, 1)), batch),
    ):
        low, high = column.interval(sigmas)
        value = float(column.value.reshape(-1)[0])
        found.append(
            (name, Quantity(value, float(low.reshape(-1)[0]), float(high.reshape(-1)[0]), "s", "analytical"), size)
        )
    return found


def fit(problem: Deployment, target: str, rows: Sequence[Measured]) -> Posterior:
    """Return the factors of ``target`` given all measurements on it."""
    used = [row for row in rows if row.design["target"] == target]
    steps = max(problem.asked.generate - 1, 1)

    def predict(scales: Array) -> tuple[Array, Array]:
        values, elasticities = np.empty(len(used)), np.empty((len(used), COUNT))
        for index, row in enumerate(used):
            priced = priced_design(problem, row.design, scales)
            cost = priced.phases[PRIMITIVES.index(row.metric)].seconds
            value = float(cost.value.reshape(-1)[0])
            values[index] = value / (steps if row.metric == "decode" else 1)
            elasticities[index] = cost.slopes.reshape(COUNT, -1)[:, 0] / value
        return values, elasticities

    measured = np.array([row.measured for row in used])
    # a steady neighbour does not show in the repeats
    noise = np.array(
        [np.hypot(np.hypot(row.spread / INTERVAL_WIDTH, row.others or 0.0), own_spread(problem, row)) for row in used]
    )
    sigmas = priced_design(problem, used[0].design).machine.sigmas
    return update(predict, measured, noise, sigmas)


def own_spread(problem: Deployment, row: Measured) -> float:
    """Return the relative standard deviation of this shape alone, which no shared factor explains."""
    cost = priced_design(problem, row.design).phases[PRIMITIVES.index(row.metric)].seconds
    return float(np.sqrt(cost.variance.reshape(-1)[0]) / cost.value.reshape(-1)[0])


def append_measured(run: Run, rows: Sequence[Measured]) -> None:
    """Append measurements to the run's verification journal."""
    from codesign.run import Journal

    with Journal(run.path / JOURNAL, sync_each=True) as journal:
        for row in rows:
            journal.append(msgspec.to_builtins(row))


def read_measured(run: Run) -> list[Measured]:
    """Return every measurement of the run; a torn last line is dropped."""
    from codesign.run import read_journal

    path = run.path / JOURNAL
    if not path.exists():
        return []
    return [msgspec.convert(record, Measured) for record in read_journal(path).records]


def write_summary(
    run: Run, after: Run, problem: Deployment, calibrated: Deployment, rows: Sequence[Measured], number: int
) -> None:
    """Store predicted against measured, before and after calibration, and how the front changed."""
    again = []
    for row in rows:
        priced = priced_design(calibrated, row.design)
        found = dict(
            (name, q)
            for name, q, _ in primitives(priced, problem.asked.mode, row.design["batch"], problem.asked.generate)
        )
        q = found[row.metric]
        again.append({**msgspec.to_builtins(row), "objective": row.metric, "calibrated": q.value, "low_after": q.low,
                      "high_after": q.high, "inside_after": q.low <= row.measured <= q.high})  # fmt: skip
    keys = problem.box.names
    before_set = {design_key(run, i, keys): i for i in run.front["columns"]["id"]}
    after_set = {design_key(after, i, keys) for i in after.front["columns"]["id"]}
    error = [abs(r.measured / r.predicted - 1) for r in rows]
    error_after = [abs(r["measured"] / r["calibrated"] - 1) for r in again]
    summary = {
        "rounds": number,
        "measurements": len(rows),
        "median_error_before": float(np.median(error)),
        "median_error_after": float(np.median(error_after)),
        "inside_before": float(np.mean([r.inside for r in rows])),
        "inside_after": float(np.mean([r["inside_after"] for r in again])),
        "stated_coverage": 0.9,
        "disturbed": f"{sum(r.disturbed for r in rows)} of {len(rows)} by other work on this machine",
        "left_front": [f"#{i}" for key, i in before_set.items() if key not in after_set],
        "entered_front": len(after_set - before_set.keys()),
        "calibrated_run": after.path.name,
        "rows": [
            {"design": design_text(r["design"]), **{k: v for k, v in r.items() if k not in UNSHOWN}} for r in again
        ],
    }
    add_verification(run, summary, problem)


def design_key(run: Run, identity: int, names: Sequence[str]) -> tuple[Any, ...]:
    """Return the parameter values of a front point."""
    columns = run.front["columns"]
    row = columns["id"].index(identity)
    return tuple(columns[name][row] for name in names)
