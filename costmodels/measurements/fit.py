"""The error factors that measurements identify, and how well they then predict what was left out.

The update of ``costmodels.calibration`` with four additions:

- Priors speak of kernels alone. A serving stack runs them in its own way, so every prior is widened by ``STACK_SIGMA``.
- Whole services have outliers (a run that queued, a regime of a library that no factor describes). Residuals follow
  Student's t: the update is repeated with each variance times ``(nu + r^2) / (nu + 1)`` for its standardised residual
  r [1]_.
- A factor that the measurements do not identify is held at its prior while the others are fitted, because the overlay
  keeps only what was identified.
- What a factor is off by differs from design to design and does not average out as noise does, so the sigmas of the
  factors are widened until the intervals hold the measurements.

Between pricings the model is taken as a sum of terms, one a factor: its slopes (a latency is that, but for its maxima).

.. [1] Lange, Little and Taylor, Robust Statistical Modeling Using the t Distribution, JASA 84 (1989), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.calibration import LEAST_SIGMA, MODEL_NOISE, Posterior, update
from codesign.costmodels.factors import COUNT, TIME_FACTORS
from codesign.costmodels.measurements.predictor import Predictor
from codesign.quantity import COVERAGE, Z90, Array, Column

STACK_SIGMA = 0.4
"""Standard deviation of ln(time in a serving stack / time of its kernels alone), per factor (assumed)."""

FREEDOM = 3.0
"""Degrees of freedom of the residuals: heavy tails, finite variance."""

ANSWERS = 0.3
"""Share of a measurement from which a factor answers for how far off it is."""

REWEIGHTINGS = 8
PRICINGS = 6
MOST_FOLDS = 20
LEAST_LEFT_OUT = 3
"""Designs from which leaving one out is meaningful."""

Rows = NDArray[np.intp]
"""Positions of measurements."""

TIME = np.isin(np.arange(COUNT), TIME_FACTORS)


class LeftOut(msgspec.Struct, frozen=True, eq=False):
    """Predictions of each measurement by the others, as slowness: values (K,), 90 % intervals, and the roofline's."""

    value: Array
    low: Array
    high: Array
    roofline: Array
    folds: int


def fit(predictor: Predictor, rows: Rows | None = None) -> Posterior:
    """Return the posterior of the time factors given the measurements at ``rows`` (default all).

    Factors that these do not identify have scale 1 and the sigma they had.
    """
    rows = np.arange(len(predictor.measured)) if rows is None else rows
    prior: Array = np.where(TIME & (predictor.sigmas > 0.0), np.hypot(predictor.sigmas, STACK_SIGMA), 0.0)
    sigmas = prior
    found, column = _relinearised(predictor, rows, sigmas)
    while (dropped := (sigmas > 0.0) & ~np.array(found.identified)).any():
        sigmas = np.where(dropped, 0.0, sigmas)
        found, column = _relinearised(predictor, rows, sigmas)
    learnt = np.array(found.identified)
    wider = _widened(predictor, column, rows, np.where(learnt, found.sigmas, 0.0))
    left = np.where(learnt, np.clip(wider, LEAST_SIGMA, prior), predictor.sigmas)
    return Posterior(np.where(learnt, found.scales, 1.0), left, found.identified)


def _relinearised(predictor: Predictor, rows: Rows, sigmas: Array) -> tuple[Posterior, Column]:
    """Return the posterior with the prior ``sigmas``, priced again until it stays, and the predictions there."""
    scales: Array = np.ones(COUNT)
    column = predictor.before
    for _ in range(PRICINGS):
        found = _robust(predictor, column, scales, rows, sigmas)
        moved = float(np.abs(np.log(found.scales / scales)).max())
        scales = found.scales
        if moved == 0.0:
            break
        column = predictor.column(scales)
        if moved < 0.01:
            break
    return found, column


