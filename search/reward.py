"""Rewards: how much better a design is than a reference design, as one number or one an objective.

The gain of an objective is ``ln(reference / value)`` (``ln(value / reference)`` where higher is better): 0 at the
reference, 0.69 at twice as good, whatever the unit. Where the reference is not positive it is the difference over the
size of the reference. A design that breaks a limit gets ``-penalty (1 + violation)``, the violation counted up to 1;
one without values gets ``-2 penalty``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from codesign.errors import UsageError, nearest
from codesign.quantity import Array
from codesign.search.problem import Problem, Results

Reward = Literal["mean", "vector"] | Mapping[str, float] | Callable[[Mapping[str, float]], float]
"""``mean`` of the gains, their ``vector``, weights of objectives, or a function of the values of a feasible design."""

PENALTY = 10.0
SMALLEST = 1e-12
"""Values count as at least this share of the reference: its logarithm is a number."""


class Scorer:
    """Turns the results of one design into its reward."""

    def __init__(self, problem: Problem, reward: Reward, reference: Array, penalty: float = PENALTY) -> None:
        """Set up.

        Args:
            problem: Whose objectives count.
            reward: See ``Reward``.
            reference: Objectives of the reference design as minimised inside, (M,), finite.
            penalty: Of designs that are not feasible; above 0.

        Raises:
            UsageError: an unknown objective, weights that make no sense, a penalty that is none.
        """
        names = [objective.name for objective in problem.objectives]
        self.sign = np.array([objective.sign for objective in problem.objectives])
        self.names, self.reward, self.penalty = names, reward, penalty
        self.shown = reference * self.sign
        if not (penalty > 0.0 and math.isfinite(penalty)):
            raise UsageError(f"the penalty is {penalty}", "expected a number above 0")
        self.weights = self._weights(reward)

    @property
    def width(self) -> int | None:
        """Objectives of a vector; None for one number."""
        return len(self.names) if self.reward == "vector" else None

    def _weights(self, reward: Reward) -> Array:
        if isinstance(reward, str):
            if reward not in ("mean", "vector"):
                raise UsageError(
                    f"unknown reward {reward!r}", "expected mean, vector, weights by objective or a function"
                )
            return np.ones(len(self.names))
        if not isinstance(reward, Mapping):
            return np.zeros(len(self.names))
        for name, weight in reward.items():
            if name not in self.names:
                raise UsageError(f"the reward weighs {name!r}, which is no objective", nearest(name, self.names))
            if not (weight >= 0.0 and math.isfinite(weight)):
                raise UsageError(f"the weight of {name!r} is {weight}", "expected 0 or more")
        weights = np.array([float(reward.get(name, 0.0)) for name in self.names])
        if not weights.any():
            raise UsageError("no objective has a weight above 0", "weigh at least one")
        return weights

    def gains(self, results: Results) -> Array:
        """Return the gain in each objective (M,) of one feasible design."""
        values = results.objectives[0] * self.sign
        size = np.abs(self.shown)
        positive = self.shown > 0.0
        floor = np.where(positive, SMALLEST * size, 1.0)
        ratio = np.log(np.where(positive, self.shown, 1.0) / np.where(positive, np.maximum(values, floor), 1.0))
        difference = (self.shown - values) / np.where(size > 0.0, size, 1.0)
        found: Array = self.sign * np.where(positive, ratio, difference)
        return found

    def __call__(self, results: Results) -> float | Array:
        """Return the reward of one design: a number, or (M,) numbers."""
        if not results.ok[0]:
            lost = -self.penalty * (1.0 + min(float(results.violation[0]), 1.0))
            return lost if self.width is None else np.full(self.width, lost)
        if callable(self.reward):
            values = dict(zip(self.names, (results.objectives[0] * self.sign).tolist(), strict=True))
            told = float(self.reward(values))
            if not math.isfinite(told):
                raise UsageError(f"the reward of {values} is {told}", "the function has to return a finite number")
            return told
        gains = self.gains(results)
        return gains if self.width is not None else float(self.weights @ gains / self.weights.sum())
