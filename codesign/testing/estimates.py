"""Conformance of whole estimates: what pricing a served model on a target must do, whatever predicts its kernels.

Use it from a test: ``check_estimates(target)`` with a target that holds ``MODEL`` in bf16. Fitted models of operators
predict the kernels of a target that states its cores, clock and cache, closed forms those of any other. Each check
raises ``AssertionError`` with what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from codesign.costmodels.api import estimate
from codesign.costmodels.deployment import Priced
from codesign.costmodels.factors import TIME_FACTORS
from codesign.costmodels.operators.tables import UNDERCUT
from codesign.errors import UsageError
from codesign.models import load_model
from codesign.quantity import Array, Method
from codesign.targets import Target
from codesign.testing.cost_models import check_refusal, scaled

MODEL = "llama-3.2-1b"

BATCH, PROMPT, GENERATE = np.array(
    [(1, 16, 2), (1, 1024, 128), (3, 100, 17), (8, 2048, 256), (17, 999, 31), (64, 128, 64), (200, 512, 100)], float
).T

TIMES = ("ttft", "tpot", "latency", "request_latency")

SAME = 1e-9
"""Relative difference of rounding."""

UNITS = {"ttft": "s", "tpot": "s", "latency": "s", "memory": "B", "energy_per_token": "J", "power": "W",
         "throughput": "token/s"}  # fmt: skip


def priced(
    target: Target, batch: Any = BATCH, prompt: Any = PROMPT, generate: Any = GENERATE, **options: Any
) -> Priced:
    """Return ``MODEL`` on ``target``, in bf16 unless ``dtype`` says another."""
    return estimate(
        MODEL, target, **{"dtype": "bf16", "batch": batch, "prompt": prompt, "generate": generate, **options}
    )


def _values(found: Priced, name: str) -> Array:
    return np.broadcast_to(found.estimate.columns[name].value, np.shape(found.estimate.feasible))


def check_units(target: Target) -> None:
    """Every number has a unit and a source; seconds are seconds: weights of 2.5 GB take 0.1 ms to 60 s to read."""
    found = priced(target)
    for name, unit in UNITS.items():
        assert found.estimate.metrics[name].unit == unit, f"{name} is in {found.estimate.metrics[name].unit}"
    known = {method.value for method in Method}
    for name, one in found.estimate.quantities().items():
        assert one.unit, f"{name} has no unit"
        assert one.source.partition(",")[0] in known, f"{name} has source {one.source!r}"
    step = _values(found, "tpot")
    assert ((step > 1e-4) & (step < 60.0)).all(), f"a step takes {step.min():g} to {step.max():g} s"


def check_intervals(target: Target) -> None:
    """Every value is finite, positive, and within its interval."""
    found = priced(target).estimate
    for name, column in found.columns.items():
        low, high = found.interval(name)
        assert np.isfinite([low, column.value, high]).all(), f"{name} is not finite"
        assert (low > 0.0).all(), f"{name} may be 0"
        assert ((low <= column.value) & (column.value <= high)).all(), f"{name} lies outside of its interval"


def check_alone(target: Target) -> None:
    """An array of designs is its designs, in whatever order."""
    found = priced(target)
    backwards = priced(target, BATCH[::-1], PROMPT[::-1], GENERATE[::-1])
    for name in found.estimate.columns:
        together = _values(found, name)
        np.testing.assert_allclose(
            _values(backwards, name)[::-1], together, rtol=SAME, err_msg=f"{name} in another order"
        )
    for at in range(len(BATCH)):
        one = priced(target, BATCH[at], PROMPT[at], GENERATE[at]).estimate
        for name, column in one.columns.items():
            expected, off = float(_values(found, name)[at]), float(column.value.reshape(-1)[0])
            assert abs(off / expected - 1.0) <= SAME, (
                f"{name} of design {at} is {off:g} alone and {expected:g} among others"
            )
            ends = [np.broadcast_to(end, BATCH.shape)[at] for end in found.estimate.interval(name)]
            np.testing.assert_allclose([float(np.ravel(end)[0]) for end in one.interval(name)], ends, rtol=SAME)


def check_training_alone(target: Target) -> None:
    """An array of training steps, whose backward products sum over the batch, is its steps."""
    batches, sizes = np.array([1.0, 2.0, 7.0, 64.0]), {"mode": "training", "generate": None, "prompt": 128.0}
    together = _values(priced(target, batches, **sizes), "latency")
    alone = [float(_values(priced(target, batch, **sizes), "latency")[0]) for batch in batches]
    np.testing.assert_allclose(together, alone, rtol=SAME, err_msg="latency of a training step alone")


def check_breakdown(target: Target) -> None:
    """The shares of what binds a time add up to it."""
    found = priced(target)
    columns = {name: found.estimate.columns[name] for name in TIMES}
    columns |= {cost.name: cost.seconds for cost in found.phases}
    for name, column in columns.items():
        parts = column.slopes[list(TIME_FACTORS)].sum(axis=0)
        np.testing.assert_allclose(parts, np.broadcast_to(column.value, parts.shape), rtol=SAME, err_msg=name)


def check_growing(target: Target) -> None:
    """Larger batches, prompts and answers never take less, and never fewer bytes."""
    before = priced(target)
    for name, larger in (
        ("batch", priced(target, BATCH + 1)), ("batch", priced(target, 2 * BATCH)),
        ("prompt", priced(target, prompt=PROMPT + 1)), ("prompt", priced(target, prompt=2 * PROMPT)),
    ):  # fmt: skip
        for metric in ("ttft", "tpot", "request_latency", "memory"):
            share = float((_values(larger, metric) / _values(before, metric)).min())
            assert share >= 1.0 - SAME, f"more {name}: {share:.9g} times the {metric}"
    longer = priced(target, generate=2 * GENERATE)
    share = float((_values(longer, "request_latency") / _values(before, "request_latency")).min())
    assert share >= 1.0 - SAME, f"more tokens take {share:.9g} times as long"


def check_faster_device(target: Target) -> None:
    """A device with a higher peak or bandwidth is never slower."""
    before = priced(target)
    for figure in ("peak", "bandwidth"):
        after = priced(scaled(target, **{figure: 2.0}))
        for metric in TIMES:
            share = float((_values(before, metric) / _values(after, metric)).min())
            assert share >= 1.0 - SAME, f"twice the {figure}: {1 / share:.9g} times the {metric}"


def check_bound(target: Target) -> None:
    """No phase is faster than its arithmetic at the peak, and no step than its weights from memory."""
    found = priced(target)
    for cost in found.phases:
        share = float((cost.seconds.value / cost.peak_seconds).min())
        assert share >= 1.0 / UNDERCUT, f"{cost.name} takes {share:.3g} times its FLOP at the peak"
    weights = 2.0 * load_model(MODEL).parameters / target.memory_bandwidth
    share = float((_values(found, "tpot") / weights).min())
    assert share >= 0.8, f"a step takes {share:.3g} times what its weights take from memory"


def check_lacking_dtype(target: Target) -> None:
    """A dtype that the target lacks is refused by name, and so is one that there is none of."""
    for lacking in ("fp8", "nvfp4", "fp17"):
        if not target.supports(lacking):
            try:
                priced(target, dtype=lacking)
            except UsageError as error:
                check_refusal(error, lacking)
            else:
                raise AssertionError(f"{target.id} computed in {lacking}")


def check_repeatable(target: Target) -> None:
    """The same question has the same answer."""
    first, second = priced(target).estimate, priced(target).estimate
    for name, column in first.columns.items():
        assert np.array_equal(column.value, second.columns[name].value), f"{name} is another the second time"


CHECKS: dict[str, Callable[[Target], None]] = {
    "units": check_units,
    "intervals": check_intervals,
    "alone": check_alone,
    "training alone": check_training_alone,
    "breakdown": check_breakdown,
    "growing": check_growing,
    "faster device": check_faster_device,
    "bound": check_bound,
    "lacking dtype": check_lacking_dtype,
    "repeatable": check_repeatable,
}
"""Name -> check."""


def check_estimates(target: Target) -> None:
    """Check everything of estimates on ``target``.

    Raises:
        AssertionError: what goes wrong.
    """
    for name, check in CHECKS.items():
        try:
            check(target)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
