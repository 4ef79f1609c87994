"""Fitting a family: parameters of the physical form for each format and stack, then the shape term that is left.

The shape term is the mean of two gradient boostings, of squared and of absolute error, of
``ln(measured / physical form)``. Its features name no device.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.device import Columns
from codesign.costmodels.operators.experts import Expert
from codesign.costmodels.operators.families import FAMILIES, features
from codesign.costmodels.operators.monotone import Inputs, inputs
from codesign.costmodels.operators.network import Network
from codesign.costmodels.operators.tables import UNDERCUT, Indices, Mask, Rows
from codesign.costmodels.operators.trees import Trees, of_ensembles
from codesign.quantity import Array

MOST_OF_A_DEVICE = 40_000
"""Rows of each device that the shape term is fitted on: a device measured more often says no more of others."""

MOST_OF_A_GROUP = 4_000
"""Rows of each device and group that the physical parameters are fitted on."""

SPREAD = 0.5
"""Standard deviation of a parameter's logarithm between formats and stacks of one family (assumed)."""

NOISE = 0.25
"""Standard deviation of ln(measured / physical form) within a group, where the shape term is not yet known."""

CALIBRATION_SPREAD, CALIBRATION_NOISE = 0.3, 0.1
"""Of a parameter's logarithm between devices, and the least of ln(measured / predicted) on a calibrated one: twice the
scatter of the fit is taken (assumed; chosen on the development devices, each left out)."""

MOST_OF_SCATTER = 10_000
"""Rows that tell the scatter."""

NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

LARGEST_TERM = 2.0
"""Logarithm by which the network may leave the physical form: shapes and devices beyond its training do not run away."""

NO_CHANGE = np.zeros(len(physics.NAMES))
NO_TREES = Trees(
    feature=np.zeros(1, np.int16), threshold=np.full(1, np.inf, np.float32), left=np.zeros(1, np.int32),
    right=np.zeros(1, np.int32), value=np.zeros(1, np.float32), root=np.zeros(1, np.int32), depth=0, offset=0.0,
)  # fmt: skip

ITERATIONS, LEAVES, DEPTH, RATE, SHRINKAGE = 225, 31, 8, 0.1, 1.0
"""Of the boostings: trees, leaves and levels of each, learning rate, penalty on leaf values."""

Group = tuple[str, str]
"""Format and stack."""


class FamilyModel(msgspec.Struct, frozen=True, eq=False):
    """The fitted model of one expert.

    Attributes:
        expert: What it is of.
        pooled: Parameters where neither format nor stack is known, shape (7,).
        groups: Format and stack -> parameters.
        trees: The shape term.
        devices: Ids of the devices it was fitted on.
        architectures: Theirs.
        scatter: Standard deviation of ln(measured / predicted) on the rows it was fitted on, robust against outliers.
        change: Added to the parameters of a device that was calibrated, shape (7,); the shape term does not see it.
        level: Added to the logarithm of every prediction: 0 but where a device was calibrated.
        network: The whole model for searches; None where it was not distilled.
        distilled: Standard deviation of ln(network / model).
    """

    expert: Expert
    pooled: Array
    groups: Mapping[Group, Array]
    trees: Trees
    devices: tuple[str, ...]
    architectures: tuple[str, ...]
    scatter: float
    change: Array = NO_CHANGE
    level: float = 0.0
    network: Network | None = None
    distilled: float = 0.0

    def parameters(self, rows: Rows) -> Array:
        """Return the parameters of each row, shape (7, n): of its group, else of its format, else the pooled ones."""
        table = np.empty((len(rows.formats), len(rows.stacks), len(self.pooled)))
        for f, form in enumerate(rows.formats):
            for s, stack in enumerate(rows.stacks):
                table[f, s] = self.of_group(form.name, stack)
        return np.asarray(table[rows.form, rows.stack].T)

    def of_group(self, form: str, stack: str) -> Array:
        """Return the parameters of a format and stack, shape (7,)."""
        same = [found for (name, _), found in self.groups.items() if name == form]
        known = self.groups.get((form, stack))
        return known if known is not None else np.mean(same, axis=0) if same else self.pooled


def physical(rows: Rows, parameters: Array) -> tuple[physics.Work, Columns, Array]:
    """Return the work of ``rows``, their device columns and what the physical form says, s."""
    on = rows.columns
    work = FAMILIES[rows.family].work(rows.shapes, on)
    return work, on, physics.seconds(parameters, work, on)


