"""Fitting a family: parameters of the physical form for each format and stack, then the shape term that is left.

The shape term is the mean of two gradient boostings, of squared and of absolute error, of
``ln(measured / physical form)``. Its features name no device. Where devices have it apart, each has its own, and others
get the mean.
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
from codesign.costmodels.operators.family_model import (
    NO_TREES,
    FamilyModel,
    Group,
    of_devices,
    on_device,
    own_parameters,
)
from codesign.costmodels.operators.kernels import by_kernel
from codesign.costmodels.operators.monotone import Inputs, inputs
from codesign.costmodels.operators.most_probable import Prior, fit_change, fit_parameters
from codesign.costmodels.operators.tables import UNDERCUT, Mask, Rows, of_pairs, sample
from codesign.costmodels.operators.trees import Trees, mean_of, of_ensembles
from codesign.quantity import Array

MOST_OF_A_DEVICE = 40_000
"""Rows of each device that the shape term is fitted on: a device measured more often says no more of others."""

MOST_OF_A_GROUP = 4_000
"""Rows of each device and group that the physical parameters are fitted on."""

LEVEL_SPREAD = 0.01
"""Standard deviation of the level of a device whose own parameters are fitted: it could stand for any of them."""

SPREAD = 0.5
"""Standard deviation of a parameter's logarithm between formats and stacks of one family (assumed)."""

NOISE = 0.25
"""Standard deviation of ln(measured / physical form) within a group, where the shape term is not yet known."""

CALIBRATION_SPREAD, CALIBRATION_NOISE = 0.3, 0.2
"""Of a parameter's logarithm between devices, and of ln(measured / predicted) on a calibrated one: twice the scatter of
the fit where that is more (assumed; chosen on the development devices, each left out)."""

FEW = 0.6
"""The same of a single measurement, beside the noise (their squares add); of n, over the root of n. Which shapes are
measured is chance, and neighbours are off alike (chosen likewise: one measurement then misleads on few devices).
"""

TRUST_SPREAD = 0.3
"""Of the share of the shape term that holds on a device which was not measured, 1 at most (chosen likewise)."""

MOST_OF_SCATTER = 10_000
"""Rows that tell the scatter."""

NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

LARGEST_TERM = 2.0
"""Logarithm by which the network may leave the physical form: what lies beyond its training does not run away."""

QUICK_ROWS = 8_192
"""Rows that the network predicts at a time: their columns stay in the processor's cache."""

ITERATIONS, LEAVES, DEPTH, RATE, SHRINKAGE = 225, 31, 8, 0.1, 1.0
"""Of the boostings: trees, leaves and levels of each, learning rate, penalty on leaf values."""


def physical(rows: Rows, parameters: Array) -> tuple[physics.Work, Columns, Array]:
    """Return the work of ``rows``, their device columns and what the physical form says, s."""
    on = rows.columns
    work = FAMILIES[rows.family].work(rows.shapes, on)
    return work, on, physics.seconds(parameters, work, on)


def predict_known(model: FamilyModel, rows: Rows) -> Array:
    """Return the latency of each row, s, as ``predict``, of each device as the model was fitted to it."""
    found = np.empty(len(rows))
    for device, form, mine in of_pairs(rows):
        found[mine] = predict(on_device(model, device, form), rows.take(mine))
    return found


