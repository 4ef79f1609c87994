"""A processor that only computes what it would take: for tests of calibration, and of what shows it.

Its target states one set of rates; its operators follow the physical form with another, hidden one, and whole models
take longer than their operators.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from codesign.costmodels.factors import LABELS, F
from codesign.costmodels.operators import physics
from codesign.costmodels.operators.chosen_shapes import work_of
from codesign.costmodels.operators.device import device_of
from codesign.costmodels.operators.processors import PRIORS
from codesign.costmodels.operators.within_models import expected
from codesign.profilers.disturbance import Share
from codesign.profilers.operators import Answer, Operator, Pass, PassTiming, Request, Timing
from codesign.quantity import Method, Origin
from codesign.targets import Calibration, OperatorCalibration, Target, Value
from codesign.targets.target import Host, Memory, Power, Unit

HIDDEN = np.log([6e-6, 0.45, 0.6, 0.2])
"""Parameters of the machine's physical form."""

IN_MODELS = 1.2
"""Time of a pass of a small model over that of its operators."""

LAUNCH_S = 20e-6
"""What it takes to launch a group of operators."""

LAUNCHES = 88
"""Of a decode step of the tiny decoder."""


def processor() -> Target:
    """Return the target of the synthetic machine, ``this-cpu``."""

    def measured(value: float, unit: str) -> Value:
        return Value(value, unit, "measured", True, Origin.MEASURED)

    return Target(
        id="this-cpu", name="A synthetic processor", vendor="none", kind="cpu", architecture="x86_64",
        units=(Unit("matrix", {"bf16": measured(1e12, "FLOP/s")}), Unit("vector", {"fp32": measured(4e11, "FLOP/s")})),
        memories=(
            Memory("memory", measured(2.0**35, "B"), measured(2e10, "B/s")), Memory("cache", measured(2.0**25, "B")),
        ),
        links=(), host=Host(measured(1e-6, "s")),
        power=Power(Value(10.0, "W", "assumed", False, Origin.ASSUMED)),
        core_count=measured(4.0, ""), clock_rate=measured(3e9, "Hz"),
    )  # fmt: skip


def measuring(
    target: Target, noise: float = 0.03, others: float = 0.0, drift: float = 0.0
) -> Callable[[Request], Answer]:
    """Return what measures operators on the machine of ``target``.

    Args:
        target: Of ``processor``, or like it.
        noise: Standard deviation of the logarithm of each latency.
        others: Processors that other work takes.
        drift: ln of the second round over the first.
    """
    device = device_of(target)

    def measure(request: Request) -> Answer:
        rng = np.random.Generator(np.random.Philox([request.seed, 11]))

        def timing(asked: Operator) -> Timing:
            work, on = work_of(asked.op, [asked.shape], device, asked.dtype)
            median = float(physics.seconds(HIDDEN, work, on)[0] * np.exp(noise * rng.standard_normal()))
            rounds = (median, median * float(np.exp(drift)))
            return Timing(asked, rounds, median, median * 0.98, median * 1.02, 20)

        def whole(asked: Pass) -> PassTiming:
            seconds = IN_MODELS * float(expected(_hidden(target), PassTiming(asked, (1.0,))).value[0])
            return PassTiming(asked, (seconds, seconds * float(np.exp(drift))))

        timings, passes = tuple(map(timing, request.operators)), tuple(map(whole, request.passes))
        return Answer(timings, LAUNCHES * LAUNCH_S, Share(others, 4), 4, "2.0.0+cpu", "cpu", passes)

    return measure


def _hidden(target: Target) -> Target:
    """Return ``target`` as a calibration knows it that found ``HIDDEN`` exactly."""
    families = ("gemm", "convolution", "prefill", "decode", "vector")
    operators = tuple(
        OperatorCalibration(f"{family}-cpu", tuple((HIDDEN - np.log(PRIORS[family])).tolist()), 0.0, 0.1, 9, "hidden")
        for family in families
    )
    launch = Calibration(
        LABELS[F.HOST], LAUNCH_S / (3.5 * target.host.dispatch.value), 0.1, Method.CALIBRATED, "hidden"
    )
    return msgspec.structs.replace(target, operators=operators, calibration=(launch,))
