"""Figures of merit of estimates: the formulas on columns, arrays as scalars, objectives of searches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from codesign.costmodels.api import estimate
from codesign.costmodels.carbon import metrics
from codesign.costmodels.deployment import Priced
from codesign.costmodels.merit_columns import MERITS
from codesign.quantity import Array
from codesign.search.carbon_hull import hull_of_run
from codesign.search.deployment import Deployment
from codesign.search.driver import run_search
from codesign.targets import load_target
from tests.conftest import RunCodesign

SERVED: dict[str, Any] = {"prompt": 256, "generate": 64, "mode": "continuous"}


def executed(priced: Priced) -> Array:
    assert priced.executed_flop is not None
    return priced.executed_flop


def test_the_formulas_hold_on_columns() -> None:
    found = estimate("llama-3.1-8b", "h100-sxm", batch=np.array([1.0, 8.0, 64.0]), **SERVED)
    columns = {name: column.value for name, column in found.estimate.columns.items()}
    delay, energy = columns["request_latency"], columns["energy_per_token"] * 64
    embodied, operational = (columns[f"{kind}_carbon"] * 64 / 1e6 for kind in ("embodied", "operational"))
    total = columns["carbon_per_million_tokens"] * 64 / 1e6
    by_hand = {
        "tcdp": total * delay, "edp": energy * delay, "cdp": embodied * delay, "cep": embodied * energy,
        "c2ep": embodied**2 * energy, "ce2p": embodied * energy**2,
        "cci": total / (executed(found) * 64) * 1e18,
    }  # fmt: skip
    assert set(by_hand) == set(MERITS)
    for name, values in by_hand.items():
        np.testing.assert_allclose(columns[name], values, rtol=1e-12)
    np.testing.assert_allclose(operational + embodied, total, rtol=1e-12)


def test_executed_work_is_that_of_the_model() -> None:
    found = estimate("llama-3.1-8b", "h100-sxm", batch=8, prompt=256, generate=64, tp=2)
    parameters = 8.03e9
    tokens = (256 + 63) / 64  # processed for each generated one
    assert float(executed(found)[0]) == pytest.approx(2 * parameters * tokens, rel=0.15)
    alone = estimate("llama-3.1-8b", "h100-sxm", batch=8, prompt=256, generate=64, tp=1)
    np.testing.assert_allclose(executed(found), executed(alone), rtol=0.02)


def test_errors_of_a_product_are_common() -> None:
    found = estimate("llama-3.1-8b", "h100-sxm", batch=8, **SERVED).estimate

    def width(name: str) -> float:
        q = found.quantity(name)
        return float(np.log(q.high / q.low))

    # energy rises with delay: were their errors independent, the product's would be the root of the squares
    assert width("edp") > np.hypot(width("energy_per_token"), width("request_latency"))


def test_a_single_pass_has_them_too() -> None:
    columns = estimate("resnet-50", "h100-sxm", batch=4).estimate.columns
    assert columns["tcdp"].value == pytest.approx(columns["carbon"].value * 4 * columns["latency"].value)
    assert columns["edp"].value == pytest.approx(columns["energy"].value * 4 * columns["latency"].value)


def test_without_embodied_carbon_only_energy_x_delay() -> None:
    bare = msgspec.structs.replace(load_target("h100-sxm"), embodied=None)
    columns = estimate("resnet-50", bare, batch=4).estimate.columns
    assert set(MERITS) & set(columns) == {"edp"}
    assert "edp" in dict(columns.items())
    with pytest.raises(KeyError):
        columns["tcdp"]


def test_metrics_check_columns_as_they_check_numbers() -> None:
    column = estimate("resnet-50", "h100-sxm", batch=4).estimate.columns["latency"]
    with pytest.raises(Exception, match="factor"):
        metrics.edp(column * -1.0, 1.0)


@pytest.mark.parametrize("objective", [*MERITS, "embodied_carbon"])
def test_every_figure_is_an_objective(objective: str) -> None:
    problem = Deployment(
        model="llama-3.2-1b", targets=["l4"], batches=[1, 8], degrees=[1], stages=[1], nodes=[1], replicas=[1],
        prompt=64, generate=16, objectives=["latency", objective],
    )  # fmt: skip
    points = problem.box.enumerate(0, 2)
    found = problem.evaluate(points)
    wanted = estimate("llama-3.2-1b", "l4", batch=np.array([1.0, 8.0]), prompt=64, generate=16, mode="continuous")
    np.testing.assert_allclose(found.objectives[:, 1], wanted.estimate.columns[objective].value, rtol=1e-12)


def test_the_hull_of_a_run_is_best_for_every_life(tmp_path: Path, run_codesign: RunCodesign) -> None:
    problem = Deployment(model="llama-3.2-1b", targets=["l4", "h100-sxm"], replicas=[1], prompt=64, generate=16)
    run = run_search(problem, engine="exhaustive", directory=tmp_path / "run", keep="all")
    found = hull_of_run(run)
    trials = run.trials().filter(run.trials()["status"] == "ok")
    whole, embodied, delay = (trials[name].to_numpy() for name in ("carbon", "embodied_carbon", "request_latency"))
    assert 1 <= len(found.rows) < found.designs == len(trials)
    for life in (0.01, 0.3, 1.0, 4.0, 30.0, 1000.0):
        merit = delay * (embodied * 4.0 / life + whole - embodied)
        row = [row for row in found.rows if row.from_years <= life][-1]
        mine = row.delay_s * (row.embodied_g * 4.0 / life + row.operational_g)
        assert mine <= merit.min() * (1.0 + 1e-9)
    shown = run_codesign("carbon", "hull", str(tmp_path / "run"), "--json")
    assert json.loads(shown.stdout)["results"]["designs"] == found.designs
    wrong = run_codesign("carbon", "hull", str(tmp_path))
    assert wrong.rc == 2
