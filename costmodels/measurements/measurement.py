"""One measured figure of a whole model, and the design that it was measured on.

Metrics are those of ``estimate`` and so are their units: seconds, or tokens/s (of a model that serves no tokens: its
units/s). ``latency`` of a language model is per output token, ``request_latency`` is of the whole request.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np

from codesign.errors import DataError

METRICS = ("ttft", "tpot", "latency", "request_latency", "throughput")

LEAST_NOISE = 0.005
"""No mean of repeats is taken to be better known than this (relative)."""

UNKNOWN_NOISE = 0.05
"""Relative standard deviation of a figure whose repeats are not stated (assumed)."""


class Design(msgspec.Struct, frozen=True):
    """What was measured: arguments of ``estimate``; None where the file does not say.

    ``batch`` is the concurrent requests of a replica, possibly a mean. ``layers`` is set where the model was shortened.
    """

    dtype: str | None = None
    tp: int | None = None
    pp: int | None = None
    ep: int | None = None
    nodes: int | None = None
    execution: str | None = None
    mode: str | None = None
    chunk: int | None = None
    kv_dtype: str | None = None
    framework: str | None = None
    batch: float | None = None
    prompt: float | None = None
    generate: float | None = None
    layers: int | None = None


class Measurement(msgspec.Struct, frozen=True):
    """One figure.

    Attributes:
        where: File and place in it, for messages.
        metric: One of ``METRICS``.
        value: In SI units.
        noise: Standard deviation of ln(value) from run to run.
        repeats: Runs or requests behind the value.
        design: What was measured.
        model: As the file spells it; empty where it does not say.
        target: As the file spells it; empty where it does not say.
        guessed: Parts of the design that follow from the file, but are not stated there.
    """

    where: str
    metric: str
    value: float
    noise: float
    repeats: int
    design: Design
    model: str = ""
    target: str = ""
    guessed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no clock shows."""
        if not (np.isfinite(self.value) and self.value > 0.0):
            raise DataError(
                f"{self.where}: {self.metric} is {self.value:g}, expected a positive number",
                "drop that row, or measure again",
            )
        if not 0.0 <= self.noise < 10.0:
            raise DataError(f"{self.where}: noise of {self.metric} is {self.noise:g}", "expected 0 to 10, relative")


class Source(msgspec.Struct, frozen=True):
    """What one file held: ``kind`` says what it was taken for, ``notes`` what was left out or assumed."""

    path: str
    kind: str
    measurements: tuple[Measurement, ...]
    notes: tuple[str, ...] = ()


def noise_of_mean(deviation: float, value: float, count: int) -> float:
    """Return the relative standard deviation of the mean of ``count`` repeats that scatter by ``deviation``."""
    return max(LEAST_NOISE, deviation / value / math.sqrt(max(count, 1)))


def merged(measurements: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """Return one measurement for each design and metric: the median of its repeats, with the noise they show."""
    groups: dict[tuple[Design, str, str, str], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.design, m.metric, m.model, m.target), []).append(m)
    return tuple(found[0] if len(found) == 1 else _median(found) for found in groups.values())


def _median(found: list[Measurement]) -> Measurement:
    logarithms = np.log([m.value for m in found])
    noise = max(LEAST_NOISE, float(np.std(logarithms, ddof=1)) / np.sqrt(len(found)))
    return msgspec.structs.replace(
        found[0],
        where=f"{found[0].where} and {len(found) - 1} more",
        value=float(np.exp(np.median(logarithms))),
        noise=noise,
        repeats=sum(m.repeats for m in found),
    )
