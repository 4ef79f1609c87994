"""The script that records GPU evidence, run on the processor, and without a GPU."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from codesign.profilers.iterations import annotated
from codesign.profilers.readers.recording import read_recording
from codesign.profilers.results import Profile

SMALL = ("--device", "cpu", "--models", "bert-base,resnet-18", "--layers", "1", "--executions", "eager",
         "--batches", "1,2", "--seconds", "0.05", "--dtype", "fp32")  # fmt: skip


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Return the script as a module."""
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "record_gpu.py"
    spec = importlib.util.spec_from_file_location("record_gpu", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_records_what_is_missing_and_can_be_started_again(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path), *SMALL]
    assert script.main([*options, "--budget", "-1"]) == 0
    assert "4 recordings did not fit the budget" in capsys.readouterr().err
    assert script.main(options) == 0
    assert capsys.readouterr().out.count("compute share") == 4
    found = msgspec.json.decode((tmp_path / "bert-base-eager-b2.json").read_bytes(), type=Profile)
    assert [b.batch for b in found.batches] == [2]
    trace = read_recording(tmp_path / "bert-base-eager-b2.trace")
    assert 1 <= len(annotated(trace).iterations) <= script.KEPT_PASSES
    index = json.loads((tmp_path / "index.json").read_text())
    assert [(s["model"], s["batches"]) for s in index["sweeps"]] == [("bert-base", [1, 2]), ("resnet-18", [1, 2])]
    assert {t["rule"] for t in index["sweeps"][0]["transitions"]} == {"compute share", "latency knee"}
    (tmp_path / "resnet-18-eager-b1.trace").unlink()
    assert script.main(options) == 0
    assert capsys.readouterr().out.count("compute share") == 1
    assert script.main([*options, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{model}-eager-b{batch}: recorded" for model in ("bert-base", "resnet-18") for batch in (1, 2)
    ]


def test_without_a_gpu_it_says_so_in_one_line(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert script.main(["--out", str(tmp_path / "new")]) == 3
    said = capsys.readouterr().err
    assert said.startswith("error: this machine has no GPU")
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_the_plan_is_the_models_batches_and_executions_of_the_documentation(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["--out", str(tmp_path), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 * (7 + 7 + 4)
    assert lines[0] == "llama-3.2-1b-eager-b1: missing"
    assert script.main(["--out", str(tmp_path), "--executions", "egaer"]) == 2
