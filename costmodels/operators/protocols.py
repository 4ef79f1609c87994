"""How well an expert does on a device it has not seen, and what a few measurements of it are worth.

Each device is left out in turn: the expert is fitted on the others and predicts it. The interval of the device left out
comes from the others alone, each of them left out beside it: halfway between the mean and the largest of what they
need, as a few devices tell little of how far off another may be. Beside ours stand the roofline and the roofline times
one measured scalar. Errors are |predicted - measured| / measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import msgspec
import numpy as np

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.by_format import calibrated_by_format
from codesign.costmodels.operators.experts import Expert
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.family_model import FamilyModel
from codesign.costmodels.operators.fit import fit_family, predict, predict_known, served, shape_term, steady
from codesign.costmodels.operators.tables import Indices, Rows
from codesign.quantity import Array

COVERAGE = 0.9
MOST_TESTED = 6_000
"""Rows of each device and format that are predicted."""

MOST_FOR_PAIRS = 12_000
"""Rows of each device that the fits without two devices see: they tell how wide an interval is, to a few per cent."""

SHARE_OUT = 0.1
"""Share of the shapes that are left out to test shapes that were not seen."""

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
        half: 90 % quantile of |ln(measured / predicted)|.
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
    half: float


def error(predicted: Array, measured: Array) -> Error:
    """Return the error of predictions."""
    found = np.abs(predicted - measured) / measured
    return Error(float(found.mean()), float(np.median(found)), float(np.quantile(found, 0.9)))


class Seen(msgspec.Struct, frozen=True):
    """How an expert does on shapes it has not seen of devices that it has.

    Attributes:
        expert: Name of the expert.
        rows: Predicted.
        model: Error.
        half: 90 % quantile of |ln(measured / predicted)|.
    """

    expert: str
    rows: int
    model: Error
    half: float


def new_shapes(expert: Expert, rows: Rows, seed: int = 0) -> Seen:
    """Return how ``expert`` does on a tenth of the shapes, left out with every row of theirs.

    Rows that differ only in the column that the family sweeps are of one shape: left out one by one, their neighbours
    would give them away.
    """
    family = FAMILIES[rows.family]
    columns = [values for name, values in rows.shapes.items() if name != family.sweeps]
    table = np.stack([*columns, rows.form.astype(np.float64)], axis=1)
    shape = np.unique(table, axis=0, return_inverse=True)[1].ravel()
    out = np.random.default_rng(seed).random(int(shape.max()) + 1) < SHARE_OUT
    asked = served(expert, rows)
    if out.all() or not (out[shape] & asked).any():
        out = np.arange(len(out)) % 2 == shape[asked.argmax()] % 2
    asked = out[shape] & asked
    tested = rows.take(asked)
    tested = tested.take(steady(expert, tested))  # where sweeps run slower, a device is what its short runs are
    found = predict_known(fit_family(expert, rows.take(~out[shape]), seed), tested)
    half = float(np.quantile(np.abs(np.log(tested.seconds / found)), COVERAGE))
    return Seen(expert.name, len(tested), error(found, tested.seconds), half)


def leave_one_out(expert: Expert, rows: Rows, devices: Sequence[str], seed: int = 0) -> list[LeftOut]:
    """Return how ``expert`` does on each of ``devices``, fitted on the others of them.

    Args:
        expert: What is fitted; formats that it does not serve are not predicted.
        rows: Its rows; those of other devices are not used.
        devices: Ids; at least two. With three or more each gets an interval.
        seed: Of the fits and of the measurements drawn.
    """
    ids = [device.id for device in rows.devices]
    numbers = [ids.index(device) for device in devices if device in ids and (rows.device == ids.index(device)).any()]
    rows = rows.take(np.isin(rows.device, numbers))
    tested = {number: _tested(expert, rows, number, seed) for number in numbers}
    residuals = _pairwise(expert, rows, numbers, tested, seed) if len(numbers) > 2 else {}
    found = []
    for number in numbers:
        if not len(tested[number]):
            continue
        model = fit_family(expert, rows.take(rows.device != number), seed)
        spread = [np.quantile(np.abs(left), COVERAGE) for (_, other), left in residuals.items() if other == number]
        half = float((np.mean(spread) + np.max(spread)) / 2.0) if spread else None
        found += _scored(expert, model, tested[number], half, seed)
    return found


def _tested(expert: Expert, rows: Rows, number: int, seed: int) -> Rows:
    """Return the rows of a device that are predicted, of each format that ``expert`` serves.

    Those that their source set apart for testing, where it did.
    """
    rng = np.random.default_rng(seed)
    mine = (rows.device == number) & served(expert, rows)
    mine = mine & rows.held_out if (mine & rows.held_out).any() else mine
    chosen = [np.empty(0, np.int64)]
    for form in np.unique(rows.form[mine]).tolist():
        some = np.flatnonzero(mine & (rows.form == form))
        chosen.append(some if len(some) <= MOST_TESTED else rng.choice(some, MOST_TESTED, replace=False))
    return rows.take(np.sort(np.concatenate(chosen)))


def _pairwise(
    expert: Expert, rows: Rows, numbers: Sequence[int], tested: dict[int, Rows], seed: int
) -> dict[tuple[int, int], Array]:
    """Return (device predicted, the other one left out with it) -> ln(measured / predicted)."""
    found = {}
    rng = np.random.default_rng(seed)
    rows = rows.take(np.sort(np.concatenate([_some(np.flatnonzero(rows.device == n), rng) for n in numbers])))
    for first, second in combinations(numbers, 2):
        model = fit_family(expert, rows.take(~np.isin(rows.device, (first, second))), seed)
        for one, other in ((first, second), (second, first)):
            if len(tested[one]):
                found[one, other] = np.log(tested[one].seconds / predict(model, tested[one]))
    return found


def _some(at: Indices, rng: np.random.Generator) -> Indices:
    return at if len(at) <= MOST_FOR_PAIRS else rng.choice(at, MOST_FOR_PAIRS, replace=False)


def _scored(expert: Expert, model: FamilyModel, tested: Rows, half: float | None, seed: int) -> list[LeftOut]:
    rng = np.random.default_rng(seed)
    on = tested.columns
    work = FAMILIES[tested.family].work(tested.shapes, on)
    roof, expected = physics.bound(work, on), physics.seconds(model.parameters(tested), work, on)
    term = shape_term(model, tested)
    predicted = predict(model, tested, term)
    after: dict[int, list[Array]] = {count: [] for count in POINTS}
    for count in POINTS:
        for _ in range(DRAWS):
            at = spread_out(roof, count, rng)
            moved = calibrated_by_format(model, tested.take(at), term[at])
            after[count].append(np.abs(moved.predict(tested, term) / tested.seconds - 1.0))
    scalar = [spread_out(roof, max(POINTS), rng) for _ in range(DRAWS)]
    found = []
    for form in np.unique(tested.form).tolist():
        mine = tested.form == form
        real = tested.seconds[mine]
        scaled = [np.abs(roof[mine] * np.median(tested.seconds[at] / roof[at]) / real - 1.0).mean() for at in scalar]
        within = None if half is None else float((np.abs(np.log(real / predicted[mine])) <= half).mean())
        found.append(LeftOut(
            expert.name, tested.devices[int(tested.device[0])].id, tested.formats[form].name, int(mine.sum()),
            error(roof[mine], real), float(np.mean(scaled)), error(expected[mine], real), error(predicted[mine], real),
            {count: float(np.mean([draw[mine].mean() for draw in draws])) for count, draws in after.items()},
            within, None if half is None else float(np.exp(2.0 * half)),
            float(np.quantile(np.abs(np.log(real / predicted[mine])), COVERAGE)),
        ))  # fmt: skip
    return found


def spread_out(size: Array, count: int, rng: np.random.Generator) -> Indices:
    """Return positions of ``count`` rows, one from each of as many quantiles of ``size``."""
    order = np.argsort(size, kind="stable")
    at = ((np.arange(count) + rng.random(count)) / count * len(order)).astype(np.int64)
    return np.asarray(order[np.minimum(at, len(order) - 1)])
