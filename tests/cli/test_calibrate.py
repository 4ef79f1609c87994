"""``codesign calibrate`` and ``codesign validate machine``: files, refusals, and what is shown."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from codesign.cli.app import run
from codesign.costmodels import machine_validation
from codesign.costmodels.operators import measured_here
from codesign.costmodels.operators.chosen_shapes import chosen_shapes
from codesign.costmodels.operators.spellings import OPERATORS
from codesign.profilers.measure import Measurement
from codesign.profilers.operators import Request
from codesign.targets import detection, load_target
from codesign.testing.synthetic_machine import measuring, processor

Here = pytest.MonkeyPatch


@pytest.fixture
def here(tmp_path: Path, monkeypatch: Here) -> Path:
    """Return an empty folder on a synthetic machine, the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(detection, "detect", lambda device, seconds: processor())
    disturb(monkeypatch)
    return tmp_path


def disturb(monkeypatch: Here, **disturbance: float) -> None:
    original = getattr(measured_here.measure_target, "func", measured_here.measure_target)
    measure = measuring(processor(), **disturbance)
    monkeypatch.setattr(measured_here, "measure_target", partial(original, measure=measure))


def test_the_two_files_work_next(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibrate"]) == 0
    shown = capsys.readouterr()
    for word in ("gemm-cpu", "convolution-cpu", "roofline x 1", "host launch", "20.0 us", "memory bandwidth"):
        assert word in shown.out
    assert "rates: 7 passes of small models" in shown.err
    assert "codesign estimate MODEL --target this-cpu.yaml --overlay this-cpu.overlay.yaml" in shown.err
    found = load_target("this-cpu.yaml", overlay="this-cpu.overlay.yaml")
    assert {entry.expert for entry in found.operators} >= {"gemm-cpu", "decode-cpu", "vector-cpu"}
    assert found.calibration[0].name == "host launch"
    asked = ["estimate", "gpt2", "--target", "this-cpu.yaml", "--prompt", "64", "--generate", "8", "--json"]
    predicted = []
    for more in ([], ["--overlay", "this-cpu.overlay.yaml"]):
        assert run([*asked, *more]) == 0
        predicted.append(json.loads(capsys.readouterr().out)["results"]["tpot"]["value"])
    assert predicted[0] != predicted[1], "the overlay moves the estimate"


def test_files_are_replaced_only_by_force(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibrate"]) == 0
    before = Path("this-cpu.yaml").read_text()
    assert run(["calibrate"]) == 2
    assert "this-cpu.overlay.yaml exists" in capsys.readouterr().err
    Path("this-cpu.overlay.yaml").unlink()
    Path("this-cpu.yaml").write_text(before + "# mine\n")
    assert run(["calibrate"]) == 0, "a target that is there describes this machine"
    assert "its rates are kept" in capsys.readouterr().err
    assert Path("this-cpu.yaml").read_text().endswith("# mine\n")
    assert run(["calibrate", "--force"]) == 0
    assert Path("this-cpu.yaml").read_text() == before


def test_json_names_units_and_every_row(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibrate", "--json", "--rows", "rows.csv", "--out", "mine.yaml"]) == 0
    found = json.loads(capsys.readouterr().out)
    results = found["results"]
    assert found["units"]["median"] == "s"
    assert len(results["operators"]) == len(chosen_shapes(processor()))
    assert {"model", "rows", "before", "after", "roofline", "coverage", "half"} == results["models"][0].keys()
    assert results["disturbance"]["verdict"] == ""
    assert Path("rows.csv").read_text().startswith("op,dtype,latency_ms")
    assert Path("mine.yaml").exists()


def test_a_busy_machine_writes_nothing(here: Path, monkeypatch: Here, capsys: pytest.CaptureFixture[str]) -> None:
    disturb(monkeypatch, others=2.0)
    assert run(["calibrate"]) == 3
    said = capsys.readouterr().err
    assert "busy" in said
    assert "--allow-busy" in said
    assert not list(here.glob("*.yaml"))
    assert run(["calibrate", "--allow-busy"]) == 0
    assert "intervals are widened" in capsys.readouterr().err


def measured_rows(**columns: Any) -> str:
    timings = measuring(processor())(Request(chosen_shapes(processor()))).timings
    frame = measured_here.as_frame([timing for timing in timings if timing.operator.op in OPERATORS])
    import polars as pl

    return frame.with_columns(**{name: pl.lit(value) for name, value in columns.items()}).write_csv()


def test_rows_of_a_user_calibrate_a_target(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibrate", "--out", "first.yaml"]) == 0
    Path("rows.csv").write_text(measured_rows())
    asked = ["calibrate", "--from", "rows.csv", "--target", "this-cpu.yaml"]
    assert run([*asked, "--out", "second.yaml"]) == 0
    capsys.readouterr()
    first, second = (load_target("this-cpu.yaml", overlay=name).operators for name in ("first.yaml", "second.yaml"))
    for a, b in zip(first, second, strict=True):
        assert (a.expert, a.rows) == (b.expert, b.rows)
        assert a.change == pytest.approx(b.change, abs=1e-6), "the same rows teach the same"
    assert "rows.csv" in second[0].source
    assert run(asked) == 0
    assert Path("this-cpu.overlay.yaml").exists(), "named after the target"


def test_rows_of_other_devices_are_counted_or_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["calibrate"])
    mine, others = measured_rows(device="this-cpu"), measured_rows(device="A100")
    Path("rows.csv").write_text(mine + others.partition("\n")[2])
    asked = ["calibrate", "--target", "this-cpu.yaml", "--force", "--from"]
    capsys.readouterr()
    assert run([*asked, "rows.csv"]) == 0
    count = len(others.splitlines()) - 1
    assert f"{count} of other devices" in capsys.readouterr().err
    Path("others.csv").write_text(others)
    assert run([*asked, "others.csv"]) == 2
    assert "no row is of this-cpu" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "tpu"], "unknown device"),
        (["--from", "rows.csv"], "--from needs --target"),
        (["--model", "gpt2"], "--model is of --from"),
        (["--tp", "2"], "--tp is of --from"),
        (["--target", "nothing"], "unknown target"),
        (["--seconds", "0"], "--seconds"),
        (["--from", "rows.csv", "--target", "h100-sxm"], "latency_ms"),
    ],
)
def test_bad_requests_end_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    Path("rows.csv").write_text("op,dtype,m,n,k\ngemm,bf16,1,2,3\n")
    assert run(["calibrate", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not list(here.glob("*.yaml"))


def test_the_machine_is_compared_with_what_was_calibrated(
    here: Path, monkeypatch: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    def fast(*arguments: Any, **options: Any) -> Any:
        measured = Measurement(0.1, 0.09, 0.11, 9, 4, False, "2.0.0")
        return original(*arguments, **{**options, "measure": lambda request: measured})

    Path("rows.csv").write_text("op,dtype,m,n,k,latency_ms\ngemm,bf16,4096,4096,4096,0.25\n")
    original = machine_validation.compare
    monkeypatch.setattr(machine_validation, "compare", fast)
    assert run(["calibrate"]) == 0
    capsys.readouterr()
    assert run(["validate", "machine"]) == 0
    shown = capsys.readouterr()
    for word in ("resnet-50", "bert-base", "gpt2", "vit-b-16", "llama-3.2-1b decode x 16", " 100 "):
        assert word in shown.out
    assert "mean error" in shown.err
    assert "of llama-3.2-1b only 2 layers" in shown.err
    assert max(map(len, shown.out.splitlines())) <= 80
    asked = ["validate", "machine", "--target", "this-cpu.yaml", "--overlay", "this-cpu.overlay.yaml", "--json"]
    assert run(asked) == 0
    found = json.loads(capsys.readouterr().out)["results"]
    rows = found["rows"]
    assert len(rows) == sum(len(case.batches) for case in machine_validation.CASES)
    errors = [abs(row["predicted"]["value"] / row["measured"]["median"] - 1.0) for row in rows]
    assert found["summary"]["mean_error"] == pytest.approx(sum(errors) / len(errors))
    assert run(["validate", "machine", "--target", "h100-sxm", "--overlay", "this-cpu.overlay.yaml"]) == 2
    assert run(["calibrate", "--from", "rows.csv", "--target", "h100-sxm"]) == 0
    assert run(["validate", "machine", "--target", "h100-sxm", "--overlay", "h100-sxm.overlay.yaml"]) == 2
    assert "h100-sxm is no processor" in capsys.readouterr().err
    assert run(["validate", "models", "--overlay", "this-cpu.overlay.yaml"]) == 2
    assert run(["validate", "models", "machine"]) == 2


def test_operators_and_whole_models_together(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibrate", "--out", "first.yaml"]) == 0
    Path("rows.csv").write_text(measured_rows())
    runs = "".join(f"{batch},{batch * 0.02}\n" for batch in (1, 2, 4, 8))
    Path("runs.csv").write_text("batch,latency_s\n" + runs)
    asked = [
        "calibrate",
        "--from",
        "rows.csv",
        "--from",
        "runs.csv",
        "--target",
        "this-cpu.yaml",
        "--model",
        "resnet-18",
    ]
    code = run([*asked, "--dtype", "fp32", "--tp", "1", "--out", "both.yaml"])
    assert code == 0, capsys.readouterr().err
    found = load_target("this-cpu.yaml", overlay="both.yaml")
    assert found.operators
    assert found.calibration
