"""Verification against a synthetic machine whose hidden factors differ from the model's."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from codesign.costmodels.calibration import Posterior
from codesign.costmodels.factors import COUNT, LABELS, F
from codesign.errors import UsageError
from codesign.profilers import measure
from codesign.profilers.disturbance import Share
from codesign.quantity import Method
from codesign.run import load_run
from codesign.search import verify
from codesign.search.deployment import Deployment
from codesign.search.driver import run_search
from codesign.search.front_change import expected_change
from codesign.targets import Calibration, OperatorCalibration, overlay_text, with_overlay
from codesign.testing.synthetic_machine import processor


def test_an_uncertain_extreme_is_measured_before_a_certain_one() -> None:
    values = np.array([[1.0, 10.0], [4.0, 4.0], [10.0, 1.0]])
    width = np.array([[1.5], [1.01], [1.01]])
    change = expected_change(values, values / width, values * width)
    assert change.argmax() == 0
    np.testing.assert_array_equal(expected_change(values, values, values), 0.0)


class Quiet:
    """The account of a machine where nothing else runs, whatever runs beside this test."""

    def share(self) -> Share:
        """Return what other processes took."""
        return Share(0.0, 2)


def test_the_loop_learns_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Deployment(
        model="llama-3.2-1b", targets=["l4"], batches=[1, 2, 4, 8, 16, 32], degrees=[1], stages=[1], nodes=[1],
        replicas=[1], prompt=200, generate=30, objectives=["latency", "cost"],
    )  # fmt: skip
    monkeypatch.setattr(verify, "local_targets", lambda problem: ["l4"])
    hidden = np.ones(COUNT)
    hidden[[F.MATRIX, F.BANDWIDTH, F.HOST]] = 1.5, 1.4, 1.3
    asked: list[measure.Request] = []

    def synthetic(request: measure.Request, timeout: float = 0.0) -> measure.Measurement:
        batch = request.batch
        point = {"target": "l4", "dtype": "bf16", "tp": 1, "pp": 1, "ep": 1, "nodes": 1, "batch": batch}
        priced = verify.priced_design(problem, point, hidden)
        place = verify.PRIMITIVES.index(request.phase)
        seconds = float(verify.primitives(priced, "continuous", batch, 30)[place][1].value)
        noise = np.random.Generator(np.random.Philox([len(asked), 5])).standard_normal() * 0.02
        asked.append(request)
        median = seconds * float(np.exp(noise))
        return measure.Measurement(median, median * 0.97, median * 1.03, 9, 2, False, "none")

    monkeypatch.setattr(measure, "measure_in_subprocess", synthetic)
    monkeypatch.setattr(verify, "Watch", Quiet)
    run = run_search(problem, engine="exhaustive", directory=tmp_path / "run")
    verify.verify_run(run, problem, count=2, rounds=2)
    rows = verify.read_measured(run)
    designs = {msgspec.json.encode(row.design) for row in rows}
    assert len(rows) == len(asked) == 2 * len(designs), "each design once, both passes"
    assert {row.round for row in rows} == {1, 2}
    again = load_run(run.path)
    summary = again.front["verification"]
    assert summary["measurements"] == len(rows)
    assert summary["median_error_after"] < 0.5 * summary["median_error_before"]
    assert summary["inside_after"] >= 0.8
    overlay = (run.path / verify.OVERLAY).read_text()
    assert "memory bandwidth" in overlay
    assert "grid intensity" not in overlay
    assert verify.read_measured(again) == rows, "measurements survive"


def test_what_operators_taught_before_is_kept(tmp_path: Path) -> None:
    before = (OperatorCalibration("gemm-cpu", (0.1, -0.2, 0.3, 0.0), 0.0, 0.2, 9, "a test", formats=("fp32",)),)
    host = Calibration(LABELS[F.HOST], 4.0, 0.15, Method.CALIBRATED, "a test")
    target = msgspec.structs.replace(processor(), operators=before, calibration=(host,))
    scales = np.ones(COUNT)
    scales[F.BANDWIDTH] = 1.3
    learnt = Posterior(scales, np.full(COUNT, 0.1), tuple(f is F.BANDWIDTH for f in F))
    path = tmp_path / "overlay.yaml"
    path.write_text(verify.learnt_text(target, learnt, 4))
    found = with_overlay(processor(), str(path))
    assert [(entry.expert, entry.change) for entry in found.operators] == [("gemm-cpu", (0.1, -0.2, 0.3, 0.0))]
    assert {entry.name: entry.scale for entry in found.calibration} == {host.name: 4.0, LABELS[F.BANDWIDTH]: 1.3}


def test_an_overlay_of_another_target_is_not_lost_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "h100.yaml"
    other.write_text(overlay_text("h100-sxm", (Calibration(LABELS[F.HOST], 2.0, 0.1, Method.CALIBRATED, "a test"),)))
    problem = Deployment(
        model="llama-3.2-1b", targets=["l4", "h100-sxm"], batches=[1], degrees=[1], stages=[1], nodes=[1],
        replicas=[1], prompt=20, generate=4, objectives=["latency", "cost"], overlay=str(other),
    )  # fmt: skip
    monkeypatch.setattr(verify, "local_targets", lambda problem: ["l4"])
    run = run_search(problem, engine="exhaustive", directory=tmp_path / "run")
    with pytest.raises(UsageError, match="another target than l4"):
        verify.verify_run(run, problem, count=1, rounds=1)


def test_a_steady_neighbour_is_told_by_the_system_not_by_the_repeats() -> None:
    def measured(spread: float, others: float | None) -> verify.Measured:
        return verify.Measured(0, 1, "decode", "s", 1.0, 0.9, 1.1, 2.0, spread, 9, False, {}, others)

    rows = [measured(0.1, None), measured(0.1, 0.05), measured(0.1, 0.5), measured(0.9, 0.0)]
    assert [row.disturbed for row in rows] == [False, False, True, True]
    before = msgspec.to_builtins(rows[0])
    del before["others"]
    assert msgspec.convert(before, verify.Measured).others is None, "journals of before do not say"
