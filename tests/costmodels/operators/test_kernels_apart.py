"""Sorts of kernels: their names, what sets them apart, parameters of each on each device, and what others get."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_limits

from codesign.costmodels.operators import fit, physics
from codesign.costmodels.operators.asked import Asked
from codesign.costmodels.operators.by_format import calibrated_by_format
from codesign.costmodels.operators.device import device_of
from codesign.costmodels.operators.experts import Expert
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.family_model import of_device, on_device
from codesign.costmodels.operators.fit import calibrated, fit_family, predict, predict_known
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.lookup import served_by, shipped_model
from codesign.costmodels.operators.most_probable import fit_parameters
from codesign.costmodels.operators.protocols import error
from codesign.costmodels.operators.queries import predict_frame
from codesign.costmodels.operators.stacks import nearest_stack, stack_named
from codesign.costmodels.operators.tables import Rows, joined, read_tables
from codesign.errors import DataError
from codesign.quantity import Array
from codesign.targets import load_target

DEVICES = ("a100-80gb-sxm", "h100-sxm", "b200-sxm", "rtx-pro-6000-server")
STACKS = ("vllm/cutlass", "vllm/triton")
EXPERT = Expert("moe-16", "moe", ("bf16",), ("bf16", "fp16"), False, True, by_kernel=True)
PLAIN, FAR = np.log([40e-6, 0.5, 0.85, 2.0, 0.5, 2.0, 0.3, 0.5]), np.log([40e-6, 0.15, 0.17, 2.0, 0.5, 2.0, 0.3, 0.5])


def mixture(count: int, *, form: str = "bf16", seed: int = 0, far: str = "") -> Rows:
    """Return rows whose latency is the physical form's; those of the device ``far`` run a slow kernel."""
    rng = np.random.default_rng(seed)
    sizes: dict[str, Array] = {
        "tokens": np.exp2(rng.integers(0, 14, count)), "hidden": np.float64(1024) * rng.integers(1, 8, count),
        "inter": np.float64(512) * rng.integers(1, 8, count), "topk": np.full(count, 8.0),
        "experts": np.full(count, 128.0),
        "tp": np.ones(count), "ep": np.exp2(rng.integers(0, 6, count)), "skew": rng.choice([1.0, 1.01, 1.2], count),
    }  # fmt: skip
    devices = tuple(device_of(load_target(name)) for name in DEVICES)
    rows = Rows(
        "moe", sizes, devices, rng.integers(0, len(devices), count), (format_of(form),), np.zeros(count, np.int64),
        STACKS, rng.integers(0, 2, count), np.ones(count), np.zeros(count, bool), {},
    )  # fmt: skip
    slow = np.array([name == far for name in DEVICES])[rows.device]
    parameters = np.where(slow, FAR[:, None], PLAIN[:, None])
    on = rows.columns
    return msgspec.structs.replace(rows, seconds=physics.seconds(parameters, FAMILIES["moe"].work(sizes, on), on))


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "ITERATIONS", 10)


def of(rows: Rows, device: str) -> Rows:
    return rows.take(rows.device == DEVICES.index(device))


def test_kernels_are_known_by_parts_of_their_names() -> None:
    names = {
        ("vllm/0.24.0", "vllm_flash_attn_fa3"): "vllm/fa3", ("vllm/0.14.0", "vllm_flash_attn"): "vllm/fa2",
        ("vllm/0.24.0", "vllm_flashinfer_trtllmdecode"): "vllm/trtllm-gen",
        ("vllm/0.22.0", "vllm_fused_moe"): "vllm/triton",
        ("vllm/0.24.0", "vllm_fp8moe_flashinfer_cutlass_flashinferexperts"): "vllm/cutlass",
        ("trtllm/1.3.0", "torch_flow"): "trtllm", (" VLLM ", ""): "vllm", ("", "cutlass"): "/cutlass", ("", ""): "",
    }  # fmt: skip
    assert {pair: stack_named(*pair) for pair in names} == names


def test_an_engine_of_unknown_kernels_is_the_first_known_of_it() -> None:
    known = ["trtllm", "vllm/fa3", "vllm/fa4"]
    names = ("vllm/fa4", "vllm", "vllm/triton", "sglang", "", "/fa4", "/triton")
    found = [nearest_stack(name, known) for name in names]
    assert found == ["vllm/fa4", "vllm/fa3", "vllm/triton", "trtllm", "trtllm", "vllm/fa4", "trtllm"]
    assert nearest_stack("vllm", []) == "vllm"


