"""This machine's operators, measured and learnt: what ``codesign calibrate`` does.

A steady disturbance is worse than a scattered one, because medians do not show it. So three things are looked at: what
other processes took meanwhile, how far two rounds that lie apart in time differ, and how far repeats scatter. Above one
limit nothing is learnt; above another every interval is widened by what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from codesign.costmodels.efficiency import table
from codesign.costmodels.factors import LABELS, F
from codesign.costmodels.operators.calibration import OperatorsCalibrated, calibrate_rows
from codesign.costmodels.operators.chosen_shapes import chosen_shapes, pool_bytes
from codesign.costmodels.operators.spellings import OPERATORS
from codesign.costmodels.operators.sustained import sustained
from codesign.costmodels.operators.within_models import factors_within
from codesign.costmodels.work import phase_work
from codesign.errors import DataError, EnvironmentLacks
from codesign.profilers.disturbance import DISTURBING, Share
from codesign.profilers.operators import SMALL_PASSES, Answer, PassTiming, Request, Timing, measure_operators
from codesign.profilers.operators.host import CONTEXT, tiny_decoder
from codesign.quantity import Z90, Method
from codesign.targets import Calibration, OperatorCalibration, Target, system

if TYPE_CHECKING:
    import polars as pl

BUSY, DISTURBED = "busy", "disturbed"

LIMITS = {  # (disturbed above, busy above)
    "others": (DISTURBING, 0.30), "load": (0.50, 1.00), "drift": (0.10, 0.35), "spread": (0.15, 0.50),
}  # fmt: skip
"""Share of the machine that others took, or where the system does not say, running processes before for each of our
threads; ln between two rounds; half the distance of quartiles over the median."""

HOST_SIGMA = 0.15
"""Standard deviation of the logarithm of what a launch costs between models: their operators differ (assumed)."""


class Disturbance(msgspec.Struct, frozen=True):
    """Other work beside a measurement.

    Attributes:
        others: What other processes took; None where the system does not say.
        load: Running processes, on average over the minute before; None where the system does not say.
        drift: Median over operators of ln(slower round / faster round).
        spread: Median over operators of half the distance of the quartiles over the median.
        verdict: ``busy``, ``disturbed``, or empty for a quiet machine.
        reasons: What of it is above its limit, in words.
    """

    others: Share | None
    load: float | None
    drift: float
    spread: float
    verdict: str
    reasons: tuple[str, ...]

    @property
    def sigma(self) -> float:
        """Return the standard deviation that it adds to the logarithm of everything measured; 0 on a quiet machine."""
        return max(self.drift, self.spread) if self.verdict else 0.0


class MeasuredHere(msgspec.Struct, frozen=True):
    """What measuring this machine gave.

    Attributes:
        target: What was calibrated, without the calibration; its measured rates are the best that were seen.
        timings: Of every operator, measured or not.
        models: What the operator models learnt.
        factors: Calibrated factors of whole models.
        host_seconds: Host time of one launch of a group of operators, s.
        disturbance: Other work beside it.
        unused: Operators that no model predicts -> measured rows.
        how: Software and threads.
        passes: Of small models.
    """

    target: Target
    timings: tuple[Timing, ...]
    models: OperatorsCalibrated
    factors: tuple[Calibration, ...]
    host_seconds: float
    disturbance: Disturbance
    unused: dict[str, int]
    how: str
    passes: tuple[PassTiming, ...] = ()

    @property
    def operators(self) -> tuple[OperatorCalibration, ...]:
        """Return the entries of the overlay, as wide as other work made them."""
        return tuple(widened(entry, self.disturbance.sigma) for entry in self.models.overlay)


def measure_target(
    target: Target,
    seconds: float = 25.0,
    *,
    sharpen: bool = False,
    allow_busy: bool = False,
    progress: Callable[[str], None] = lambda text: None,
    measure: Callable[[Request], Answer] = measure_operators,
) -> MeasuredHere:
    """Measure operators of ``target``, which is this machine or a device in it.

    Args:
        target: A processor, or anything else for the CUDA device.
        seconds: Time for the repeats, s.
        sharpen: Raise its measured rates to the best seen; where its file is there already, it must stay as it is.
        allow_busy: Learn also from a busy machine, with intervals as wide as it makes them.
        progress: Takes lines for people.
        measure: Runs the measurements.

    Raises:
        EnvironmentLacks: the machine is busy, or has no such device.
        DataError: nothing could be measured.
    """
    chosen = chosen_shapes(target)
    load = system.load_average()
    device = "cpu" if target.kind == "cpu" else "cuda"
    progress(f"measuring {len(chosen)} operators on {device} for about {seconds:g} s ...")
    passes = SMALL_PASSES if device == "cpu" else ()  # accelerators run a kernel alike wherever it stands
    answer = measure(Request(chosen, device, seconds, pool_bytes(target), passes=passes))
    found = disturbance(answer, load)
    if found.verdict == BUSY and not allow_busy:
        raise EnvironmentLacks(
            f"this machine is busy: {'; '.join(found.reasons)}",
            "end other work and measure again, or --allow-busy for intervals as wide as that makes them",
        )
    return learnt(target, answer, found, sharpen=sharpen)


def learnt(target: Target, answer: Answer, found: Disturbance, *, sharpen: bool = False) -> MeasuredHere:
    """Return what the measurements of ``answer`` teach about ``target``; ``sharpen`` as in ``measure_target``.

    Raises:
        DataError: nothing was measured.
    """
    done = [timing for timing in answer.timings if not timing.reason]
    known = [timing for timing in done if timing.operator.op in OPERATORS]
    if not known:
        reasons = "; ".join(dict.fromkeys(timing.reason for timing in answer.timings if timing.reason))
        raise DataError("no operator could be measured", reasons or "none was asked for")
    unused: dict[str, int] = {}
    for timing in done:
        if timing.operator.op not in OPERATORS:
            unused[timing.operator.op] = unused.get(timing.operator.op, 0) + 1
    place = f"{answer.threads} threads" if answer.device == "cpu" else answer.device
    how = f"torch {answer.torch.split('+')[0]}, {place}"
    target = sustained(target, done) if sharpen else target
    models = calibrate_rows(as_frame(known), target, f"measured here: {how}")
    launch, factor = host_factor(target, answer.host_seconds, found.sigma, how)
    entries = tuple(widened(entry, found.sigma) for entry in models.overlay)
    calibrated = msgspec.structs.replace(target, calibration=(factor,), operators=entries)
    factors = factors_within(calibrated, answer.passes, how, found.sigma)
    return MeasuredHere(target, answer.timings, models, factors, launch, found, unused, how, answer.passes)


def disturbance(answer: Answer, load: float | None) -> Disturbance:
    """Judge how busy the machine was while ``answer`` was measured, ``load`` processes running before."""
    done = [timing for timing in answer.timings if not timing.reason]
    drift = float(np.median([timing.drift for timing in done])) if done else 0.0
    spread = float(np.median([timing.spread for timing in done])) if done else 0.0
    others = answer.others
    seen = {
        **_account(others, load, answer.threads),
        "drift": (drift, f"operators took {np.expm1(drift):.0%} longer in one round than in the other"),
        "spread": (spread, f"repeats scatter by {spread:.0%}"),
    }  # fmt: skip
    wide = [name for name, (value, _) in seen.items() if value > LIMITS[name][0]]
    busy = any(value > LIMITS[name][1] for name, (value, _) in seen.items())
    verdict = BUSY if busy else DISTURBED if wide else ""
    return Disturbance(others, load, drift, spread, verdict, tuple(seen[name][1] for name in wide))


def _account(others: Share | None, load: float | None, threads: int) -> dict[str, tuple[float, str]]:
    """Return what the system says of other work: value, and words for it."""
    if others is not None:
        return {"others": (others.fraction, f"other work took {others.processors:.1f} of {others.of} processors")}
    if load is not None:
        return {"load": (load / threads, f"{load:.1f} processes ran before, we use {threads} threads")}
    return {}


def host_factor(target: Target, seconds: float, sigma: float, how: str) -> tuple[float, Calibration]:
    """Return seconds to launch a group of operators eagerly, and the factor of the target's dispatch cost.

    Args:
        target: Whose stated dispatch cost the factor multiplies.
        seconds: Host time of a pass of ``tiny_decoder``, s.
        sigma: Of a busy machine.
        how: Software and threads.
    """
    workload = tiny_decoder().workload(batch=1, prompt=CONTEXT, generate=2)
    launches = sum(group.launches * int(group.repeat) for group in phase_work(workload.phase("decode")).groups)
    launch = seconds / launches
    stated = table().execution.eager_operators_per_group * target.host.dispatch.value
    source = f"measured here: an eager decode step of a tiny decoder, {launches} launches, {how}"
    return launch, Calibration(
        LABELS[F.HOST], launch / stated, float(np.hypot(HOST_SIGMA, sigma)), Method.CALIBRATED, source
    )


def widened(entry: OperatorCalibration, sigma: float) -> OperatorCalibration:
    """Return ``entry`` with its interval widened by an independent error of ``sigma``."""
    return msgspec.structs.replace(entry, half=float(np.hypot(entry.half, Z90 * sigma)))


def as_frame(timings: Sequence[Timing]) -> pl.DataFrame:
    """Return measured operators as rows, all text: ``op, dtype, latency_ms, spread`` and every shape column."""
    import polars as pl

    names = dict.fromkeys(name for timing in timings for name in timing.operator.shape)
    columns = {
        "op": [timing.operator.op for timing in timings],
        "dtype": [timing.operator.dtype for timing in timings],
        "latency_ms": [repr(timing.median * 1e3) for timing in timings],
        "spread": [f"{timing.spread:.4f}" for timing in timings],
        **{name: [str(timing.operator.shape.get(name, "")) for timing in timings] for name in names},
    }
    return pl.DataFrame(columns)