def shape_features(rows: Rows, parameters: Array, *, by_power: bool) -> tuple[NDArray[np.float32], Array]:
    """Return the features of the shape term, (n, features), and the physical form, s, (n,)."""
    work, on, expected = physical(rows, parameters)
    floor = np.exp(parameters[0])
    family = FAMILIES[rows.family]
    return features(family, rows.shapes, work, on, expected, floor, by_power=by_power), expected


def fit_parameters(rows: Rows, centre: Array, spread: float, noise: float) -> Array:
    """Return the parameters most probable given ``rows``, a normal prior around ``centre`` and robust noise.

    Args:
        rows: Measured operators.
        centre: Mean of the prior, shape (7,).
        spread: Its standard deviation.
        noise: Of ln(measured / physical form).
    """
    from scipy.optimize import least_squares

    on = rows.columns
    work = FAMILIES[rows.family].work(rows.shapes, on)
    measured = np.log(rows.seconds)

    def left(parameters: Array) -> Array:
        found = np.log(physics.seconds(parameters, work, on)) - measured
        return np.concatenate([found / noise, (parameters - centre) / spread])

    return np.asarray(least_squares(left, centre, loss="soft_l1", max_nfev=60).x)


def rows_of(expert: Expert, tables: Mapping[str, Rows]) -> Rows | None:
    """Return the rows that ``expert`` is fitted on; None where the tables hold none of what it serves."""
    rows = tables.get(expert.table)
    if rows is None or not served(expert, rows).any():
        return None
    if not expert.trained:
        return rows
    return rows.take(np.isin(rows.form, [f for f, form in enumerate(rows.formats) if form.name in expert.trained]))


def served(expert: Expert, rows: Rows) -> Mask:
    """Return the mask of rows whose format ``expert`` serves."""
    return np.isin(rows.form, [f for f, form in enumerate(rows.formats) if form.name in expert.serves])