def test_a_kernel_that_is_far_from_the_others_does_not_speak_for_them() -> None:
    rows = mixture(3_000, far="h100-sxm")
    with threadpool_limits(1):
        model = fit_family(EXPERT, rows.take(rows.device != 3))
    unknown = of(rows, "rtx-pro-6000-server")
    assert error(predict(model, unknown), unknown.seconds).mean < 0.1
    slow = of(rows, "h100-sxm")
    assert error(predict(model, slow), slow.seconds).median > 0.4
    assert error(predict_known(model, slow), slow.seconds).mean < 0.05


def test_the_kernels_of_a_device_take_the_place_of_the_medians() -> None:
    rows = mixture(2_000, far="b200-sxm")
    with threadpool_limits(1):
        model = fit_family(EXPERT, rows)
    known = on_device(model, "b200-sxm", "bf16")
    for stack in STACKS:
        np.testing.assert_allclose(known.groups["bf16", stack], model.kernels["b200-sxm", "bf16", stack])
        assert np.exp(known.groups["bf16", stack])[2] == pytest.approx(0.17, rel=0.2)
        assert np.exp(model.groups["bf16", stack])[2] == pytest.approx(0.85, rel=0.1)
    assert of_device(model, "l40s") is model


def test_a_search_that_begins_far_off_stays_within_its_limits() -> None:
    rows = of(mixture(1_500, far="h100-sxm"), "h100-sxm")
    begin = np.log([1e-3, 1.2, 1.2, 0.02, 20.0, 0.1, 1.2, 1.2])
    found = fit_parameters(rows, begin, 3.0, 0.25, within=True)
    least, most = physics.limits(8, physics.PASSES)
    assert ((found >= least) & (found <= most)).all()
    on = rows.columns
    predicted = physics.seconds(found, FAMILIES["moe"].work(rows.shapes, on), on)
    assert error(predicted, rows.seconds).mean < 0.1


@pytest.mark.parametrize(("expert", "device", "form", "stack"), [
    ("moe-16", "h100-sxm", "bf16", "vllm/triton"), ("moe-16", "rtx-pro-6000-server", "bf16", "vllm/cutlass"),
    ("moe-narrow", "h100-sxm", "int4_wo", "vllm/marlin"), ("prefill", "b200-sxm", "fp8", "trtllm"),
])  # fmt: skip
def test_what_stands_for_an_engine_on_a_device(expert: str, device: str, form: str, stack: str) -> None:
    model = shipped_model(trees=False).families[expert]
    assert on_device(model, device, form).quickest_stack(form) == stack


@pytest.mark.parametrize(("device", "stack"), [("h100-sxm", "vllm/fa3"), ("b200-sxm", "vllm/flashinfer")])
def test_kernels_of_few_rows_do_not_stand_for_an_engine(device: str, stack: str) -> None:
    model = on_device(shipped_model(trees=False).families["prefill"], device, "bf16")
    rare = {"vllm/fa4", "vllm/triton"} & {name for form, name in model.groups if form == "bf16"}
    assert rare
    assert nearest_stack("vllm", [name for form, name in model.groups if form == "bf16" and name]) == stack


def asked(**changed: str) -> pl.DataFrame:
    row = {"op": "moe", "device": "h100-sxm", "dtype": "fp8", "framework": "vllm", "kernel_source": "", "topk": "8",
           "num_tokens": "64", "hidden_size": "4096", "inter_size": "1536", "num_experts": "128"}  # fmt: skip
    return pl.DataFrame({name: [text] for name, text in {**row, **changed}.items()})


def test_a_kernel_that_a_device_did_not_run_is_not_known_there() -> None:
    """The H100 ran fp8 experts by one sort, far from all others; a query of another is not answered by it."""
    plain, same, other = (predict_frame(asked(kernel_source=name), shipped_model()).row(0, named=True)
                          for name in ("", "flashinfer_cutlass", "vllm_fused_moe"))  # fmt: skip
    assert plain["latency_ms"] == same["latency_ms"]
    assert plain["source"] == same["source"] == "interpolated"
    assert other["latency_ms"] < 0.5 * same["latency_ms"]
    assert other["source"] == "same-family"
    assert other["high_ms"] / other["low_ms"] > 1.5 * same["high_ms"] / same["low_ms"]


