"""Calibration as a Bayesian update of the error factors.

Each factor's logarithm has a normal prior with its sigma; a measurement tells
``ln(measured / predicted) = sum_f elasticity_f * x_f + noise``. The posterior of this linear model is closed form;
a few Gauss-Newton steps follow the curvature (soft maxima, changing bounds). Factors that the measurements do not
touch keep their prior, so nothing is fitted that the data cannot identify.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from codesign.costmodels.factors import LABELS, TIME_FACTORS, F
from codesign.errors import DataError, EnvironmentLacks
from codesign.quantity import Array, Method
from codesign.targets import Calibration, Target

MODEL_NOISE = 0.08
"""Standard deviation of ln(measured / predicted) that remains for one shape after the shared factors are known."""

ITERATIONS = 6

LEAST_SIGMA = 0.02
"""No factor is known better than this from a few measurements."""

LEARNT = 0.9
"""A factor whose sigma shrank below this share of its prior counts as calibrated."""

Predict = Callable[[Array], tuple[Array, Array]]
"""Scales (F,) -> predicted values (K,) and their elasticities (K, F)."""


class Posterior(msgspec.Struct, frozen=True, eq=False):
    """Scale of each factor, and the standard deviation that is left of its logarithm."""

    scales: Array
    sigmas: Array
    identified: tuple[bool, ...]


def update(predict: Predict, measured: Array, noise: Array, sigmas: Array) -> Posterior:
    """Return the posterior of the time factors given measurements.

    Args:
        predict: the model, as a function of the factors' scales.
        measured: (K,) measured values, positive.
        noise: (K,) standard deviation of ln(measured) from its repeats.
        sigmas: (F,) prior standard deviations.

    Raises:
        DataError: a measurement is not positive and finite.
    """
    if not (np.isfinite(measured).all() and (measured > 0).all()):
        raise DataError("a measured latency is not positive", "drop that row, or measure again")
    learnable = np.array([f in TIME_FACTORS for f in F]) & (sigmas > 0)
    precision = np.where(learnable, 1.0 / np.where(sigmas > 0, sigmas, 1.0) ** 2, 1e12)
    weight = 1.0 / (np.asarray(noise) ** 2 + MODEL_NOISE**2)
    mean = np.zeros(len(sigmas))
    covariance = np.diag(1.0 / precision)
    for _ in range(ITERATIONS):
        predicted, elasticity = predict(np.exp(mean))
        residual = np.log(measured / predicted) + elasticity @ mean
        information = elasticity.T @ (weight[:, None] * elasticity) + np.diag(precision)
        covariance = np.linalg.inv(information)
        step = covariance @ (elasticity.T @ (weight * residual)) - mean
        mean = mean + np.clip(step, -1.0, 1.0)
        mean = np.where(learnable, mean, 0.0)
    left = np.where(learnable, np.sqrt(np.diag(covariance)), sigmas)
    identified = tuple(bool(flag) for flag in learnable & (left < LEARNT * sigmas))
    return Posterior(np.exp(mean), left, identified)


def calibrations(target: Target, posterior: Posterior, source: str) -> tuple[Calibration, ...]:
    """Return the factors that the measurements identified, on top of what was calibrated before."""
    entries = {entry.name: entry for entry in target.calibration}
    for factor in TIME_FACTORS:
        if posterior.identified[factor]:
            name = LABELS[factor]
            scale = float(posterior.scales[factor]) * (entries[name].scale if name in entries else 1.0)
            sigma = max(float(posterior.sigmas[factor]), LEAST_SIGMA)
            entries[name] = Calibration(name, scale, sigma, Method.CALIBRATED, source)
    return tuple(entries[name] for name in sorted(entries))


def write_overlay(path: Path | str, text: str) -> Path:
    """Write an overlay file."""
    file = Path(path)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentLacks(f"{file}: {error.strerror}", "choose a folder that can be written") from None
    return file
