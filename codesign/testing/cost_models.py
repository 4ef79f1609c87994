"""Conformance of cost models of operators: what every one must do, whatever it was fitted on.

Use it from a test: ``check_cost_model(model)`` with an ``OperatorCostModel``, or ``CHECKS`` one by one. Each check
raises ``AssertionError`` with what went wrong; any exception but those a cost model may raise is a fault of it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.cost_models import OperatorCostModel, Prediction
from codesign.costmodels.operators.device import device_of
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.monotone import RISING
from codesign.costmodels.operators.shape_limits import LARGEST, NONE_AT_ALL
from codesign.costmodels.operators.tables import UNDERCUT, Rows
from codesign.errors import CodesignError, DataError, UsageError
from codesign.quantity import Array, Method
from codesign.targets import Target, load_target
from codesign.targets.target import Unit

TARGETS = ("h100-sxm", "a100-80gb-sxm", "rtx-4090", "t4")
"""Measured in some formats, in others, not at all but like others, and by another source."""

FORMATS = ("bf16", "fp16", "fp32", "fp8")

COUNT = 24
"""Operators of a family that are looked at."""

SAME = 1e-9
"""Relative difference of rounding."""

LARGEST_FALL = 0.6
"""Share by which the latency of one operator may fall where it grows, in a cost model that does not claim otherwise:
another kernel may serve the larger one better, and a table of measurements holds noise."""

EXPONENTS = {
    "batch": (0, 8), "m": (0, 14), "n": (4, 14), "k": (4, 14), "inputs": (2, 10), "outputs": (2, 10), "size": (4, 8),
    "new": (0, 13), "cached": (0, 16), "tokens": (0, 15), "hidden": (8, 13), "inter": (8, 14), "rows": (0, 16),
    "length": (0, 14),
}  # fmt: skip
"""Column -> powers of two between which its extents are drawn."""

CHOICES = {
    "kernel": (1, 3, 5, 7), "stride": (1, 2), "padding": (0, 1, 3), "head_width": (64, 80, 128, 256),
    "window": (0, 0, 0, 128, 1024), "kv_bytes": (1, 2), "experts": (8, 64, 256), "topk": (1, 2, 8), "tp": (1, 2, 8),
    "ep": (1, 2, 8), "skew": (1.0, 1.2), "kind": (0, 1, 2, 3),
}  # fmt: skip
"""Column -> values that are drawn from."""


def shapes(family: str, count: int, seed: int = 0) -> dict[str, Array]:
    """Return the shapes of ``count`` operators of ``family`` that models hold, of all sizes."""
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for column in FAMILIES[family].shape:
        if column in EXPONENTS:
            found[column] = np.rint(2.0 ** rng.uniform(*EXPONENTS[column], count))
        elif column in CHOICES:
            found[column] = rng.choice(np.array(CHOICES[column], np.float64), count)
    if "head_width" in found:
        found["kv_heads"] = rng.choice([1.0, 2.0, 8.0], count)
        found["heads"] = found["kv_heads"] * rng.choice([1.0, 4.0, 8.0], count)
    return found


def operators(family: str, targets: Sequence[Target], count: int = COUNT, seed: int = 0) -> Rows:
    """Return operators of ``family`` on ``targets``, each in a format that its target has."""
    rng = np.random.default_rng(seed)
    devices = tuple(map(device_of, targets))
    formats = tuple(map(format_of, FORMATS))
    able = [(d, f) for d, device in enumerate(devices) for f, form in enumerate(formats)
            if form.compute in (*device.matrix, "fp32")]  # fmt: skip
    device, form = np.array(able)[rng.integers(len(able), size=count)].T
    return Rows(
        family, shapes(family, count, seed), devices, device, formats, form, ("",), np.zeros(count, np.int64),
        np.ones(count), np.zeros(count, bool), {},
    )  # fmt: skip


def scaled(target: Target, *, peak: float = 1.0, bandwidth: float = 1.0, clock: float = 1.0) -> Target:
    """Return ``target`` with other figures; the clock is that of its cache."""

    def times(value: Any, factor: float) -> Any:
        return None if value is None else msgspec.structs.replace(value, value=value.value * factor)

    memory = target.memories[0]
    memory = msgspec.structs.replace(memory, bandwidth=times(memory.bandwidth, bandwidth))
    units = tuple(
        Unit(unit.name, {dtype: times(value, peak) for dtype, value in unit.peak.items()}) for unit in target.units
    )
    return msgspec.structs.replace(
        target, units=units, memories=(memory, *target.memories[1:]), clock_rate=times(target.clock_rate, clock)
    )


def stranger(peak: float | None = None) -> Target:
    """Return a target that nobody has measured, nor any of its architecture; ``peak`` is that of every dtype."""
    like = load_target("h100-sxm")
    units = tuple(
        Unit(unit.name, {
            dtype: msgspec.structs.replace(value, value=peak or value.value) for dtype, value in unit.peak.items()
        })
        for unit in like.units
    )  # fmt: skip
    return msgspec.structs.replace(like, id="stranger", aliases=(), architecture="unheard-of", units=units)


def _asked(seed: int = 0) -> Iterator[tuple[Rows, tuple[Target, ...]]]:
    """Yield operators of each family, and their targets."""
    targets = (*map(load_target, TARGETS), stranger())
    for family in FAMILIES:
        yield operators(family, targets, seed=seed), targets


def check_refusal(error: CodesignError, *names: str) -> None:
    """A refusal names what was wrong, and says what to do."""
    for name in names:
        assert name in str(error), f"{error}: does not name {name}"
    assert error.hint, f"{error.message}: no hint"


def check_seconds(model: OperatorCostModel) -> None:
    """Latencies are seconds: 10^12 FLOP take a device of 1 TFLOP/s a second and more, and not a minute."""
    target = stranger(peak=1e12)
    rows = operators("gemm", (target,), 1)
    side = np.full(1, 7938.0)  # 2 * 7938^3 is 1.0004 * 10^12
    rows = msgspec.structs.replace(rows, shapes={"batch": np.ones(1), "m": side, "n": side, "k": side})
    (seconds,) = model.predict(rows, (target,)).seconds.tolist()
    assert 1.0 / UNDERCUT <= seconds < 60.0, f"10^12 FLOP at 10^12 FLOP/s take {seconds:g} s"


def check_form(model: OperatorCostModel) -> None:
    """There is one latency a row, finite and positive within its interval, and a source that has a name."""
    for rows, targets in _asked():
        found = model.predict(rows, targets)
        for name in Prediction._fields:
            shape = np.shape(getattr(found, name))
            assert shape == (len(rows),), f"{rows.family}: {name} has shape {shape} for {len(rows)} rows"
        for name in ("seconds", "low", "high"):
            assert np.isfinite(getattr(found, name)).all(), f"{rows.family}: {name} is not finite"
        assert (found.low > 0.0).all(), f"{rows.family}: an interval begins at 0"
        assert ((found.low <= found.seconds) & (found.seconds <= found.high)).all(), (
            f"{rows.family}: a value lies outside of its interval"
        )
        unknown = set(found.source) - {method.value for method in Method}
        assert not unknown, f"{rows.family}: source {unknown.pop()!r} is none"


def check_alone(model: OperatorCostModel) -> None:
    """A row does not see its neighbours: the array is its rows, in whatever order."""
    for rows, targets in _asked():
        together = model.predict(rows, targets)
        order = np.random.default_rng(1).permutation(len(rows))
        shuffled = model.predict(rows.take(order), targets)
        alone = [model.predict(rows.take(np.array([row])), targets) for row in range(0, len(rows), 4)]
        for name in Prediction._fields[:3]:
            values = getattr(together, name)
            _equal(getattr(shuffled, name), values[order], f"{rows.family}: {name} in another order")
            one = np.concatenate([getattr(found, name) for found in alone])
            _equal(one, values[::4], f"{rows.family}: {name} of a row alone")
        assert [found.source[0] for found in alone] == list(together.source[::4]), f"{rows.family}: source of a row"


def _equal(found: Array, expected: Array, what: str) -> None:
    off = np.abs(found / expected - 1.0).max()
    assert off <= SAME, f"{what} differs by {off:.2g}"


def check_repeatable(model: OperatorCostModel) -> None:
    """The same question has the same answer, and asking changes nothing of the rows."""
    for rows, targets in _asked():
        before = {name: values.copy() for name, values in rows.shapes.items()}
        first, second = model.predict(rows, targets), model.predict(rows, targets)
        assert np.array_equal(first.seconds, second.seconds), f"{rows.family}: asked again, the answer is another"
        changed = [name for name, values in rows.shapes.items() if not np.array_equal(values, before[name])]
        assert not changed, f"{rows.family}: {changed[0]} of the rows was changed"


def check_bound(model: OperatorCostModel) -> None:
    """Nothing is faster than physics."""
    for rows, targets in _asked():
        on = rows.columns
        least = physics.least(FAMILIES[rows.family].work(rows.shapes, on), on) / UNDERCUT
        found = model.predict(rows, targets)
        for name in ("seconds", "low"):
            share = float((getattr(found, name) / least).min())
            assert share >= 1.0 - SAME, f"{rows.family}: {name} is {share:.3g} times the least that is possible"


def check_growing(model: OperatorCostModel) -> None:
    """More of what designs vary never takes less; ``LARGEST_FALL`` where the model does not claim that."""
    for rows, targets in _asked(seed=2):
        before = model.predict(rows, targets).seconds
        for column in RISING[rows.family]:
            for what, more in (("one more", rows.shapes[column] + 1.0), ("twice", rows.shapes[column] * 2.0)):
                larger = msgspec.structs.replace(rows, shapes={**rows.shapes, column: more})
                share = model.predict(larger, targets).seconds / before
                _not_less(model, share, f"{rows.family}, {what} {column}")


def check_faster_device(model: OperatorCostModel) -> None:
    """A device with a higher peak, bandwidth or clock is never slower; ``LARGEST_FALL`` as above."""
    for rows, targets in _asked(seed=3):
        before = model.predict(rows, targets).seconds
        for figure in ("peak", "bandwidth", "clock"):
            better = tuple(scaled(target, **{figure: 2.0}) for target in targets)
            moved = msgspec.structs.replace(rows, devices=tuple(map(device_of, better)))
            share = before / model.predict(moved, better).seconds
            _not_less(model, share, f"{rows.family}, twice the {figure}")


def _not_less(model: OperatorCostModel, share: Array, what: str) -> None:
    least = float(share.min())
    allowed = 1.0 - (SAME if model.monotone else LARGEST_FALL)
    assert least >= allowed, f"{what}: {least:.9g} times the latency, expected at least {allowed:.9g}"


def check_stranger(model: OperatorCostModel) -> None:
    """A device that nobody measured is refused, or labelled as such: never with the name of a measurement."""
    target = stranger()
    allowed = {Method.NEW_FAMILY.value, Method.ANALYTICAL.value}
    for family in FAMILIES:
        try:
            found = model.predict(operators(family, (target,)), (target,))
        except UsageError:
            continue
        wrong = set(found.source) - allowed
        assert not wrong, f"{family}: an unknown device is called {wrong.pop()}"


def check_lacking_dtype(model: OperatorCostModel) -> None:
    """A dtype that a device lacks is refused by name."""
    target = load_target("a100-80gb-sxm")
    rows = msgspec.structs.replace(operators("gemm", (target,), 3), formats=(format_of("fp8"),), form=np.zeros(3, int))
    try:
        model.predict(rows, (target,))
    except UsageError as error:
        check_refusal(error, "fp8", target.id)
    else:
        raise AssertionError("an A100 computed in fp8")


def check_impossible_shapes(model: OperatorCostModel) -> None:
    """Extents of nothing, beyond the largest, broken and not a number are refused, whatever stands beside them."""
    target = load_target("h100-sxm")
    for family in FAMILIES:
        rows = operators(family, (target,), 4)
        for column in (*RISING[family], "kind" if family == "vector" else RISING[family][0]):
            wrong = [float("nan"), float("inf"), -1.0, 1.5, LARGEST]
            wrong += [] if column in NONE_AT_ALL.get(family, ()) or column == "kind" else [0.0]
            for value in wrong:
                values = rows.shapes[column].copy()
                values[2] = value
                _refused(model, msgspec.structs.replace(rows, shapes={**rows.shapes, column: values}), target, column)


def _refused(model: OperatorCostModel, rows: Rows, target: Target, column: str) -> None:
    value = rows.shapes[column][2]
    try:
        model.predict(rows, (target,))
    except (DataError, UsageError) as error:
        check_refusal(error, column)
    else:
        raise AssertionError(f"{rows.family}: {column} of {value:g} was predicted")


CHECKS: dict[str, Callable[[OperatorCostModel], None]] = {
    "seconds": check_seconds,
    "form": check_form,
    "alone": check_alone,
    "repeatable": check_repeatable,
    "bound": check_bound,
    "growing": check_growing,
    "faster device": check_faster_device,
    "stranger": check_stranger,
    "lacking dtype": check_lacking_dtype,
    "impossible shapes": check_impossible_shapes,
}
"""Name -> check."""


def check_cost_model(model: OperatorCostModel) -> None:
    """Check everything of ``model``.

    Raises:
        AssertionError: what it does wrong.
    """
    for name, check in CHECKS.items():
        try:
            check(model)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
