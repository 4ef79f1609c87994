"""``codesign estimate --ops`` as a user runs it: what is wrong is named, and what an overlay did not do is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from codesign.cli.app import run
from codesign.quantity import Method
from codesign.targets import Calibration, OperatorCalibration, overlay_text

GEMM = "op,device,dtype,m,n,k"
ALL_REDUCE = "op,device,dtype,message_size,num_gpus"
CONVOLUTION = "op,device,dtype,B,Input_Channel,Output_Channel,Input_Size,Kernel_Size,Stride,Padding"
EXPERTS = "op,device,dtype,num_tokens,hidden_size,inter_size,topk,num_experts,moe_tp_size,moe_ep_size,distribution"
ATTENTION = "op,device,dtype,batch_size,isl,num_heads,num_key_value_heads,head_dim,kv_cache_dtype"


class Asked:
    """What one run said: exit code, its words on stderr, and the table that it wrote."""

    def __init__(self, code: int, words: str, table: Path) -> None:
        self.code, self.words = code, words
        self.rows = pl.read_csv(table) if code == 0 and table.exists() else None


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)

    def asked(text: str, *options: str) -> Asked:
        Path("ops.csv").write_text(text)
        code = run(["estimate", "--ops", "ops.csv", "--out", "found.csv", *options])
        return Asked(code, capsys.readouterr().err, tmp_path / "found.csv")

    return asked


def table(head: str, *rows: str) -> str:
    return "\n".join([head, *rows]) + "\n"


WRONG: dict[str, tuple[str, tuple[str, ...]]] = {
    "an unknown device": (
        table(GEMM, "gemm,rtx-4091,bf16,1,2,3"), ("row 1, device is 'rtx-4091'", "rtx-4090", "path of a YAML file"),
    ),
    "no device": (table(GEMM, "gemm,,bf16,1,2,3"), ("row 1, device is ''",)),
    "a device whose kernels nobody measured": (
        table(GEMM, "gemm,tpu-v4,bf16,1,2,3"),
        ("row 1, device is 'tpu-v4'", "GPUs and processors only", "estimate MODEL"),
    ),
    "an unknown operator": (table(GEMM, "gemmm,t4,fp16,1,2,3"), ("row 1, op is 'gemmm'", "gemm")),
    "a dtype the device lacks": (
        table(GEMM, "gemm,h100-sxm,bf16,1,2,3", "gemm,a100-80gb-sxm,fp8,1,2,3"),
        ("row 2, dtype is 'fp8'", "a100-80gb-sxm has no fp8", "it computes in"),
    ),
    "an unknown dtype": (table(GEMM, "gemm,t4,fp17,1,2,3"), ("row 1, dtype is 'fp17'", "fp16")),
    "a shape of nothing": (table(GEMM, "gemm,t4,fp16,1,0,3"), ("row 1, n is '0'", "from 1 to 2,147,483,647")),
    "a shape beyond all": (table(GEMM, "gemm,t4,fp16,2147483648,2,3"), ("row 1, m is '2147483648'", "2,147,483,647")),
    "a shape that is not a number": (table(GEMM, "gemm,t4,fp16,NaN,2,3"), ("row 1, m is 'NaN'",)),
    "a shape that is endless": (table(GEMM, "gemm,t4,fp16,inf,2,3"), ("row 1, m is 'inf'",)),
    "half a row": (table(GEMM, "gemm,t4,fp16,1.5,2,3"), ("row 1, m is '1.5'",)),
    "a shape left out": (table(GEMM, "gemm,t4,fp16,,2,3"), ("row 1, m is ''",)),
    "a missing shape column": (table("op,device,dtype,m,n", "gemm,t4,fp16,1,2"), ("column 'k' is missing", "--help")),
    "a missing column": (table("op,device,m", "gemm,t4,1"), ("column 'dtype' is missing", "it has op, device, m")),
    "a header alone": (table(GEMM), ("ops.csv: no rows",)),
    "an empty file": ("", ("ops.csv cannot be read as CSV",)),
    "more fields than columns": (table(GEMM, "gemm,t4,fp16,1,2,3,4"), ("ops.csv cannot be read as CSV",)),
    "a collective without a link": (
        table(ALL_REDUCE, "all_reduce,xeon-8480,bf16,1024,2"), ("row 1, num_gpus is '2'", "no link within a node"),
    ),
    "more devices than a node": (
        table(ALL_REDUCE, "all_reduce,h100-sxm,bf16,1024,9"), ("row 1, num_gpus is '9'", "a node has 8 devices"),
    ),
    "a collective of one": (
        table(ALL_REDUCE, "all_reduce,h100-sxm,bf16,1024,1"), ("row 1, num_gpus is '1'", "expected at least 2"),
    ),
    "a message of nothing": (table(ALL_REDUCE, "send,h100-sxm,bf16,0,2"), ("row 1, message_size is '0'",)),
    "a window larger than its image": (
        table(CONVOLUTION, "conv,t4,fp32,8,64,64,3,7,1,0"), ("row 1, Kernel_Size is '7'", "at most the size"),
    ),
    "more experts a token than there are": (
        table(EXPERTS, "moe,h100-sxm,bf16,8,64,128,9,4,1,1,balanced"), ("row 1, topk is '9'", "number of experts"),
    ),
    "more heads of keys than of queries": (
        table(ATTENTION, "prefill,h100-sxm,bf16,1,64,8,16,128,"), ("row 1, num_key_value_heads is '16'", "heads"),
    ),
    "a step on no token": (
        table(ATTENTION, "decode,h100-sxm,bf16,1,0,8,8,128,"), ("row 1, isl is '0'", "from 1"),
    ),
    "an unknown dtype of the cache": (
        table(ATTENTION, "decode,h100-sxm,bf16,1,9,8,8,128,fp16", "decode,h100-sxm,bf16,1,9,8,8,128,fp17"),
        ("row 2, kv_cache_dtype is 'fp17'", "fp16"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(WRONG))
def test_what_is_wrong_is_named_in_two_lines(ask: Any, what: str) -> None:
    text, says = WRONG[what]
    found = ask(text)
    assert found.code == 2, found.words
    assert len(found.words.splitlines()) <= 2
    assert "Traceback" not in found.words
    assert "internal" not in found.words
    for word in says:
        assert word in found.words
    assert "ops.csv" in found.words


def test_rows_of_all_kinds_in_one_file_keep_their_order(ask: Any) -> None:
    heads = list(dict.fromkeys(",".join((GEMM, ALL_REDUCE, EXPERTS, ATTENTION)).split(",")))
    rows = [
        {"op": "all_reduce", "device": "h100-sxm", "dtype": "bf16", "message_size": "1048576", "num_gpus": "8"},
        {"op": "gemm", "device": "h100-sxm", "dtype": "bf16", "m": " 64", "n": "4096", "k": "4096 "},
        {"op": "moe", "device": "h200", "dtype": "bf16", "num_tokens": "64", "hidden_size": "4096",
         "inter_size": "14336", "topk": "2", "num_experts": "8", "moe_tp_size": "1", "moe_ep_size": "1",
         "distribution": "power_law_1.2.3"},
        {"op": "decode", "device": "mi300x", "dtype": "bf16", "batch_size": "8", "isl": "1024", "num_heads": "32",
         "num_key_value_heads": "8", "head_dim": "128"},
        {"op": "gemm", "device": "t4", "dtype": "fp16", "m": "64", "n": "4096", "k": "4096"},
    ]  # fmt: skip
    found = ask(table(",".join(heads), *(",".join(row.get(name, "") for name in heads) for row in rows)))
    assert found.code == 0, found.words
    assert found.rows["op"].to_list() == [row["op"] for row in rows]
    assert (
        (found.rows["low_ms"] <= found.rows["latency_ms"]) & (found.rows["latency_ms"] <= found.rows["high_ms"])
    ).all()
    assert found.rows["source"].to_list() == ["interpolated", "interpolated", "same-family", "new-family", "new-family"]


ROW = table(GEMM, "gemm,h100-sxm,bf16,256,4096,4096")
REDUCE = table(ALL_REDUCE, "all_reduce,h100-sxm,bf16,1048576,8")


def overlay(target: str = "h100-sxm", *, operators: Any = (), factors: Any = ()) -> str:
    Path("my.yaml").write_text(overlay_text(target, factors, operators))
    return "my.yaml"


def moved(expert: str = "gemm-16", count: int = 7) -> OperatorCalibration:
    return OperatorCalibration(expert, (0.2,) * count, 0.5, 0.15, 9, "a test")


def factor(name: str) -> Calibration:
    return Calibration(name, 2.0, 0.05, Method.CALIBRATED, "a test")


def test_an_overlay_moves_the_target_that_it_is_of(ask: Any) -> None:
    before = ask(ROW).rows
    found = ask(ROW, "--overlay", overlay(operators=[moved()]))
    assert found.rows["source"].to_list() == ["calibrated"]
    assert found.rows["latency_ms"][0] > before["latency_ms"][0]
    assert "moved nothing" not in found.words
    slower = ask(REDUCE, "--overlay", overlay(factors=[factor("link")]))
    assert slower.rows["source"].to_list() == ["calibrated"]
    assert slower.rows["latency_ms"][0] == pytest.approx(2.0 * ask(REDUCE).rows["latency_ms"][0])
    # messages of more than 32 MiB have a factor of their own
    link, own = factor("link"), Calibration("link, long messages", 5.0, 0.05, Method.CALIBRATED, "a test")
    for factors, elements, times in (((link, own), 2**24, 2.0), ((link, own), 2**24 + 1, 5.0), ((link,), 2**25, 2.0)):
        asked = table(ALL_REDUCE, f"all_reduce,h100-sxm,bf16,{elements},8")
        moved_by = ask(asked, "--overlay", overlay(factors=factors)).rows["latency_ms"][0]
        assert moved_by == pytest.approx(times * ask(asked).rows["latency_ms"][0])


def test_an_overlay_that_moves_nothing_says_so(ask: Any) -> None:
    before = ask(ROW).rows
    for written, says in (
        ({"target": "a100-80gb-sxm", "operators": [moved()]}, "my.yaml calibrates a100-80gb-sxm"),
        ({"target": "no-such-card", "operators": [moved()]}, "my.yaml calibrates no-such-card"),
        ({}, "my.yaml holds neither factors nor operators"),
        ({"factors": [factor("matrix rate")]}, "my.yaml holds factors of whole models only"),
    ):
        found = ask(ROW, "--overlay", overlay(**written))
        assert found.code == 0, found.words
        assert says in found.words
        assert found.rows.equals(before)


def test_overlays_that_cannot_be_right_are_refused(ask: Any) -> None:
    for entry, says in (
        (moved(count=8), "operators.gemm-16.change: found 8 numbers, expected 7"),
        (moved("gemm-17"), "operators.gemm-17: there is no such model"),
    ):
        found = ask(ROW, "--overlay", overlay(operators=[entry]))
        assert (found.code, says in found.words, "my.yaml" in found.words) == (2, True, True), found.words
    missing = ask(ROW, "--overlay", "none.yaml")
    assert (missing.code, "none.yaml" in missing.words) == (2, True), missing.words


def test_models_say_so_of_an_overlay_of_another_target_too(
    ask: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = overlay("a100-80gb-sxm", operators=[moved()])
    design = ["--batch", "1", "--prompt", "16", "--generate", "4", "--overlay", other]
    assert run(["estimate", "llama-3.2-1b", "--target", "h100-sxm", *design]) == 0
    shown = capsys.readouterr()
    assert "my.yaml calibrates a100-80gb-sxm" in shown.out + shown.err
    (tmp_path / "designs.csv").write_text("model,target,batch\nllama-3.2-1b,h100-sxm,1\n")
    assert run(["estimate", "--queries", "designs.csv", "--out", "prices.csv", "--overlay", other]) == 0
    assert "my.yaml calibrates a100-80gb-sxm" in capsys.readouterr().err


def test_explain_and_search_say_so_too(ask: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = overlay("a100-80gb-sxm", operators=[moved()])
    assert run(["explain", "llama-3.2-1b", "--target", "h100-sxm", "--overlay", other]) == 0
    shown = capsys.readouterr()
    assert "my.yaml calibrates a100-80gb-sxm" in shown.out + shown.err
    small = ["--batch", "1,2", "--tp", "1", "--pp", "1", "--replicas", "1", "--out", str(tmp_path / "run")]
    assert run(["search", "deployment", "llama-3.2-1b", "--target", "h100-sxm", *small, "--overlay", other]) == 0
    assert "my.yaml calibrates a100-80gb-sxm" in capsys.readouterr().err


def test_measured_latencies_of_the_file_are_not_replaced_silently(ask: Any) -> None:
    found = ask(table(f"{GEMM},latency_ms", "gemm,h100-sxm,bf16,64,64,64,9.5"))
    assert "latency_ms of ops.csv: replaced by predictions" in found.words
    assert found.rows["latency_ms"][0] != 9.5
    assert "replaced" not in ask(ROW).words


def test_other_cost_models_answer_by_name(ask: Any) -> None:
    found = {name: ask(ROW, "--cost-model", name).rows for name in ("roofline", "analytical", "trees", "network")}
    assert found["trees"].equals(ask(ROW).rows)
    assert found["roofline"]["latency_ms"].to_list() == found["roofline"]["roofline_ms"].to_list()
    assert {name: rows["source"][0] for name, rows in found.items()} == {
        "roofline": "analytical", "analytical": "analytical", "trees": "interpolated", "network": "interpolated",
    }  # fmt: skip
    assert found["network"]["latency_ms"][0] == pytest.approx(found["trees"]["latency_ms"][0], rel=0.3)
    unknown = ask(ROW, "--cost-model", "rooflin")
    assert (unknown.code, "did you mean roofline" in unknown.words) == (2, True)
    assert run(["estimate", "gpt2", "--target", "t4", "--cost-model", "trees"]) == 2


def test_the_command_as_a_process(run_codesign: Any, tmp_path: Path) -> None:
    (tmp_path / "ops.csv").write_text(ROW)
    done = run_codesign("estimate", "--ops", "ops.csv")
    assert (done.rc, done.stdout.splitlines()[0].startswith(GEMM)) == (0, True), done.stderr
    (tmp_path / "ops.csv").write_text(table(GEMM, "gemm,rtx-4091,bf16,1,2,3"))
    assert run_codesign("estimate", "--ops", "ops.csv").rc == 2
