"""What a profile holds; plain structs, the same in Python and in ``profile.json``."""

from __future__ import annotations

import msgspec

from codesign.profilers.analysis import Analysis
from codesign.profilers.boundness import Boundness, processor_boundness
from codesign.profilers.energy.window import Energy
from codesign.profilers.launch_floor import LaunchFloor
from codesign.profilers.measure import Measurement
from codesign.profilers.split import Split
from codesign.profilers.transition import Transition
from codesign.profilers.vendor_verbose import Vendor

SCHEMA_VERSION = 1
LEAST_OVERHEAD, TRUSTED_OVERHEAD = 0.8, 1.5
"""Profiled over unprofiled latency outside which shares are doubtful: profiler cost, or a machine that changed pace."""

NEXT = {
    "launch-bound": "raise the batch, fuse kernels (--execution compiled), or launch a graph (--execution graph)",
    "GPU-bound": "the slowest kernels decide: a smaller dtype, or less work in them",
    "": "profile more passes, or another batch",
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
        passes: Seconds of each unprofiled pass, in the order they ran.
        shares: Compute share of each profiled pass, 0 to 1.
        profiler_cost: ``plain`` and ``shapes`` (whether the profiler records shapes) -> profiled over unprofiled time
            of a pass, at the minimum of each; a mode that was not measured is absent.
        queueing: Why no queueing of operators is stated; None where the trace holds it (launches on a device).
        vendor: Time inside the vendor's kernels, or why it is not known; None where it was not asked for.
        peak_memory: Largest allocation on the device during a pass, B; None on the processor.
        energy: Energy of a pass without the profiler; None where no meter was given.
        tklqt: TKLQT over the number of launches of each profiled pass, ns; empty on the processor.
        analysis: What the trace of the profiled passes tells; None on the processor, where ``split`` does.
    """

    batch: int
    latency: Measurement
    profiled: float
    split: Split
    flops: float
    passes: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    profiler_cost: dict[str, float] = {}
    queueing: str | None = None
    vendor: Vendor | None = None
    peak_memory: int | None = None
    energy: Energy | None = None
    tklqt: tuple[float, ...] = ()
    analysis: Analysis | None = None

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
    def boundness(self) -> Boundness:
        """Return whether host or device holds the passes back, with the reason."""
        return self.analysis.boundness if self.analysis else processor_boundness(self.split.compute_fraction)

    @property
    def verdict(self) -> str:
        """Return the class in a word: ``launch-bound``, ``dispatch-bound``, ``mixed``, ..."""
        return self.boundness.verdict


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A model profiled at one or several batch sizes on one device.

    Attributes:
        device: ``cpu``, or ``cuda:0`` and so on.
        device_name: What the device calls itself; empty on the processor.
        execution: ``eager``, ``graph`` (captured and replayed) or ``compiled`` (``torch.compile``).
        pinned: Processors that every thread was held on; None where they were left alone.
        with_shapes: Whether the profiler recorded the shapes of operators.
        floor: What an empty kernel costs to launch; None on the processor.
        notes: What a reader has to know.
        left_out: Batch size asked for -> why it was not measured.
        transitions: Where the sweep turns from host-bound to device-bound, by each rule; the first one counts.
    """

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
    device_name: str = ""
    execution: str = "eager"
    pinned: tuple[int, ...] | None = None
    with_shapes: bool = False
    floor: LaunchFloor | None = None
    notes: tuple[str, ...] = ()
    left_out: dict[int, str] = {}
    transitions: tuple[Transition, ...] = ()
    batches: tuple[BatchProfile, ...]

    @property
    def transition(self) -> Transition | None:
        """Return where the sweep turns, by the rule that counts; None of a single batch size."""
        return self.transitions[0] if self.transitions else None

    @property
    def caveats(self) -> tuple[str, ...]:
        """Return what to know before believing the figures, each a sentence: ``notes``, and what the figures show."""
        sizes: dict[str, list[str]] = {}
        for batch, reason in self.left_out.items():
            sizes.setdefault(reason, []).append(str(batch))
        said = [f"batch {', '.join(batches)} left out: {reason}" for reason, batches in sizes.items()]
        busy = [str(b.batch) for b in self.batches if b.latency.busy]
        if busy:
            said.append(f"batch {', '.join(busy)}: the repeats scatter, the machine may be busy; measure again")
        odd = [str(b.batch) for b in self.batches if not LEAST_OVERHEAD <= b.overhead <= TRUSTED_OVERHEAD]
        if odd:
            said.append(
                f"batch {', '.join(odd)}: the profiled passes took another time than the others (profiler cost on "
                "small operators, or a busy machine), so take the shares and the verdict with care"
            )
        return (*said, *self.notes)

    def to_json(self) -> bytes:
        """Return the profile as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def sentence(found: BatchProfile) -> str:
    """Return the verdict on one batch in a sentence, with its thresholds and what to do."""
    return f"batch {found.batch}: {found.boundness.reason}; {NEXT[found.verdict]}"