def shape_features(rows: Rows, parameters: Array, expert: Expert) -> tuple[NDArray[np.float32], Array]:
    """Return the features of the shape term, (n, features), and the physical form, s, (n,)."""
    work, on, expected = physical(rows, parameters)
    floor = np.exp(parameters[0])
    family = FAMILIES[rows.family]
    found = features(
        family, rows.shapes, work, on, expected, floor, by_power=expert.by_power, by_generation=expert.by_generation
    )
    return found, expected


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
    level = rows.take(steady(expert, rows))
    chosen = level.take(sample(level.device, MOST_OF_A_GROUP, rng))
    bare = _by_group(expert, level, chosen, rng)
    training = rows.take(sample(rows.device, MOST_OF_A_DEVICE, rng))
    columns, expected = shape_features(training, own_parameters(bare, training), expert)
    left = np.log(training.seconds / (predict_known(bare, training) if expert.by_device else expected))
    if expert.levelled:
        levels = _levels(expert, training, left)
        left = left - levels
        bare = _with_levels(bare, training, levels)
    trees = _shape_trees(expert, training, columns, left, seed)
    looked = np.arange(0, len(left), max(len(left) // MOST_OF_SCATTER, 1))
    fitted = msgspec.structs.replace(bare, trees=trees)
    missed = left[looked] - _own_terms(fitted, training.take(looked), columns[looked])
    fitted = msgspec.structs.replace(fitted, scatter=NORMAL * float(np.median(np.abs(missed))))
    by_format = not expert.by_device or len(np.unique(rows.form)) > 1
    return _known_devices(fitted, chosen) if by_format else fitted


def _by_group(expert: Expert, rows: Rows, chosen: Rows, rng: np.random.Generator) -> FamilyModel:
    """Return ``expert`` without a shape term: with the parameters of each format and stack, or of each sort of kernels.

    The first are around those of ``chosen`` rows.
    """
    used = [rows.devices[d] for d in np.unique(rows.device).tolist()]
    ids, architectures = tuple(d.id for d in used), tuple(sorted({d.architecture for d in used}))
    bare = FamilyModel(expert, expert.prior, {}, NO_TREES, ids, architectures, 0.0, trust=expert.carried)
    if expert.by_kernel:
        return by_kernel(bare, rows, SPREAD, NOISE, rng)
    pooled = fit_parameters(chosen, expert.prior, 2.0 * SPREAD, NOISE, within=expert.converts, held=expert.held)
    groups: dict[Group, Array] = {}
    for f, form in enumerate(rows.formats):
        for s, stack in enumerate(rows.stacks):
            mask = np.flatnonzero((rows.form == f) & (rows.stack == s))
            if len(mask):
                some = rows.take(mask[sample(rows.device[mask], MOST_OF_A_GROUP, rng)])
                groups[form.name, stack] = fit_parameters(
                    some, pooled, SPREAD, NOISE, within=expert.converts, held=expert.held
                )
    # a format that was not measured is as the middle one that was: one of many rows counts as any other
    found = msgspec.structs.replace(bare, pooled=np.median(list(groups.values()), axis=0), groups=groups)
    return _by_device(found, chosen) if expert.by_device else found


def _shape_trees(expert: Expert, rows: Rows, columns: NDArray[np.float32], left: Array, seed: int) -> Trees:
    """Return the trees of the shape term, or those of each device of ``rows`` in their order as one mean."""
    if not expert.apart:
        return _boosted(columns, left, seed)
    each = [rows.device == number for number in np.unique(rows.device).tolist()]
    return mean_of([_boosted(columns[mine], left[mine], seed) for mine in each])


def _own_terms(model: FamilyModel, rows: Rows, columns: NDArray[np.float32]) -> Array:
    """Return the shape term of each row of known devices, shape (n,), from its features."""
    if not model.expert.apart:
        return model.trees.predict(columns)
    found = np.empty(len(rows))
    for own, mine in of_devices(model, rows):
        found[mine] = own.trees.predict(columns[mine])
    return found


def _known_devices(model: FamilyModel, rows: Rows) -> FamilyModel:
    """Return ``model`` with the change of each device and format of ``rows``, the shape term as it is."""
    own = {}
    for device, form, at in of_pairs(rows):
        mine, known = rows.take(at), on_device(model, device)
        before, term = known.parameters(mine), shape_term(known, mine)
        centre = np.append(np.broadcast_to(known.change, len(before)), known.level)
        own[f"{device} {form}"] = fit_change(mine, before, term, Prior(centre, CALIBRATION_SPREAD), NOISE)[0]
    return msgspec.structs.replace(model, own=own)


def steady(expert: Expert, rows: Rows) -> Mask:
    """Return the mask of rows whose level is that of their device: all, or those of short runs of devices with any."""
    if not expert.short_runs:
        return np.ones(len(rows), np.bool_)
    return rows.held_out | ~np.isin(rows.device, rows.device[rows.held_out])


def _by_device(model: FamilyModel, rows: Rows) -> FamilyModel:
    """Return ``model`` with the changes of each device of ``rows``, moved to the mean of their parameters."""
    own = {}
    for number in np.unique(rows.device).tolist():
        mine = rows.take(rows.device == number)
        spread = np.append(np.full(len(model.pooled), CALIBRATION_SPREAD), LEVEL_SPREAD)
        own[rows.devices[number].id] = fit_change(mine, model.parameters(mine), 0.0, Prior(0.0, spread), NOISE)[0]
    mean = np.mean(list(own.values()), axis=0)
    mean[list(model.expert.held)] = 0.0
    return msgspec.structs.replace(
        model, pooled=model.pooled + mean[:-1], groups={key: found + mean[:-1] for key, found in model.groups.items()},
        own={device: change - mean for device, change in own.items()},
    )  # fmt: skip


def _with_levels(model: FamilyModel, rows: Rows, levels: Array) -> FamilyModel:
    """Return ``model`` whose devices with own changes also have the levels that are left of them."""
    own, lasting = dict(model.own), steady(model.expert, rows)
    for number in np.unique(rows.device).tolist() if own else []:
        of_device = own[rows.devices[number].id]
        mine = (rows.device == number) & lasting
        own[rows.devices[number].id] = np.append(of_device[:-1], of_device[-1] + np.median(levels[mine]))
    return msgspec.structs.replace(model, own=own)


def _levels(expert: Expert, rows: Rows, left: Array) -> Array:
    """Return the median of ``left`` of each row's device and format, less the mean of those medians.

    Where runs of a device differ, of those in which it was measured.
    """
    key = rows.device * len(rows.formats) + rows.form
    key = 2 * key + steady(expert, rows)
    found, place = np.unique(key, return_inverse=True)
    medians = np.array([np.median(left[place == p]) for p in range(len(found))])
    return np.asarray((medians - medians.mean())[place])


def shape_term(model: FamilyModel, rows: Rows) -> Array:
    """Return the shape term of each row, shape (n,)."""
    return model.trees.predict(shape_features(rows, model.parameters(rows), model.expert)[0])


def predict(model: FamilyModel, rows: Rows, term: Array | None = None) -> Array:
    """Return the latency of each row, s; never less than the least possible time over ``UNDERCUT``.

    Args:
        model: Of the expert of ``rows``.
        rows: What is asked; their seconds are not looked at.
        term: Their shape term, where it is known already.
    """
    term = shape_term(model, rows) if term is None else term
    work, on, expected = physical(rows, model.parameters(rows) + model.change[:, None])
    return np.maximum(expected * np.exp(model.trust * term + model.level), physics.least(work, on) / UNDERCUT)


def network_inputs(rows: Rows, parameters: Array) -> tuple[Inputs, physics.Work, Columns, Array]:
    """Return the inputs of the network, and the work, device columns and physical form (s) of ``rows``."""
    work, on, expected = physical(rows, parameters)
    return inputs(FAMILIES[rows.family], rows.shapes, work, on, expected, np.exp(parameters[0])), work, on, expected


def predict_quickly(model: FamilyModel, rows: Rows) -> Array:
    """Return the latency of each row, s, by the network: it never falls when an operator grows or a device slows down.

    A calibration moves the physical form and its floor, by which the network sees the operator.
    """
    if model.network is None:
        return predict(model, rows)
    if len(rows) > QUICK_ROWS:
        begins = range(0, len(rows), QUICK_ROWS)
        return np.concatenate([predict_quickly(model, rows.part(at, at + QUICK_ROWS)) for at in begins])
    parameters = _shared_parameters(model, rows)
    parameters = parameters + (model.change if parameters.ndim == 1 else model.change[:, None])
    given, work, on, expected = network_inputs(rows, parameters)
    beyond = parameters[0] + model.network.predict(given) - np.log(expected)
    # the larger and the smaller of two rising functions rise as well, and so does their weighted geometric mean
    found = expected * np.exp(model.trust * np.clip(beyond, -LARGEST_TERM, LARGEST_TERM) + model.level)
    return np.asarray(np.maximum(found, physics.least(work, on) / UNDERCUT))


def _shared_parameters(model: FamilyModel, rows: Rows) -> Array:
    """Return the parameters of each row, shape (7, n), or (7,) where all rows share them: that is much quicker."""
    if len(rows.formats) == len(rows.stacks) == 1:
        return model.of_group(rows.formats[0].name, rows.stacks[0])
    return model.parameters(rows)


def calibrated(
    model: FamilyModel,
    rows: Rows,
    term: Array | None = None,
    spread: Array | float | None = None,
    apart: float = 0.0,
) -> FamilyModel:
    """Return ``model`` moved to the one device of ``rows``.

    The most probable change of the parameters, level, and trust in the shape term, given the measurements: a normal
    prior around other devices, so that a few measurements move only what they tell of. Where the shapes of a device
    are not as efficient as those of others, the physical form alone is left. All formats and stacks share the change.

    Args:
        model: Of the expert of ``rows``; where it is that of a known device, the prior is around what is known of it.
        rows: Measured on one device; from one row on.
        term: Their shape term, where it is known already.
        spread: Standard deviations of the parameters' logarithms between devices, and of the level, or one of all; None
            for ``CALIBRATION_SPREAD``.
        apart: Standard deviation of what all rows of a format have in common, and no other format has: many rows of one
            format then tell little more of the others than a few.
    """
    before = model.parameters(rows)
    term = shape_term(model, rows) if term is None else term
    known = np.append(np.broadcast_to(model.change, len(before)), model.level)
    few = FEW if model.devices else 0.0  # what is assumed of a device says less than any measurement
    noise = np.hypot(max(CALIBRATION_NOISE, 2.0 * model.scatter), few / np.sqrt(len(rows)))
    prior = Prior(known, CALIBRATION_SPREAD if spread is None else spread, model.trust, TRUST_SPREAD)
    rows_of_form = np.bincount(rows.form)[rows.form]
    change, trust = fit_change(rows, before, term, prior, np.hypot(noise, np.sqrt(rows_of_form) * apart))
    return msgspec.structs.replace(model, change=change[:-1], level=float(change[-1]), trust=trust)


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
