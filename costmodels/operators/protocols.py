"""How well an expert does on a device it has not seen, and what a few measurements of it are worth.

Each device is left out in turn: the expert is fitted on the others and predicts it. The interval of the device left out
comes from the others alone: each of them left out beside it. Beside ours stand the roofline and the roofline times one
measured scalar. Errors are |predicted - measured| / measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import msgspec
import numpy as np

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.experts import Expert
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.fit import FamilyModel, calibrated, distinct, fit_family, predict
from codesign.costmodels.operators.tables import Indices, Rows
from codesign.quantity import Array

COVERAGE = 0.9
MOST_TESTED = 6_000
"""Rows of each device and format that are predicted."""

POINTS = (1, 4, 16, 32)
"""Measurements of the device left out that it is calibrated with."""

DRAWS = 5
"""Sets of measurements that an error after calibration is the mean of."""


class Error(msgspec.Struct, frozen=True):
    """Mean, median and 90 % quantile of an error, as shares."""

    mean: float
    median: float
    ninetieth: float


class LeftOut(msgspec.Struct, frozen=True):
    """One device and format left out.

    Attributes:
        expert: Name of the expert.
        device: Id of the device.
        form: Name of the format.
        rows: Predicted.
        roofline: Error of FLOP over peak and bytes over bandwidth.
        roofline_scaled: With the one scalar that is best for 32 measurements.
        physical: Error of the physical form alone.
        model: Error of the expert.
        after: Measurements of the device -> mean error of the expert calibrated with them.
        coverage: Share of rows within the interval of 90 %.
        width: Upper over lower end of the interval.
    """

    expert: str
    device: str
    form: str
    rows: int
    roofline: Error
    roofline_scaled: float
    physical: Error
    model: Error
    after: dict[int, float]
    coverage: float | None
    width: float | None


def error(predicted: Array, measured: Array) -> Error:
    """Return the error of predictions."""
    found = np.abs(predicted - measured) / measured
    return Error(float(found.mean()), float(np.median(found)), float(np.quantile(found, 0.9)))


def leave_one_out(expert: Expert, rows: Rows, devices: Sequence[str], seed: int = 0) -> list[LeftOut]:
    """Return how ``expert`` does on each of ``devices``, fitted on the others of them.

    Args:
        expert: What is fitted.
        rows: Its rows; those of other devices are not used.
        devices: Ids; at least two. With three or more each gets an interval.
        seed: Of the fits and of the measurements drawn.
    """
    ids = [device.id for device in rows.devices]
    numbers = [ids.index(device) for device in devices if device in ids and (rows.device == ids.index(device)).any()]
    rows = rows.take(np.isin(rows.device, numbers))
    tested = {number: _tested(rows, number, seed) for number in numbers}
    residuals = _pairwise(expert, rows, numbers, tested, seed) if len(numbers) > 2 else {}
    found = []
    for number in numbers:
        model = fit_family(expert, rows.take(rows.device != number), seed)
        spread = [np.quantile(np.abs(left), COVERAGE) for (_, other), left in residuals.items() if other == number]
        half = float(np.mean(spread)) if spread else None
        found += _scored(expert, model, tested[number], half, seed)
    return found


def _tested(rows: Rows, number: int, seed: int) -> Rows:
    """Return the rows of a device that are predicted: those set apart by their source, else any, of each format."""
    rng = np.random.default_rng(seed)
    mine = rows.device == number
    mine = mine & rows.held_out if (mine & rows.held_out).any() else mine
    chosen = []
    for form in distinct(rows.form[mine]):
        some = np.flatnonzero(mine & (rows.form == form))
        chosen.append(some if len(some) <= MOST_TESTED else rng.choice(some, MOST_TESTED, replace=False))
    return rows.take(np.sort(np.concatenate(chosen)))


def _pairwise(
    expert: Expert, rows: Rows, numbers: Sequence[int], tested: dict[int, Rows], seed: int
) -> dict[tuple[int, int], Array]:
    """Return (device predicted, the other one left out with it) -> ln(measured / predicted)."""
    found = {}
    for first, second in combinations(numbers, 2):
        model = fit_family(expert, rows.take(~np.isin(rows.device, (first, second))), seed)
        for one, other in ((first, second), (second, first)):
            found[one, other] = np.log(tested[one].seconds / predict(model, tested[one]))
    return found


def _scored(expert: Expert, model: FamilyModel, tested: Rows, half: float | None, seed: int) -> list[LeftOut]:
    rng = np.random.default_rng(seed)
    on = tested.columns
    work = FAMILIES[tested.family].work(tested.shapes, on)
    roof, expected = physics.bound(work, on), physics.seconds(model.parameters(tested), work, on)
    predicted = predict(model, tested)
    after: dict[int, list[Array]] = {count: [] for count in POINTS}
    for count in POINTS:
        for _ in range(DRAWS):
            measured = tested.take(spread_out(roof, count, rng))
            after[count].append(np.abs(predict(calibrated(model, measured), tested) / tested.seconds - 1.0))
    scalar = [spread_out(roof, max(POINTS), rng) for _ in range(DRAWS)]
    found = []
    for form in distinct(tested.form):
        mine = tested.form == form
        real = tested.seconds[mine]
        scaled = [np.abs(roof[mine] * np.median(tested.seconds[at] / roof[at]) / real - 1.0).mean() for at in scalar]
        within = None if half is None else float((np.abs(np.log(real / predicted[mine])) <= half).mean())
        found.append(LeftOut(
            expert.name, tested.devices[int(tested.device[0])].id, tested.formats[form].name, int(mine.sum()),
            error(roof[mine], real), float(np.mean(scaled)), error(expected[mine], real), error(predicted[mine], real),
            {count: float(np.mean([draw[mine].mean() for draw in draws])) for count, draws in after.items()},
            within, None if half is None else float(np.exp(2.0 * half)),
        ))  # fmt: skip
    return found


def spread_out(size: Array, count: int, rng: np.random.Generator) -> Indices:
    """Return positions of ``count`` rows, one from each of as many quantiles of ``size``."""
    order = np.argsort(size, kind="stable")
    at = ((np.arange(count) + rng.random(count)) / count * len(order)).astype(np.int64)
    return np.asarray(order[np.minimum(at, len(order) - 1)])