def fit_family(expert: Expert, rows: Rows, seed: int = 0) -> FamilyModel:
    """Return the model of ``expert``; equal rows and seeds give equal models."""
    rng = np.random.default_rng(seed)
    chosen = rows.take(_sample(rows.device, MOST_OF_A_GROUP, rng))
    pooled = fit_parameters(chosen, physics.PRIOR, 2.0 * SPREAD, NOISE)
    groups: dict[Group, Array] = {}
    for f, form in enumerate(rows.formats):
        for s, stack in enumerate(rows.stacks):
            mask = np.flatnonzero((rows.form == f) & (rows.stack == s))
            if len(mask):
                some = rows.take(mask[_sample(rows.device[mask], MOST_OF_A_GROUP, rng)])
                groups[form.name, stack] = fit_parameters(some, pooled, SPREAD, NOISE)
    used = [rows.devices[d] for d in np.unique(rows.device).tolist()]
    bare = FamilyModel(
        expert, pooled, groups, NO_TREES, tuple(d.id for d in used), tuple(sorted({d.architecture for d in used})), 0.0
    )
    training = rows.take(_sample(rows.device, MOST_OF_A_DEVICE, rng))
    columns, expected = shape_features(training, bare.parameters(training), by_power=expert.by_power)
    left = np.log(training.seconds / expected)
    if expert.levelled:
        left = left - _levels(training, left)
    trees = _boosted(columns, left, seed)
    looked = np.arange(0, len(left), max(len(left) // MOST_OF_SCATTER, 1))
    scatter = NORMAL * float(np.median(np.abs(left[looked] - trees.predict(columns[looked]))))
    return msgspec.structs.replace(bare, trees=trees, scatter=scatter)


def _levels(rows: Rows, left: Array) -> Array:
    """Return the median of ``left`` of each row's device and format, less the mean of those medians."""
    key = rows.device * len(rows.formats) + rows.form
    found, place = np.unique(key, return_inverse=True)
    medians = np.array([np.median(left[place == p]) for p in range(len(found))])
    return np.asarray((medians - medians.mean())[place])


def shape_term(model: FamilyModel, rows: Rows) -> Array:
    """Return the shape term of each row, shape (n,)."""
    return model.trees.predict(shape_features(rows, model.parameters(rows), by_power=model.expert.by_power)[0])


def predict(model: FamilyModel, rows: Rows, term: Array | None = None) -> Array:
    """Return the latency of each row, s; never less than the least possible time over ``UNDERCUT``.

    Args:
        model: Of the expert of ``rows``.
        rows: What is asked; their seconds are not looked at.
        term: Their shape term, where it is known already.
    """
    term = shape_term(model, rows) if term is None else term
    work, on, expected = physical(rows, model.parameters(rows) + model.change[:, None])
    return np.maximum(expected * np.exp(term + model.level), physics.least(work, on) / UNDERCUT)


def network_inputs(rows: Rows, parameters: Array) -> tuple[Inputs, physics.Work, Columns, Array]:
    """Return the inputs of the network, and the work, device columns and physical form (s) of ``rows``."""
    work, on, expected = physical(rows, parameters)
    return inputs(FAMILIES[rows.family], rows.shapes, work, on, expected, np.exp(parameters[0])), work, on, expected


def predict_quickly(model: FamilyModel, rows: Rows) -> Array:
    """Return the latency of each row, s, by the network: it never falls when an operator grows or a device slows down.

    A calibration moves it as it moves the physical form.
    """
    if model.network is None:
        return predict(model, rows)
    parameters = _shared_parameters(model, rows)
    given, work, on, expected = network_inputs(rows, parameters)
    beyond = parameters[0] + model.network.predict(given) - np.log(expected)
    # the larger and the smaller of two rising functions rise as well
    found = expected * np.exp(np.clip(beyond, -LARGEST_TERM, LARGEST_TERM) + model.level)
    if np.any(model.change):
        change = model.change if parameters.ndim == 1 else model.change[:, None]
        found = found * physics.seconds(parameters + change, work, on) / expected
    return np.maximum(found, physics.least(work, on) / UNDERCUT)


def _shared_parameters(model: FamilyModel, rows: Rows) -> Array:
    """Return the parameters of each row, shape (7, n), or (7,) where all rows share them: that is much quicker."""
    if len(rows.formats) == len(rows.stacks) == 1:
        return model.of_group(rows.formats[0].name, rows.stacks[0])
    return model.parameters(rows)


def calibrated(model: FamilyModel, rows: Rows, term: Array | None = None, spread: float | None = None) -> FamilyModel:
    """Return ``model`` moved to the one device of ``rows``.

    The most probable change of the parameters, and level, given the measurements, the shape term as it is: a normal
    prior around other devices, so that a few measurements move only what they tell of. All formats and stacks share
    the change.

    Args:
        model: Of the expert of ``rows``.
        rows: Measured on one device; from one row on.
        term: Their shape term, where it is known already.
        spread: Standard deviation of a parameter's logarithm between devices; None for ``CALIBRATION_SPREAD``.
    """
    from scipy.optimize import least_squares

    spread = CALIBRATION_SPREAD if spread is None else spread
    before = model.parameters(rows)
    term = shape_term(model, rows) if term is None else term
    on = rows.columns
    work = FAMILIES[rows.family].work(rows.shapes, on)
    measured, noise = np.log(rows.seconds), max(CALIBRATION_NOISE, 2.0 * model.scatter)

    def left(change: Array) -> Array:
        expected = np.log(physics.seconds(before + change[:-1, None], work, on)) + term + change[-1]
        return np.concatenate([(expected - measured) / noise, change / spread])

    change = least_squares(left, np.zeros(len(before) + 1), loss="soft_l1").x
    return msgspec.structs.replace(model, change=change[:-1], level=float(change[-1]))


def _boosted(columns: NDArray[np.float32], left: Array, seed: int) -> Trees:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return of_ensembles(
        [
            HistGradientBoostingRegressor(
                loss=loss, max_iter=ITERATIONS, max_leaf_nodes=LEAVES, max_depth=DEPTH, learning_rate=RATE,
                l2_regularization=SHRINKAGE, early_stopping=False, random_state=seed,
            ).fit(columns, left)
            for loss in ("squared_error", "absolute_error")
        ]
    )  # fmt: skip


def _sample(device: Indices, most: int, rng: np.random.Generator) -> Indices:
    """Return positions of at most ``most`` rows of each device."""
    found = []
    for number in np.unique(device).tolist():
        of_device = np.flatnonzero(device == number)
        found.append(of_device if len(of_device) <= most else rng.choice(of_device, most, replace=False))
    return np.sort(np.concatenate(found))
