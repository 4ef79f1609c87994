"""What changed from one profile to another: headline metrics, operators and kernels.

A profile is read from its run directory: ``profile.json`` of a model run here, once a batch size and per pass, or
``analysis.json`` of a trace, over its whole window. Times of operators and kernels are nanoseconds, metrics SI.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from codesign.errors import DataError, UsageError
from codesign.profilers.analysis import Analysis
from codesign.profilers.results import BatchProfile, Profile

Calls = Mapping[str, tuple[float, float]]
"""Name -> (calls, time in ns)."""

HIGHER_IS_BETTER = frozenset({"samples_per_second"})

SPREAD = 0.05
"""Spread of figures of a few profiled passes, of whose repeats nothing is kept (assumed): less is no change."""

HEADLINES = (
    "latency", "samples_per_second", "framework_gap", "dispatch", "dispatch_self", "compute", "compute_self",
    "compute_fraction", "inference_latency", "wall", "kernel_time", "gpu_busy", "gpu_idle_in_il", "tklqt",
    "launch_call", "queue", "launch_latency_p50", "launch_latency_p95", "kernel_count", "launch_count", "cpu_op_count",
)  # fmt: skip
"""Metrics shown to people, in this order; the others are in the JSON and may be limited too."""


PER_PASS, PER_LAUNCH = ("kernel_time", "tklqt", "launch_call", "queue"), ("launch_latency_p50", "launch_latency_p95")
COUNTS = ("kernel_count", "launch_count", "cpu_op_count")


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a comparison.

    Attributes:
        metrics: Name -> value; None where it does not apply.
        units: Name -> SI unit; a metric that is not named is a count or a share.
        scatter: Name -> (low, high) of the repeats, for metrics measured more than once.
        operators: Self time of a live run, time of a trace.
        kernels: Device time.
    """

    metrics: Mapping[str, float | None]
    units: Mapping[str, str] = {}
    scatter: Mapping[str, tuple[float, float]] = {}
    operators: Calls = {}
    kernels: Calls = {}


class MetricChange(msgspec.Struct, frozen=True):
    """One metric; ``delta_percent`` is None where it has no meaning, ``verdict`` is about ``after``.

    ``verdict``: ``better``, ``worse``, ``same``, ``unclear`` (the repeats of the two overlap) or empty where neither
    direction is better.
    """

    quantity: str
    unit: str
    before: float | None
    after: float | None
    delta_percent: float | None
    verdict: str


class TimeChange(msgspec.Struct, frozen=True):
    """One operator or kernel; ``delta_percent`` is None, ``status`` says ``appeared`` or ``vanished``, or is empty."""

    name: str
    calls_before: float
    calls_after: float
    before_ns: float
    after_ns: float
    delta_ns: float
    delta_percent: float | None
    status: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """All that changed; operators and kernels by falling absolute change of time, then by name."""

    metrics: tuple[MetricChange, ...]
    operators: tuple[TimeChange, ...]
    kernels: tuple[TimeChange, ...]


def compare_profiles(before: Recorded, after: Recorded) -> Difference:
    """Return what changed from ``before`` to ``after``; metrics that neither side knows stay, without values."""
    names = {name: None for name in (*before.metrics, *after.metrics)}
    return Difference(
        metrics=tuple(_metric(name, before, after) for name in names),
        operators=_times(before.operators, after.operators),
        kernels=_times(before.kernels, after.kernels),
    )


def percent(before: float | None, after: float | None) -> float | None:
    """Return the change in per cent of the magnitude of ``before``; None where it has no meaning."""
    if before is None or after is None:
        return None
    if before == after:
        return 0.0
    return (after - before) / abs(before) * 100.0 if before else None


def _metric(name: str, before: Recorded, after: Recorded) -> MetricChange:
    a, b = before.metrics.get(name), after.metrics.get(name)
    unit = before.units.get(name) or after.units.get(name, "")
    delta = percent(a, b)
    verdict = ""
    if a is not None and b is not None and (name in HIGHER_IS_BETTER or unit == "s"):
        verdict = "same" if a == b else "better" if (b > a) == (name in HIGHER_IS_BETTER) else "worse"
        first, second = before.scatter.get(name, (a, a)), after.scatter.get(name, (b, b))
        if a != b and first[0] <= second[1] and second[0] <= first[1]:
            verdict = "unclear"
    return MetricChange(name, unit, a, b, delta, verdict)


def _times(before: Calls, after: Calls) -> tuple[TimeChange, ...]:
    rows = []
    for name in {**before, **after}:
        calls_a, time_a = before.get(name, (0.0, 0.0))
        calls_b, time_b = after.get(name, (0.0, 0.0))
        status = "appeared" if name not in before else "vanished" if name not in after else ""
        change = None if status else percent(time_a, time_b)
        rows.append(TimeChange(name, calls_a, calls_b, time_a, time_b, time_b - time_a, change, status))
    return tuple(sorted(rows, key=lambda row: (-abs(row.delta_ns), row.name)))


def read_recorded(directory: Path) -> dict[int | None, Recorded]:
    """Return what a profile's run directory holds: batch size -> one side; a trace has the one key None.

    Raises:
        DataError: neither ``profile.json`` nor ``analysis.json`` is there, or it cannot be read.
    """
    if (path := directory / "profile.json").exists():
        return {batch.batch: _of_batch(batch) for batch in _decode(path, Profile).batches}
    if (path := directory / "analysis.json").exists():
        return {None: _of_trace(_decode(path, _Analysed))}
    raise DataError(f"{directory} holds neither profile.json nor analysis.json", "profile again into a new directory")


