"""What the page of a profile shows, as the analysis hands it over: what has no data is left out of the page.

Times are nanoseconds: ``int64`` where they come from a trace, ``float64`` where they were averaged. Every name is
data: it may hold markup, and reaches the page as text. Nothing here may hold a directory, a host name or a command.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.profilers.transition import Transition

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Floats = NDArray[np.float64]


class Kind(IntEnum):
    """What an event of the timeline is; it decides the colour."""

    OPERATOR = 0
    LAUNCH = 1
    CALL = 2
    RANGE = 3
    KERNEL = 4
    COMMUNICATION = 5
    COPY = 6


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table of figures.

    Attributes:
        name: In words; underscores become spaces.
        value: In ``unit``; None shows as not applicable.
        unit: SI (``s``, ``B``, ``J``, ``W``, ``1/s``), ``%``, or empty for a count or a share. ``s`` and ``B`` get
            their prefix from the page.
        source: How it came about: ``measured``, ``computed``, ``estimated``, ...
        low: Lower end of its interval, in ``unit``.
        high: Upper end of its interval, in ``unit``.
        note: What a reader must know to read it right.
        group: Heading above it; metrics of one group stand together.
    """

    name: str
    value: float | int | str | None
    unit: str = ""
    source: str = ""
    low: float | None = None
    high: float | None = None
    note: str = ""
    group: str = ""


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the work could be attributed; shares from 0 to 1, None where not applicable.

    Attributes:
        kernels: Kernels paired with their launch, of all kernels.
        time: The same by kernel time.
        operator_time: Kernel time linked to an operator.
        sentence: What is missing and why, shown behind the figures.
    """

    kernels: float | None = None
    time: float | None = None
    operator_time: float | None = None
    sentence: str = ""


class Lane(msgspec.Struct, frozen=True):
    """A row of the timeline: a host thread or a device stream; what overlaps in it is put below one another."""

    label: str
    device: bool = False


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Events of host and device, columns of one length n in any order.

    Attributes:
        names: Names that ``name`` indexes.
        rows: In the order shown: threads first, then streams.
        row: int32 [n], index into ``rows``.
        name: int32 [n], index into ``names``.
        kind: uint8 [n], a ``Kind``.
        start: int64 [n], ns after the start of the window.
        duration: int64 [n], ns, never negative.
        launch: int64 [n], position of the call that started this event in these columns, -1 where there is none.
    """

    names: tuple[str, ...]
    rows: tuple[Lane, ...]
    row: Int32
    name: Int32
    kind: NDArray[np.uint8]
    start: Int64
    duration: Int64
    launch: Int64


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """Time spent under one name.

    Attributes:
        name: Of the kernel or operator.
        count: Times it ran.
        time: ns in total; children included.
        self_time: ns without children; None for kernels.
        longest: ns of the longest.
        kernel_time: ns of the kernels it launched; None for kernels, and where no device was traced.
    """

    name: str
    count: int
    time: float
    self_time: float | None = None
    longest: float | None = None
    kernel_time: float | None = None


class Uses(msgspec.Struct, frozen=True, kw_only=True):
    """The names that took most time or ran most often.

    Attributes:
        rows: Union of the top by time and the top by count.
        total_time: ns of all names, what shares are shares of; None leaves the share out.
        names: How many different names there are in all.
    """

    rows: tuple[Use, ...]
    total_time: float | None = None
    names: int = 0


class Copies(msgspec.Struct, frozen=True, kw_only=True):
    """Copies or sets of memory of one direction: ``bytes`` is 0 where not recorded, ``time`` in ns."""

    direction: str
    count: int
    bytes: int
    time: float


class Part(msgspec.Struct, frozen=True):
    """A part of a whole: ns."""

    label: str
    time: float


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """A whole and its parts as one bar: idle time, self time of a pass, communication against computation.

    Attributes:
        title: What is divided.
        parts: They add up to the whole.
        note: How the parts are told apart.
    """

    title: str
    parts: tuple[Part, ...]
    note: str = ""


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """A sequence of kernels that could be one.

    Attributes:
        kernels: Names in order; their number is the length.
        occurrences: Times it runs.
        score: Proximity score, 0 to 1; 1 is deterministic.
        launches_saved: If every occurrence became one kernel.
        ideal_ratio: Launches before over launches after.
        time_saved: ns, ``launches_saved`` times the launch floor; None without a measured floor.
        where: Operator or module it runs in.
    """

    kernels: tuple[str, ...]
    occurrences: int
    score: float
    launches_saved: int
    ideal_ratio: float
    time_saved: float | None = None
    where: str = ""


class Fusion(msgspec.Struct, frozen=True, kw_only=True):
    """Advice on fusing kernels.

    Attributes:
        chains: Best first.
        host_bound: Whether the trace is bound by launches, where alone the time saved means anything; None unknown.
        launch_floor: ns of a launch of an empty kernel.
        floor_source: Where the floor comes from.
        found: Chains found in all, where more than ``chains``.
    """

    chains: tuple[Chain, ...]
    host_bound: bool | None = None
    launch_floor: float | None = None
    floor_source: str = ""
    found: int = 0


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """Latency over batch, and what shows the transition; columns of one length.

    Attributes:
        batches: int64 [n], rising.
        latency: float64 [n], ns of a pass.
        latency_low: Lower ends of the intervals, ns; None without.
        latency_high: Upper ends, ns; None without.
        indicator: float64 [n], TKLQT in ns or a share from 0 to 1; NaN where unknown. None leaves its plot out.
        indicator_low: Lower ends; None without.
        indicator_high: Upper ends; None without.
        indicator_name: ``TKLQT``, ``compute share``, ...
        indicator_unit: ``s`` for a time, empty for a share.
        threshold: Level at which the indicator tells host from device; None without.
        transition: Where it turns; None where not looked for.
    """

    batches: Int64
    latency: Floats
    latency_low: Floats | None = None
    latency_high: Floats | None = None
    indicator: Floats | None = None
    indicator_low: Floats | None = None
    indicator_high: Floats | None = None
    indicator_name: str = ""
    indicator_unit: str = ""
    threshold: float | None = None
    transition: Transition | None = None


class ProfileView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the page of one profile shows.

    Attributes:
        title: Heading.
        source: Name of the file or model; directories are cut off.
        devices: Names of the devices.
        verdict: ``launch-bound``, ``GPU-bound``, ``mixed``, ``dispatch-bound``, ...; empty where undecided.
        reason: The verdict's reason in a sentence, with the thresholds.
        coverage: None where nothing had to be attributed.
        warnings: Each a sentence, shown in the style of a warning.
        facts: (label, text) of how the profile was made: versions, window, flags.
        metrics: Key figures first.
        timeline: None leaves it out.
        launch_latency: int64 [n], ns from launch to kernel of each attributed pair, signed as recorded.
        splits: Bars of parts of a whole.
        kernels: By name.
        operators: By name.
        copies: By direction.
        fusion: Chains of kernels.
        sweep: Over batch sizes.
    """

    title: str
    source: str = ""
    devices: tuple[str, ...] = ()
    verdict: str = ""
    reason: str = ""
    coverage: Coverage | None = None
    warnings: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    metrics: tuple[Metric, ...] = ()
    timeline: Timeline | None = None
    launch_latency: Int64 | None = None
    splits: tuple[Split, ...] = ()
    kernels: Uses | None = None
    operators: Uses | None = None
    copies: tuple[Copies, ...] = ()
    fusion: Fusion | None = None
    sweep: Sweep | None = None
