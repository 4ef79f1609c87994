"""``codesign search quantization`` as a user runs it: an own module into a run with a plan, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from codesign.errors import CodesignError
from codesign.search.quantization.problem import QuantizationProblem
from tests.conftest import RunCodesign
from tests.search.quantization.toy import write

SEARCH = ("--target", "xeon-8480", "--objectives", "quality,memory", "--evaluations", "50")


def test_a_module_and_its_data_make_a_run_with_plan_and_report(run_codesign: RunCodesign, tmp_path: Path) -> None:
    model, data = write(tmp_path, 1500)
    gentle = ("--weights", "16,8", "--activations", "16")  # the module is untrained: its classes are easily confused
    done = run_codesign(
        "search", "quantization", model, "--data", data, *SEARCH, *gentle, "--measure", "1", "--out", "run"
    )
    assert done.rc == 0, done.stderr
    assert "Loss added by one layer alone" in done.stdout
    assert "Timed here in turn" in done.stdout
    assert "commonest class" in done.stderr
    assert "unseen (original 0)" in done.stderr
    front = json.loads((tmp_path / "run" / "front.json").read_text())
    (grid, sensitivity) = next(iter(front["details"].values()))["grids"]
    assert grid["rows"] == ["0", "2"]
    assert grid["columns"] == ["weights", "activations"]
    assert "Sensitivity" in sensitivity["title"]
    assert "Bits of every layer" in (tmp_path / "run" / "report.html").read_text()
    assert (tmp_path / "run" / "plan.yaml").exists()
    assert (tmp_path / "run" / "recipe.yaml").exists()
    more = run_codesign("search", "--resume", "run", "--evaluations", "60")
    assert more.rc == 0, more.stderr
    (tmp_path / "toy_model.py").write_text((tmp_path / "toy_model.py").read_text().replace("seed(0)", "seed(1)"))
    refused = run_codesign("search", "--resume", "run", "--evaluations", "70")
    assert refused.rc == 2
    assert "model weights" in refused.stderr


def test_a_factory_that_trains_is_called_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = write(tmp_path)
    monkeypatch.chdir(tmp_path)
    problem = QuantizationProblem(
        model=model.replace(":net", ":trained"), data=data, target="xeon-8480", batch=2, objectives=("error", "memory")
    )
    results = problem.evaluate(np.asarray(problem.baseline()))
    assert results.ok.all(), results.reasons


def test_a_factory_that_fails_is_one_line(run_codesign: RunCodesign, tmp_path: Path) -> None:
    model, data = write(tmp_path)
    done = run_codesign("search", "quantization", model.replace(":net", ":broken"), "--data", data, *SEARCH)
    assert done.rc == 2, done.stderr
    assert "no weights here" in done.stderr
    done = run_codesign("search", "quantization", "digits-cnn", *SEARCH, "--measure", "-1")
    assert done.rc == 2, done.stderr
    assert "--measure -1" in done.stderr


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"model": "digits-rnn"}, "unknown model 'digits-rnn'"),
        ({"model": "digits-cnn", "data": "other.npz"}, "judged on scikit-learn's digits"),
        ({"model": "digits-cnn", "report_data": "other.npz"}, "splits its own data"),
        ({"model": "tiny-transformer"}, "needs a text"),
        ({"model": "tiny-transformer", "data": "short.md"}, "bytes of text"),
        ({"model": "py:toy_model:net", "data": "missing.npz"}, "no such file"),
        ({"model": "py:toy_model:net"}, "needs data"),
        ({"model": "py:toy_model.py:plain", "data": "data.npz"}, "no quantizable layer"),
        ({"model": "py:toy_model.py:infinite", "data": "data.npz"}, "not a number before any quantization"),
        ({"model": "py:toy_model.py:branching", "data": "data.npz"}, "control flow depends on data"),
        ({"model": "py:toy_model.py:nte", "data": "data.npz"}, "has no 'nte'"),
        ({"model": "digits-cnn", "target": ""}, "no target given"),
    ],
)
def test_bad_input_is_told(spec: dict[str, str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    (tmp_path / "short.md").write_text("too short")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CodesignError, match=told):
        QuantizationProblem.from_spec({"target": "xeon-8480", **spec})