def conditions(directory: Path) -> dict[str, str]:
    """Return what a profile was made on and how: where two differ, a change may be theirs.

    Raises:
        DataError: the profile cannot be read.
    """
    if not (path := directory / "profile.json").exists():
        return {"devices": ", ".join(_decode(directory / "analysis.json", _Analysed).devices)}
    found = _decode(path, Profile)
    busy = ", ".join(str(b.batch) for b in found.batches if b.latency.busy)
    return {
        "model": found.model, "device": found.device_name or found.device, "phase": found.phase, "dtype": found.dtype,
        "execution": found.execution, "layers": str(found.layers or "all"), "threads": str(found.threads),
        "torch": found.torch, "batches whose repeats scatter (a busy machine)": busy or "none",
    }  # fmt: skip


def paired(
    before: Mapping[int | None, Recorded], after: Mapping[int | None, Recorded]
) -> dict[int | None, tuple[Recorded, Recorded]]:
    """Return batch size -> both sides, of the batch sizes in both.

    Raises:
        UsageError: none is in both; a run of a model and a trace never share one.
    """
    shared = [batch for batch in before if batch in after]
    if not shared:
        kinds = [" and ".join(_named(batch) for batch in side) for side in (before, after)]
        raise UsageError(f"A is {kinds[0]}, B is {kinds[1]}", "compare two traces, or runs that share a batch size")
    return {batch: (before[batch], after[batch]) for batch in shared}


class _Timed(msgspec.Struct, frozen=True):
    name: str
    count: int
    time_us: float


class _Analysed(msgspec.Struct, frozen=True):
    metrics: dict[str, object]
    kernels: tuple[_Timed, ...] = ()
    operators: tuple[_Timed, ...] = ()
    devices: tuple[str, ...] = ()


Content = TypeVar("Content")


def _decode(path: Path, kind: type[Content]) -> Content:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "profile again into a new directory") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}", "restore the file, or profile again into a new directory") from None


def _of_batch(found: BatchProfile) -> Recorded:
    part = found.split
    passes = max(part.iterations, 1)
    seconds = {"framework_gap": part.gap, "dispatch": part.dispatch, "compute": part.compute}
    return Recorded(
        metrics={
            "latency": found.latency.median,
            "samples_per_second": found.samples_per_second,
            **{name: nanoseconds / passes * 1e-9 for name, nanoseconds in seconds.items()},
            "compute_fraction": part.compute_fraction,
            **(_per_pass(found.analysis, passes) if found.analysis else {}),
        },
        units={"latency": "s", "samples_per_second": "1/s", **dict.fromkeys((*seconds, *PER_PASS, *PER_LAUNCH), "s")},
        scatter={
            **{name: _around(nanoseconds / passes * 1e-9) for name, nanoseconds in seconds.items()},
            "latency": (found.latency.low, found.latency.high),
            "samples_per_second": (found.batch / found.latency.high, found.batch / found.latency.low),
        },
        operators=_operators(found, passes),
        kernels={row.name: (row.calls / passes, row.nanoseconds / passes) for row in part.operators}
        if found.analysis
        else {},
    )


def _around(value: float) -> tuple[float, float]:
    return value * (1.0 - SPREAD), value * (1.0 + SPREAD)


def _operators(found: BatchProfile, passes: int) -> Calls:
    """Return operators by self time of a pass; on a device the rows of the split are kernels."""
    if found.analysis is None:
        return {row.name: (row.calls / passes, row.nanoseconds / passes) for row in found.split.operators}
    return {row.name: (row.count / passes, row.self_us * 1000.0 / passes) for row in found.analysis.operators}


def _per_pass(found: Analysis, passes: int) -> dict[str, float | None]:
    """Return figures of launches and kernels, sums as those of one pass, s."""
    figures: dict[str, float | None] = {}
    for name in (*PER_PASS, *PER_LAUNCH, *COUNTS):
        value = found.metrics.get(name if name in COUNTS else f"{name}_us")
        scale = (1.0 if name in PER_LAUNCH else 1.0 / passes) * (1.0 if name in COUNTS else 1e-6)
        figures[name] = None if value is None else value * scale
    return figures


def _of_trace(found: _Analysed) -> Recorded:
    """Return the numbers among the metrics, ``tklqt_us`` as ``tklqt`` in seconds."""
    metrics: dict[str, float | None] = {}
    units = {}
    for key, value in found.metrics.items():
        if isinstance(value, bool) or not (value is None or isinstance(value, int | float)):
            continue
        name = key.removesuffix("_us")
        metrics[name] = value if value is None or name == key else value * 1e-6
        if name != key:
            units[name] = "s"
    return Recorded(metrics=metrics, units=units, operators=_summed(found.operators), kernels=_summed(found.kernels))


def _summed(rows: tuple[_Timed, ...]) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    for row in rows:
        calls, time = found.get(row.name, (0.0, 0.0))
        found[row.name] = (calls + row.count, time + round(row.time_us * 1000.0))
    return found


def _named(batch: int | None) -> str:
    return "a trace" if batch is None else f"batch {batch}"