def _robust(predictor: Predictor, column: Column, at: Array, rows: Rows, sigmas: Array) -> Posterior:
    """Return the posterior under Student's t, with the model linearised where its scales are ``at``."""
    own = column.variance[rows] / column.value[rows] ** 2
    variance = predictor.noise[rows] ** 2 + own + MODEL_NOISE**2
    measured, value = predictor.measured[rows], column.value[rows]
    slopes = column.slopes[:, rows]

    def predict(scales: Array) -> tuple[Array, Array]:
        terms = slopes * (scales / at)[:, None]
        total = np.maximum(value + (terms - slopes).sum(axis=0), 1e-3 * value)
        return total, (terms / total).T

    weight: Array = np.ones(len(rows))
    for _ in range(REWEIGHTINGS):
        # the update adds the noise of the model itself, so that it is taken off here
        inflated = np.sqrt(np.maximum(variance * weight - MODEL_NOISE**2, 0.0))
        found = update(predict, measured, inflated, sigmas)
        square = np.log(measured / predict(found.scales)[0]) ** 2 / variance
        before, weight = weight, (FREEDOM + square) / (FREEDOM + 1.0)
        if np.abs(weight - before).max() < 0.01:
            break
    return found


def _widened(predictor: Predictor, column: Column, rows: Rows, learnt: Array) -> Array:
    """Return the sigmas of the learnt factors (F,) with which the intervals hold the measurements at ``rows``.

    A factor answers for the metric of which it is the largest part (the host, say, for token latencies), wherever it
    is at least ``ANSWERS`` of a measurement, by their conformal quantile.
    """
    share = (column.slopes / column.value)[:, rows]
    fixed = np.where(TIME & (learnt == 0.0), predictor.sigmas, 0.0)
    rest = fixed**2 @ share**2 + (column.variance / column.value**2)[rows] + predictor.noise[rows] ** 2
    square = (np.log(predictor.measured[rows] / column.value[rows]) / Z90) ** 2
    parts = learnt[:, None] ** 2 * share**2
    kinds = predictor.metrics[rows]
    metrics = np.unique(kinds)
    home = metrics[np.argmax([share[:, kinds == metric].mean(axis=1) for metric in metrics], axis=0)]
    wider = learnt.copy()
    for factor in np.flatnonzero(learnt > 0.0):
        own = np.flatnonzero((kinds == home[factor]) & (share[factor] >= ANSWERS))
        if len(own):
            others = rest[own] + parts[:, own].sum(axis=0) - parts[factor, own]
            needed = np.sqrt(np.maximum(square[own] - others, 0.0)) / share[factor, own]
            wider[factor] = max(learnt[factor], _quantile(needed))
    return wider


def _quantile(values: Array) -> float:
    """Return the conformal quantile at the stated coverage."""
    rank = min(len(values), math.ceil(COVERAGE * (len(values) + 1)))
    return float(np.sort(values)[rank - 1])


def scalar(predicted: Array, measured: Array) -> float:
    """Return the one factor that fits ``predicted`` to ``measured`` best: exp of the median of their log ratio."""
    return float(np.exp(np.median(np.log(measured / predicted))))


def left_out(predictor: Predictor, designs: Sequence[object]) -> LeftOut | None:
    """Predict each design by a fit of the others; None with fewer than ``LEAST_LEFT_OUT``.

    All measurements of a design are left out together. Beyond ``MOST_FOLDS`` designs, they are left out in so many
    groups.
    """
    index = {design: number for number, design in enumerate(dict.fromkeys(designs))}
    if len(index) < LEAST_LEFT_OUT:
        return None
    folds = min(len(index), MOST_FOLDS)
    fold = np.array([index[design] % folds for design in designs])
    value, low, high, roofline = (np.empty(len(fold)) for _ in range(4))
    for number in range(folds):
        out, kept = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        posterior = fit(predictor, kept)
        column = predictor.column(posterior.scales).take(out)
        value[out], (low[out], high[out]) = column.value, column.interval(posterior.sigmas)
        roofline[out] = predictor.roofline[out] * scalar(predictor.roofline[kept], predictor.measured[kept])
    return LeftOut(value, low, high, roofline, folds)
