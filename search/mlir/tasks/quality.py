"""How wrong answers are, worked out here from the outputs of a program: it cannot see what is right.

Class numbers are judged by the share of wrong answers, values by the root mean squared error in standard deviations of
the right values. Beside them stands the best that can be done without looking at the input: always the most frequent
class, always the mean.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError
from codesign.quantity import Z90
from codesign.search.mlir.tasks.samples import Samples


class Error(msgspec.Struct, frozen=True):
    """An error with the 90 % interval that comes of judging on so few rows."""

    value: float
    low: float
    high: float


class Judge(msgspec.Struct, frozen=True):
    """How one kind of answer is judged.

    ``scale`` is the standard deviation of right values; ``centre`` is what answers best without looking: the most
    frequent class (as a number), or the mean of the values.
    """

    kind: Literal["classes", "values"]
    scale: float
    centre: tuple[float, ...]

    @classmethod
    def of(cls, samples: Samples) -> Judge:
        """Return how answers to samples like these are judged."""
        if samples.classes:
            return cls("classes", 1.0, (float(np.bincount(samples.y).argmax()),))
        values = samples.y.reshape(len(samples), -1).astype(np.float64)
        scale = float(values.std())
        if not scale > 0.0:
            raise DataError("every y is the same value", "expected values that differ")
        return cls("values", scale, tuple(values.mean(axis=0).tolist()))

    @property
    def meaning(self) -> str:
        """What the error is, in words."""
        return "share of wrong answers" if self.kind == "classes" else "root mean squared error over standard deviation"

    def error(self, outputs: NDArray[Any], y: NDArray[Any]) -> Error:
        """Return the error of ``outputs`` (N, ...); NaN where an output is not finite."""
        if not np.isfinite(outputs).all():
            return Error(np.nan, np.nan, np.nan)
        if self.kind == "classes":
            return wilson(int(np.count_nonzero(answers(outputs) != y)), len(y))
        squares = ((outputs.reshape(len(y), -1) - y.reshape(len(y), -1)) ** 2).mean(axis=1) / self.scale**2
        half = Z90 * float(squares.std()) / np.sqrt(len(y))
        mean = float(squares.mean())
        low, value, high = (float(np.sqrt(max(v, 0.0))) for v in (mean - half, mean, mean + half))
        return Error(value, low, high)

    def trivial(self, y: NDArray[Any]) -> Error:
        """Return the error of the best answer that does not look at the input."""
        if self.kind == "classes":
            return wilson(int(np.count_nonzero(y != int(self.centre[0]))), len(y))
        same = np.broadcast_to(np.array(self.centre), (len(y), len(self.centre)))
        return self.error(same, y)


def answers(outputs: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class that each row of (N, C) outputs names; one output a row names class 1 where positive."""
    rows = outputs.reshape(len(outputs), -1)
    if rows.shape[1] == 1:
        return (rows[:, 0] > 0).astype(np.int64)
    chosen: NDArray[np.int64] = rows.argmax(axis=1)
    return chosen


def wilson(wrong: int, count: int) -> Error:
    """Return a share of wrong answers with its score interval (Wilson 1927)."""
    share = wrong / count
    centre = (share + Z90**2 / (2 * count)) / (1 + Z90**2 / count)
    half = Z90 / (1 + Z90**2 / count) * np.sqrt(share * (1 - share) / count + Z90**2 / (4 * count * count))
    return Error(share, float(max(min(centre - half, share), 0.0)), float(min(max(centre + half, share), 1.0)))


def check_outputs(outputs: NDArray[Any], samples: Samples, where: str) -> None:
    """Raise ``DataError`` unless the program's outputs can be answers to ``samples``."""
    if not outputs.ndim or len(outputs) != len(samples):
        raise DataError(f"{where}: an output of shape {outputs.shape}", f"expected {len(samples)} rows first")
    width = int(np.prod(outputs.shape[1:]))
    if samples.classes:
        most = int(samples.y.max())
        if max(outputs.shape[1:], default=1) != width:
            raise DataError(f"{where}: an output of shape {outputs.shape}", "expected rows of one number a class")
        if max(width, 2) <= most:
            message = f"{where}: {width} outputs a row, but y names class {most}"
            raise DataError(message, f"expected at least {most + 1} outputs: one a class")
        return
    wanted = int(np.prod(samples.y.shape[1:]))
    if width != wanted:
        raise DataError(f"{where}: {width} outputs a row, but y has {wanted} values", "expected as many of both")


def check_useful(judge: Judge, outputs: NDArray[Any], samples: Samples, where: str) -> None:
    """Raise ``DataError`` unless the answers are better than those that do not look at the input."""
    found, trivial = judge.error(outputs, samples.y).value, judge.trivial(samples.y).value
    if not found < trivial:
        message = f"{where} answers no better than without its input: error {found:.4g}, without {trivial:.4g}"
        raise DataError(message, "give the data that it was trained for, and weights that are trained")
