"""What is asked of the process that measures operators, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from codesign.profilers.disturbance import Share, drift
from codesign.profilers.operators.small_models import Pass, PassTiming


class Operator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operator to measure.

    Attributes:
        op: Name in ``calls.BUILDERS``.
        dtype: Of its tensors; ``tf32`` is fp32 tensors on matrix units.
        shape: Its shape columns, named as in public tables of measured kernels.
    """

    op: str
    dtype: str
    shape: Mapping[str, int]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to measure.

    Attributes:
        operators: In order; each is measured in every round.
        device: Torch device.
        seconds: Time for all repeats of operators together; the passes take a fifth of it beside.
        pool_bytes: Bytes that weights and caches are taken from in turn; larger than the cache, every use finds them
            in memory.
        threads: Of torch; None leaves them as they are.
        seed: Of all values.
        passes: Of small models, on the processor.
    """

    operators: tuple[Operator, ...]
    device: str = "cpu"
    seconds: float = 25.0
    pool_bytes: int = 2**28
    threads: int | None = None
    seed: int = 0
    passes: tuple[Pass, ...] = ()


class Timing(msgspec.Struct, frozen=True):
    """What one operator took.

    Attributes:
        operator: Which.
        rounds: Median of each round, s; rounds lie apart in time.
        median: Of the repeats of all rounds, s a call; 0 where it was not measured.
        low: Their first quartile, s.
        high: Their third quartile, s.
        repeats: How many.
        reason: Why it was not measured; empty where it was.
    """

    operator: Operator
    rounds: tuple[float, ...] = ()
    median: float = 0.0
    low: float = 0.0
    high: float = 0.0
    repeats: int = 0
    reason: str = ""

    @property
    def spread(self) -> float:
        """Return half the distance of the quartiles over the median: how far a usual repeat is off."""
        return (self.high - self.low) / (2.0 * self.median) if self.median else 0.0

    @property
    def drift(self) -> float:
        """Return how far the rounds lie apart; 0 where none was measured."""
        return drift(self.rounds) if self.rounds else 0.0


class Answer(msgspec.Struct, frozen=True):
    """Everything measured.

    Attributes:
        timings: In the order asked.
        host_seconds: Host time of one pass of the small model of ``host``, s.
        others: What other work took of the processor meanwhile; None where the system does not say.
        threads: Of torch.
        torch: Its version.
        device: Name of the device.
        passes: Of small models, in the order asked.
    """

    timings: tuple[Timing, ...]
    host_seconds: float
    others: Share | None
    threads: int
    torch: str
    device: str
    passes: tuple[PassTiming, ...] = ()
