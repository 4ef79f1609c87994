"""How fast this machine is now, against its calibration: the same operators again, measured over predicted.

Shared and mobile machines change their speed by tens of percent within minutes. A comparison of whole models with a
calibration of an hour ago then shows the machine's mood as the model's error; a few operators measured beside it tell
the two apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from codesign.costmodels.operators.asked import Asked
from codesign.costmodels.operators.chosen_shapes import chosen_shapes, pool_bytes
from codesign.costmodels.operators.cost_models import Fitted
from codesign.costmodels.operators.lookup import shipped_model
from codesign.costmodels.operators.measured_here import as_frame
from codesign.costmodels.operators.spellings import OPERATORS
from codesign.errors import DataError
from codesign.profilers.operators import Answer, Operator, Request, Timing, measure_operators
from codesign.quantity import Array
from codesign.targets import Target

EVERY = 4
"""Of the shapes that a calibration measures, each how manyth is measured again."""

SECONDS = 4.0

CHANGED = 0.10
"""Change of speed from which it is worth a word: a calibration repeats within that on a quiet machine (assumed)."""


class Speed(NamedTuple):
    """Time of operators now over what the calibration predicts.

    Attributes:
        ratio: Median over operators; 1.25 is a machine that takes a quarter longer than when it was calibrated.
        low: First quartile over operators.
        high: Third quartile.
        operators: How many were measured.
    """

    ratio: float
    low: float
    high: float
    operators: int

    @property
    def changed(self) -> bool:
        """Return whether the speed differs by more than calibrations do."""
        return abs(math.log(self.ratio)) > math.log1p(CHANGED)


def speed_now(target: Target, dtype: str = "fp32", measure: Callable[[Request], Answer] = measure_operators) -> Speed:
    """Measure some operators of ``target``, which is this machine, and return their time over the predicted.

    Args:
        target: This machine with its calibration.
        dtype: Of the operators.
        measure: Runs the measurements.

    Raises:
        DataError: none could be measured.
    """
    known = [o for o in chosen_shapes(target) if o.op in OPERATORS and o.dtype == dtype]
    device = "cpu" if target.kind == "cpu" else "cuda"
    answer = measure(Request(tuple(known[::EVERY]), device, SECONDS, pool_bytes(target)))
    timings = [timing for timing in answer.timings if not timing.reason]
    if not timings:
        raise DataError("no operator could be measured", "; ".join({t.reason for t in answer.timings}))
    ratios = np.array([t.median for t in timings]) / predicted([t.operator for t in timings], target)
    low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return Speed(float(median), float(low), float(high), len(ratios))


def predicted(operators: Sequence[Operator], target: Target) -> Array:
    """Return the latency that the calibrated models of ``target`` predict of each operator, s; shape (n,)."""
    seconds = np.empty(len(operators))
    fitted = Fitted(shipped_model())
    frame = as_frame([Timing(operator, median=1.0) for operator in operators])
    for group in Asked(frame, "operators", target=target).groups():
        seconds[group.at] = fitted.predict(group.rows, group.targets).seconds
    return seconds
