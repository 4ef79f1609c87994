"""Every cost model passes the suite of its protocol, and the suite finds cost models that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import Any

import msgspec
import numpy as np
import pytest

from codesign.costmodels.operators import cost_models
from codesign.costmodels.operators.cost_models import Fitted, OperatorCostModel, Prediction, Roofline, cost_model
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.lookup import shipped_model
from codesign.costmodels.operators.tables import Rows
from codesign.errors import DataError, UsageError
from codesign.quantity import Method
from codesign.targets import OperatorCalibration, Target, load_target
from codesign.testing import cost_models as suite
from codesign.testing import estimates

NAMES = ("analytical", "network", "roofline", "trees")
FITTED_TARGET, OTHER_VENDOR, CLOSED_FORMS, PROCESSOR = "h100-sxm", "mi300x", "gaudi3", "xeon-8480"


@pytest.mark.parametrize("check", sorted(suite.CHECKS))
@pytest.mark.parametrize("name", NAMES)
def test_every_cost_model_conforms(name: str, check: str) -> None:
    suite.CHECKS[check](cost_model(name))


def test_claims_of_monotony() -> None:
    assert {name: cost_model(name).monotone for name in NAMES} == {
        "analytical": True, "network": True, "roofline": True, "trees": False,
    }  # fmt: skip


class Calibrated:
    """Another cost model asked about targets that were calibrated."""

    def __init__(self, inner: OperatorCostModel, entries: tuple[OperatorCalibration, ...]) -> None:
        self.monotone, self._inner, self._entries = inner.monotone, inner, entries

    def predict(self, rows: Rows, targets: Sequence[Target]) -> Prediction:
        known = [msgspec.structs.replace(t, operators=() if t.id == "stranger" else self._entries) for t in targets]
        return self._inner.predict(rows, known)


def test_the_network_conforms_on_calibrated_targets_too() -> None:
    rng = np.random.default_rng(0)
    model = shipped_model(trees=False)
    entries = tuple(
        OperatorCalibration(name, tuple(0.5 * rng.standard_normal(len(family.pooled))), 0.1, 0.2, 9, "a test")
        for name, family in model.families.items()
    )
    moved = Calibrated(Fitted(model, quickly=True), entries)
    suite.check_cost_model(moved)
    targets = (load_target("h100-sxm"),)
    assert set(moved.predict(suite.operators("gemm", targets), targets).source) == {Method.CALIBRATED.value}


Change = Callable[[Prediction, Rows, Sequence[Target]], Prediction]


class Broken:
    """The roofline with a fault."""

    monotone = True

    def __init__(self, change: Change, refuses: bool = True) -> None:
        self._change, self._refuses = change, refuses

    def predict(self, rows: Rows, targets: Sequence[Target]) -> Prediction:
        if self._refuses:
            return self._change(Roofline().predict(rows, targets), rows, targets)
        with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
            patch.setattr(cost_models, "check_shapes", lambda rows: None)
            return self._change(Roofline().predict(rows, targets), rows, targets)


def times(found: Prediction, factor: Any) -> Prediction:
    return Prediction(found.seconds * factor, found.low * factor, found.high * factor, found.source)


def counted() -> Change:
    calls: Iterator[int] = iter(range(10**6))
    return lambda found, rows, targets: times(found, 1.0 + 0.01 * next(calls))


def measured(found: Prediction, rows: Rows, targets: Sequence[Target]) -> Prediction:
    return found._replace(source=np.full(len(rows), "interpolated", object))


BROKEN: dict[str, tuple[Change, str]] = {
    "milliseconds": (lambda found, rows, targets: times(found, 1e3), "seconds"),
    "not a number": (lambda found, rows, targets: times(found, np.where(rows.form == 1, np.nan, 1.0)), "form"),
    "one latency for all": (lambda found, rows, targets: found._replace(seconds=found.seconds.max()), "form"),
    "ends exchanged": (lambda found, rows, targets: found._replace(low=found.high, high=found.low), "form"),
    "source without a name": (lambda found, rows, targets: found._replace(source=found.source + "ly"), "form"),
    "looks at neighbours": (lambda found, rows, targets: times(found, 1.0 + found.seconds.mean()), "alone"),
    "looks at the row before": (lambda found, rows, targets: times(found, 1.0 + np.arange(len(rows))), "alone"),
    "another answer each time": (counted(), "repeatable"),
    "faster than physics": (lambda found, rows, targets: times(found, 0.5), "bound"),
    "falls with its size": (lambda found, rows, targets: times(found, found.seconds**-2.0), "growing"),
    "falls with a slower device": (
        lambda found, rows, targets: times(found, rows.columns.peak * rows.columns.bandwidth), "faster device",
    ),
    "a stranger is called measured": (measured, "stranger"),
}  # fmt: skip


@pytest.mark.parametrize("fault", sorted(BROKEN))
def test_the_suite_finds_what_is_wrong(fault: str) -> None:
    change, check = BROKEN[fault]
    with pytest.raises(AssertionError):
        suite.CHECKS[check](Broken(change))


def test_the_suite_finds_who_predicts_anything() -> None:
    with pytest.raises(AssertionError, match="was predicted"):
        suite.check_impossible_shapes(Broken(lambda found, rows, targets: found, refuses=False))

    class Obliging(Roofline):
        def predict(self, rows: Rows, targets: Sequence[Target]) -> Prediction:
            plain = tuple(format_of("bf16") for _ in rows.formats)
            return super().predict(msgspec.structs.replace(rows, formats=plain), targets)

    with pytest.raises(AssertionError, match="computed in fp8"):
        suite.check_lacking_dtype(Obliging())


def test_cost_models_are_open_to_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"theirs": "codesign.costmodels.operators.cost_models:Roofline", "pi": "math:pi"}
    points = [metadata.EntryPoint(name, value, cost_models.ENTRY_POINTS) for name, value in here.items()]
    monkeypatch.setattr(metadata, "entry_points", lambda **_: metadata.EntryPoints(points))
    cost_models.registry.cache_clear()
    try:
        assert cost_models.registry().names() == sorted((*NAMES, *here))
        suite.check_form(cost_model("theirs"))
        with pytest.raises(DataError, match="'pi' of another package is a float"):
            cost_model("pi")
        with pytest.raises(UsageError, match="cost model 'rooflin' is unknown"):
            cost_model("rooflin")
    finally:
        cost_models.registry.cache_clear()


@pytest.mark.parametrize("check", sorted(estimates.CHECKS))
@pytest.mark.parametrize("name", [FITTED_TARGET, OTHER_VENDOR, CLOSED_FORMS, PROCESSOR])
def test_estimates_of_models_conform(name: str, check: str) -> None:
    estimates.CHECKS[check](load_target(name))


def test_both_ways_of_predicting_kernels_are_looked_at() -> None:
    def sources(name: str) -> set[Method]:
        return {factor.method for factor in estimates.priced(load_target(name)).estimate.factors[:2]}

    assert sources(FITTED_TARGET) == {Method.INTERPOLATED}
    assert sources(CLOSED_FORMS) == sources(PROCESSOR) == {Method.ANALYTICAL}
