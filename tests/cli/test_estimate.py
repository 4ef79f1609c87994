"""``codesign estimate`` as a user runs it: the JSON contract, tables in 80 columns, limits, many designs at once."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

COMMAND = ("estimate", "llama-3.1-8b", "--target", "h100-sxm", "--batch", "8", "--prompt", "2048", "--generate", "256")
PROMISED = {"ttft", "tpot", "throughput", "memory", "energy_per_token", "carbon_per_million_tokens"}


def test_json_gives_each_number_with_interval_unit_and_source(run_codesign: Any) -> None:
    done = run_codesign(*COMMAND, "--dtype", "bf16", "--json")
    assert done.rc == 0
    answer = json.loads(done.stdout)
    assert answer["schema_version"] == 1
    assert answer["command"] == "estimate"
    results = answer["results"]
    assert results.keys() >= PROMISED
    for name, q in results.items():
        assert q["low"] <= q["value"] <= q["high"], name
        assert {"unit", "source", "coverage"} <= q.keys()
    assert results["ttft"]["unit"] == "s"
    assert 0.002 < results["tpot"]["value"] < 0.02
    assert sum(row["share"] for row in answer["details"]["operators"] if row["phase"] == "decode") == pytest.approx(1.0)


def test_table_fits_eighty_columns(run_codesign: Any) -> None:
    done = run_codesign(*COMMAND)
    assert done.rc == 0
    assert "each further token" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_crossed_limit_is_exit_4_after_the_result(run_codesign: Any) -> None:
    done = run_codesign(*COMMAND, "--where", "ttft <= 0.1 s")
    assert done.rc == 4
    assert "limit crossed: ttft <= 0.1 s" in done.stderr
    assert run_codesign(*COMMAND, "--where", "tpot <= 50 ms").rc == 0


def test_queries_equal_single_estimates(run_codesign: Any, tmp_path: Path) -> None:
    designs = [("llama-3.1-8b", "h100-sxm", 8, 2048), ("llama-3.1-8b", "l4", 999, 2048), ("gpt2", "v100-sxm", 2, 0)]
    text = "model,target,batch,prompt\n" + "\n".join(",".join(map(str, d)) for d in designs)
    (tmp_path / "designs.csv").write_text(text + "\n")
    done = run_codesign("estimate", "--queries", str(tmp_path / "designs.csv"), "--generate", "256")
    assert done.rc == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    single = json.loads(run_codesign(*COMMAND, "--json").stdout)["results"]
    assert float(rows[0]["tpot"]) == pytest.approx(single["tpot"]["value"])
    assert float(rows[0]["ttft_high"]) == pytest.approx(single["ttft"]["high"])
    assert [row["feasible"] for row in rows] == ["true", "false", "false"]
    assert rows[1]["reason"].startswith("memory")
    assert "prompt is 0" in rows[2]["reason"]


def test_one_bad_row_costs_only_itself(run_codesign: Any, tmp_path: Path) -> None:
    batches = [1, 2, 0, 4, 5]
    lines = [f"llama-3.2-1b,l4,{batch}" for batch in batches]
    (tmp_path / "designs.csv").write_text("\n".join(["model,target,batch", *lines]) + "\n")
    done = run_codesign("estimate", "--queries", str(tmp_path / "designs.csv"))
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["feasible"] for row in rows] == ["true", "true", "false", "true", "true"]
    assert "batch is 0" in rows[2]["reason"]


def test_where_no_row_can_run_all_are_written_and_the_exit_code_says_so(run_codesign: Any, tmp_path: Path) -> None:
    (tmp_path / "designs.csv").write_text("model,target,batch\nllama-3.1-70b,l4,1\nllama-3.1-70b,l4,8\n")
    done = run_codesign("estimate", "--queries", str(tmp_path / "designs.csv"))
    assert done.rc == 4
    assert [row["feasible"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["false"] * 2
    assert "none of the 2 designs can run" in done.stderr


def test_where_no_row_is_a_design_it_is_bad_input(run_codesign: Any, tmp_path: Path) -> None:
    (tmp_path / "designs.csv").write_text("model,target,batch\nnope,l4,1\nllama-3.1-8b,nope,8\n")
    done = run_codesign("estimate", "--queries", str(tmp_path / "designs.csv"))
    assert done.rc == 2
    assert len(list(csv.DictReader(io.StringIO(done.stdout)))) == 2
    assert "none of the 2 designs can run" in done.stderr


def test_rows_may_leave_out_what_has_no_default(run_codesign: Any, tmp_path: Path) -> None:
    lines = ["continuous,vllm,2,8192", "continuous,,,", "in-step,,,8192", "static,,,", "static,,,8192"]
    text = "model,target,dtype,batch,mode,framework,gather,chunk\n"
    text += "".join(f"llama-3.2-1b,h100-sxm,fp8,8,{line}\n" for line in lines)
    (tmp_path / "designs.csv").write_text(text)
    done = run_codesign("estimate", "--queries", str(tmp_path / "designs.csv"))
    assert done.rc == 0, done.stderr
    assert "1 of them cannot run" in done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["feasible"] for row in rows] == ["true"] * 4 + ["false"]
    for row, options in zip(
        rows, (("--framework", "vllm", "--gather", "2", "--chunk", "8192"), (), ("--chunk", "8192")), strict=False
    ):
        alone = run_codesign(
            "estimate", "llama-3.2-1b", "--target", "h100-sxm", "--dtype", "fp8", "--batch", "8",
            "--mode", row["mode"], *options, "--json",
        )  # fmt: skip
        assert float(row["ttft"]) == pytest.approx(json.loads(alone.stdout)["results"]["ttft"]["value"])


def test_training_step_and_vision_model(run_codesign: Any) -> None:
    step = json.loads(
        run_codesign(
            "estimate", "gpt2", "--target", "h100-sxm", "--mode", "training", "--dtype", "bf16", "--json"
        ).stdout
    )
    assert step["results"]["throughput"]["unit"] == "token/s"
    forward = json.loads(run_codesign("estimate", "resnet-50", "--target", "a100", "--batch", "32", "--json").stdout)
    assert forward["results"]["throughput"]["unit"] == "image/s"