def test_distributions_are_known_by_name_or_refused() -> None:
    names = ("balanced", "power_law_1.0", "power_law_1.2")
    frames = [asked(distribution=name, moe_ep_size="8", num_tokens="4096") for name in names]
    even, log_uniform, law = (predict_frame(frame, shipped_model())["latency_ms"][0] for frame in frames)
    assert even < log_uniform < law
    with pytest.raises(DataError, match="row 1, distribution is 'zipf'"):
        predict_frame(asked(distribution="zipf"), shipped_model())


def test_the_column_of_kernels_tells_them_apart_for_attention_and_experts_only() -> None:
    frame = pl.DataFrame({
        "op": ["context_attention", "context_attention", "gemm"], "device": ["h100-sxm"] * 3, "dtype": ["bf16"] * 3,
        "framework": ["vllm/0.24.0", "trtllm/1.3", "vllm/0.24.0"],
        "kernel_source": ["vllm_flash_attn_fa3", "torch_flow", "cutlass"], "batch_size": ["4", "4", ""],
        "isl": ["512", "512", ""], "step": ["0", "0", ""], "num_heads": ["32", "32", ""],
        "num_key_value_heads": ["8", "8", ""], "head_dim": ["128", "128", ""], "m": ["", "", "8"],
        "n": ["", "", "8"], "k": ["", "", "8"],
    })  # fmt: skip
    groups = {group.family: group.rows for group in Asked(frame, "table").groups()}
    assert [groups["prefill"].stacks[at] for at in groups["prefill"].stack] == ["vllm/fa3", "trtllm"]
    assert [groups["gemm"].stacks[at] for at in groups["gemm"].stack] == ["vllm"]


def test_rows_of_unnamed_kernels_are_predicted_as_those_that_stand_for_them() -> None:
    served = served_by(shipped_model(), "prefill", "bf16", load_target("h100-sxm"))
    rows = Rows(
        "prefill", {name: np.array([value]) for name, value in {
            "batch": 4.0, "heads": 32.0, "kv_heads": 8.0, "head_width": 128.0, "cached": 0.0, "window": 0.0,
            "kv_bytes": 2.0, "new": 512.0}.items()},
        (device_of(load_target("h100-sxm")),), np.zeros(1, np.int64), (format_of("bf16"),), np.zeros(1, np.int64),
        ("vllm",), np.zeros(1, np.int64), np.ones(1), np.zeros(1, bool), {},
    )  # fmt: skip
    assert served.model.named(rows).stacks == ("vllm/fa3",)
    named = msgspec.structs.replace(rows, stacks=("vllm/fa3",))
    assert predict(served.model, served.model.named(rows))[0] == predict(served.model, named)[0]


def test_tables_without_kernels_are_refused_with_the_column(tmp_path: Path) -> None:
    (tmp_path / "aiconfigurator").mkdir()
    pl.DataFrame({"num_tokens": [1], "framework": ["vllm"]}).write_parquet(tmp_path / "aiconfigurator/moe.parquet")
    with pytest.raises(DataError, match=r"moe\.parquet"):
        read_tables(tmp_path)


def test_many_rows_of_one_format_far_off_do_not_outvote_the_others() -> None:
    parts = [of(mixture(count, seed=seed, far=far), "h100-sxm") for seed, (count, far) in
             enumerate(((30, ""), (30, ""), (500, "h100-sxm")))]  # fmt: skip
    names = ("bf16", "fp16", "fp8")
    named = [msgspec.structs.replace(part, formats=(format_of(name),)) for part, name in zip(parts, names, strict=True)]
    others = mixture(2_000)
    with threadpool_limits(1):
        model = fit_family(EXPERT, others.take(others.device != 1))
    near, rows = named[0], joined(named)
    moved, plain = calibrated_by_format(model, rows), calibrated(model, rows)
    off = [error(predict(one, near), near.seconds).mean for one in (moved.shared, plain)]
    assert off[0] < 0.8 * off[1]
    assert error(moved.predict(near), near.seconds).mean < 0.5 * off[0]
