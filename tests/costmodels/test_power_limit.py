"""A power limit on whole models: never faster, never above the limit, nothing at the design power."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codesign.costmodels.api import estimate
from codesign.costmodels.efficiency import table
from codesign.costmodels.power_cap import capped
from codesign.errors import UsageError
from tests.conftest import RunCodesign

SERVED: dict[str, Any] = {"batch": 32, "prompt": 512, "generate": 128, "mode": "continuous"}
RUN: dict[str, Any] = {"batch": 64}
DESIGNS = [("llama-3.1-8b", SERVED), ("llama-3.1-8b", {**SERVED, "mode": "static"}), ("resnet-50", RUN)]
TIMES = ("ttft", "tpot", "latency", "request_latency")
LIMITS = np.array([700.0, 600.0, 500.0, 400.0, 300.0, 250.0])


def values(model: str, options: dict[str, Any], limit: Any = None) -> dict[str, Any]:
    columns = estimate(model, "h100-sxm", power_limit=limit, **options).estimate.columns
    return {name: np.broadcast_to(column.value, np.shape(limit) or (1,)) for name, column in columns.items()}


@pytest.mark.parametrize(("model", "options"), DESIGNS)
def test_a_lower_limit_is_never_faster_and_is_kept(model: str, options: dict[str, Any]) -> None:
    found = values(model, options, LIMITS)
    for name in TIMES:
        if name in found:
            assert (np.diff(found[name]) >= 0.0).all(), name
    assert (found["power"] <= LIMITS * (1.0 + 1e-12)).all()
    assert found["power"][-1] > 0.9 * LIMITS[-1], "a load that wants more stays at its limit"


@pytest.mark.parametrize(("model", "options"), DESIGNS)
def test_the_design_power_limits_nothing(model: str, options: dict[str, Any]) -> None:
    free, held = values(model, options), values(model, options, 700.0)
    for name, value in free.items():
        assert held[name] == pytest.approx(value, rel=1e-9), name


def test_arrays_equal_scalars() -> None:
    together = values("llama-3.1-8b", SERVED, LIMITS)
    for place, limit in enumerate(LIMITS):
        alone = values("llama-3.1-8b", SERVED, limit)
        for name, value in alone.items():
            assert together[name][place] == pytest.approx(value[0], rel=1e-12), name


def test_a_card_whose_limits_were_measured_has_its_own_numbers() -> None:
    def notes(target: str, limit: float) -> str:
        found = estimate("llama-3.2-1b", target, dtype="fp16", power_limit=limit, batch=8, prompt=64, generate=16)
        return found.estimate.notes[0]

    assert "by runs of this card" in notes("v100-pcie", 150.0)
    assert "by runs of older cards" in notes("h100-sxm", 400.0)
    own, shared = table().power.capping("v100-pcie"), table().power.cap
    slow = [capped(240.0, 150.0, 250.0, form=form).slowdown for form in (own, shared)]
    assert slow[0] != pytest.approx(slow[1], rel=1e-3)


def test_a_deep_limit_widens_the_interval_of_times() -> None:
    def width(limit: float) -> float:
        found = estimate("llama-3.1-8b", "h100-sxm", power_limit=limit, **SERVED).estimate.quantity("tpot")
        return found.high / found.low

    assert width(250.0) > width(500.0) > width(700.0)


@pytest.mark.parametrize(
    ("target", "limit", "says"),
    [("h100-sxm", 701.0, "expected 245 W to"), ("h100-sxm", 100.0, "expected 245 W to"),
     ("h100-sxm", float("nan"), "expected 245 W to"), ("epyc-9654", 200.0, "GPUs only")],
)  # fmt: skip
def test_impossible_limits_are_refused(target: str, limit: float, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        estimate("llama-3.2-1b", target, power_limit=limit, dtype="bf16", batch=1, prompt=64, generate=16)
    assert says in refused.value.hint


def test_the_command_says_what_the_limit_does(run_codesign: RunCodesign) -> None:
    words = ("estimate", "llama-3.2-1b", "--target", "h100-sxm", "--batch", "64", "--power-limit", "300 W")
    shown = run_codesign(*words)
    assert shown.rc == 0, shown.stderr
    assert "at most 300 W" in shown.stdout
    assert "power limit 300 W of 700 W: prefill" in shown.stderr + shown.stdout
    refused = run_codesign(*words[:-1], "300")
    assert refused.rc == 2
    assert "--power-limit" in refused.stderr
    assert "no unit" in refused.stderr
