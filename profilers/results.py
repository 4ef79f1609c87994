"""What a profile holds; plain structs, the same in Python and in ``profile.json``."""

from __future__ import annotations

import msgspec

from codesign.profilers.measure import Measurement
from codesign.profilers.split import Split

SCHEMA_VERSION = 1
DISPATCH_BOUND = 0.5
"""Compute fraction below which most of a pass is not compute (the processor's form of launch-bound)."""

COMPUTE_BOUND = 0.75
"""Compute fraction from which fewer or fused operators can gain no more than a third."""

LEAST_OVERHEAD, TRUSTED_OVERHEAD = 0.8, 1.5
"""Profiled over unprofiled latency outside which shares are doubtful: profiler cost, or a machine that changed pace."""

NEXT = {
    "dispatch-bound": "raise the batch, or run fewer and larger operators (torch.compile)",
    "compute-bound": "the slowest operators decide: a smaller dtype, more threads, or less work in them",
    "mixed": "both count: raise the batch first, then look at the slowest operators",
}
"""What to do about each verdict."""


class BatchProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One batch size: how long a pass takes, and where the time goes.

    Attributes:
        batch: Sequences or samples at once.
        latency: Seconds of a pass without the profiler, measured before it ran.
        profiled: Median seconds of a pass under the profiler.
        split: Where the profiled time went; shares and counts only, never rescaled to the latency.
        flops: FLOP of a pass, counted by ``torch.utils.flop_counter`` (matrix products, convolutions, attention).
    """

    batch: int
    latency: Measurement
    profiled: float
    split: Split
    flops: float

    @property
    def samples_per_second(self) -> float:
        """Return samples per second at the median latency."""
        return self.batch / self.latency.median

    @property
    def flops_per_second(self) -> float:
        """Return the achieved FLOP/s at the median latency."""
        return self.flops / self.latency.median

    @property
    def overhead(self) -> float:
        """Return the profiled over the unprofiled latency."""
        return self.profiled / self.latency.median

    @property
    def verdict(self) -> str:
        """Return ``dispatch-bound``, ``mixed`` or ``compute-bound`` by the compute fraction."""
        fraction = self.split.compute_fraction
        if fraction < DISPATCH_BOUND:
            return "dispatch-bound"
        return "compute-bound" if fraction >= COMPUTE_BOUND else "mixed"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A model profiled at one or several batch sizes on one device."""

    schema_version: int = SCHEMA_VERSION
    model: str
    source: str
    device: str
    phase: str
    dtype: str
    layers: int | None
    prompt: int | None
    context: int | None
    threads: int
    seed: int
    torch: str
    batches: tuple[BatchProfile, ...]

    @property
    def transition_batch(self) -> int | None:
        """Return the first batch profiled at which compute takes half of a pass; None where none does."""
        return next((b.batch for b in self.batches if b.split.compute_fraction >= DISPATCH_BOUND), None)

    def to_json(self) -> bytes:
        """Return the profile as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def sentence(found: BatchProfile) -> str:
    """Return the verdict on one batch in a sentence, with its thresholds and what to do."""
    share = found.split.compute_fraction
    return (
        f"batch {found.batch}: {found.verdict}, {share:.0%} of the pass is compute "
        f"(dispatch-bound below {DISPATCH_BOUND:.0%}, compute-bound from {COMPUTE_BOUND:.0%}); {NEXT[found.verdict]}"
    )
