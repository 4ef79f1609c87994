"""Attention kernels: how they spread over cores, what stacks do differently, and shape terms of devices apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from codesign.costmodels.operators import fit, physics
from codesign.costmodels.operators.attention import TILE, split
from codesign.costmodels.operators.device import Columns, device_of
from codesign.costmodels.operators.experts import EXPERTS, Expert
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.family_model import knows, measured_on, of_device, on_device
from codesign.costmodels.operators.fit import fit_family, predict, predict_known, rows_of
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.protocols import error
from codesign.costmodels.operators.stacks import of_stacks
from codesign.costmodels.operators.tables import Rows, read_tables
from codesign.costmodels.operators.trees import Trees, mean_of, part
from codesign.targets import load_target
from codesign.testing.synthetic_kernels import write_gemm_table

DECODE: dict[str, float] = {
    "batch": 1,
    "heads": 64,
    "kv_heads": 8,
    "head_width": 128,
    "cached": 4096,
    "window": 0,
    "kv_bytes": 2,
}
PREFILL: dict[str, float] = {**DECODE, "cached": 0, "new": 512}
APART = next(expert for expert in EXPERTS if expert.name == "gemm-16")._replace(
    levelled=True, by_device=True, apart=True
)


def columns(device: str = "h100-sxm", stack: str = "vllm", count: int = 1) -> Columns:
    zeros = np.zeros(count, np.int64)
    found = Columns.of([device_of(load_target(device))], zeros, [format_of("bf16")], zeros)
    return msgspec.structs.replace(found, **of_stacks([stack], zeros))


def shapes(given: dict[str, float], **changed: Any) -> dict[str, Any]:
    return dict(zip(
        {**given, **changed}, np.broadcast_arrays(*(np.atleast_1d(np.asarray(value, np.float64))
                                                    for value in {**given, **changed}.values())), strict=True,
    ))  # fmt: skip


def seconds(family: str, on: Columns, s: dict[str, Any]) -> Any:
    return physics.seconds(physics.PRIOR, FAMILIES[family].work(s, on), on)


def test_keys_are_split_where_sequences_are_fewer_than_cores() -> None:
    on = columns()  # of 132 cores
    alone = split(shapes(DECODE), on)
    assert (alone.shared[0], alone.units[0], alone.parts[0]) == (8, 8, 4096 / 256)
    assert split(shapes(DECODE, cached=65536), on).parts[0] == 132 // 8
    assert split(shapes(DECODE, batch=32), on).parts[0] == 1
    assert split(shapes(DECODE, cached=100), on).parts[0] == 1


def test_a_kernel_reads_whole_tiles_and_the_roofline_does_not() -> None:
    on = columns()
    few, tile = (shapes(DECODE, batch=512, cached=cached) for cached in (2, TILE))
    assert seconds("decode", on, few) == pytest.approx(seconds("decode", on, tile))
    one, other = (FAMILIES["decode"].work(s, on) for s in (few, tile))
    assert physics.bound(one, on) < 0.1 * physics.bound(other, on)
    assert physics.least(one, on) < physics.least(other, on)


def test_heads_beyond_what_a_stack_shares_read_the_keys_again() -> None:
    """At 64 heads on one key head TensorRT-LLM takes ten times as long as at 32, as in public tables; others do not."""
    for stack, least, most in (("trtllm", 5.0, 80.0), ("vllm", 0.9, 2.0)):
        on = columns(stack=stack)
        few, many = (
            seconds("decode", on, shapes(DECODE, batch=1024, cached=64, heads=heads, kv_heads=1)) for heads in (32, 64)
        )
        assert least <= many / few <= most


@pytest.mark.parametrize(("device", "apart"), [
    ("a100-80gb-sxm", True), ("rtx-pro-6000-server", True), ("h100-sxm", False), ("b200-sxm", False),
])  # fmt: skip
def test_flash_attention_2_shares_no_keys_under_a_window(device: str, apart: bool) -> None:
    windowed = shapes(DECODE, window=128)
    assert split(windowed, columns(device)).shared[0] == (1 if apart else 8)
    assert split(shapes(DECODE), columns(device)).shared[0] == 8
    assert split(windowed, columns(device, "trtllm")).shared[0] == 8
    assert split(shapes(DECODE, window=128, kv_bytes=1), columns(device)).shared[0] == 8  # other kernels


def test_prefill_computes_whole_tiles() -> None:
    on = columns()
    depth = [
        FAMILIES["prefill"].work(shapes(PREFILL, **changed), on).grids[0].depth[0] / 2.0
        for changed in ({}, {"new": 1}, {"new": 4096, "window": 128}, {"new": 4096, "window": 4096})
    ]
    pairs = 513 / 2
    assert depth[0] == pairs + TILE / 2
    assert depth[1] == 1 + TILE / 2  # of a tile that holds one key
    assert depth[2] == 128 + TILE
    assert depth[3] == 4097 / 2 + TILE / 2  # a window that holds all is none


@pytest.mark.parametrize("stack", ["vllm", "trtllm"])
@pytest.mark.parametrize("device", ["a100-80gb-sxm", "b200-sxm"])
@pytest.mark.parametrize(("family", "base", "names"), [
    ("decode", DECODE, ("batch", "cached")), ("prefill", PREFILL, ("batch", "cached", "new")),
])  # fmt: skip
@given(data=st.data())
def test_more_never_takes_less(
    family: str, base: dict[str, float], names: tuple[str, ...], device: str, stack: str, data: st.DataObject
) -> None:
    changed = {
        "batch": data.draw(st.integers(1, 300)), "heads": data.draw(st.sampled_from([8, 40, 64])),
        "kv_heads": data.draw(st.sampled_from([1, 8])), "window": data.draw(st.sampled_from([0, 128, 1000])),
        "cached": data.draw(st.integers(1, 9000)),
    }  # fmt: skip
    name = data.draw(st.sampled_from(names))
    begin = changed.get(name, base[name])
    values = begin + np.arange(600)
    found = seconds(family, columns(device, stack, 600), shapes(base, **{**changed, name: values}))
    assert (np.diff(found) >= -1e-12 * found[1:]).all()


def test_a_cache_keeps_no_more_than_it_holds() -> None:
    on, s = columns(), shapes(DECODE, batch=32, heads=32)
    generous = np.array([-16.0, 0.0, 0.0, 0.0, *physics.MOST[4:6], 0.0])
    work = FAMILIES["decode"].work(s, on)
    assert physics.seconds(generous, work, on) >= (work.bytes - on.cache) / on.bandwidth


def test_half_of_a_floor_follows_the_clock_where_the_device_works_meanwhile() -> None:
    on = columns()
    faster = msgspec.structs.replace(on, cache_bandwidth=4.0 * on.cache_bandwidth)
    floor = np.concatenate([[np.log(1e-3)], physics.PRIOR[1:]])
    for family, given_shapes, times in (("decode", DECODE, 0.5), ("prefill", PREFILL, 0.5)):
        work = FAMILIES[family].work(shapes(given_shapes), on)
        assert physics.seconds(floor, work, faster) / physics.seconds(floor, work, on) == pytest.approx(times, rel=0.05)
    product = FAMILIES["gemm"].work(shapes({"batch": 1, "m": 1, "n": 1, "k": 1}), on)
    assert physics.seconds(floor, product, faster) == pytest.approx(1e-3, rel=1e-3)


def test_stacks_are_columns_only_where_one_is_special() -> None:
    assert of_stacks(["vllm/cutlass", "", "tgi"], np.array([0, 1, 2])) == {}
    found = of_stacks(["vllm", "trtllm"], np.array([1, 0, 1]))
    assert found["sharing"].tolist() == [32, np.inf, 32]
    assert found["packed"].tolist() == [1, 0, 1]


@given(seed=st.integers(0, 1000), counts=st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_a_mean_of_trees_is_the_mean_and_its_parts_are_its_parts(seed: int, counts: list[int]) -> None:
    rng = np.random.default_rng(seed)

    def stump(offset: float) -> Trees:
        return Trees(
            feature=np.array([0, 0, 0], np.int16), threshold=np.array([rng.normal(), np.inf, np.inf], np.float32),
            left=np.array([1, 1, 2], np.int32), right=np.array([2, 1, 2], np.int32),
            value=np.array([0.0, *rng.normal(size=2)], np.float32), root=np.zeros(1, np.int32), depth=1, offset=offset,
        )  # fmt: skip

    parts = [stump(float(offset)) for offset in rng.normal(size=len(counts))]
    features = rng.normal(size=(50, 1)).astype(np.float32)
    whole = mean_of(parts)
    np.testing.assert_allclose(whole.predict(features), np.mean([one.predict(features) for one in parts], axis=0),
                               atol=1e-6)  # fmt: skip
    for at, one in enumerate(parts):
        np.testing.assert_allclose(part(whole, at, len(parts)).predict(features), one.predict(features), atol=1e-6)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    found = rows_of(APART, read_tables(_table(tmp_path_factory.mktemp("kernels"))))
    assert found is not None
    # each device bends its own way: what no feature tells
    bend = np.array([0.5, -0.5, 0.0, 0.5])[found.device] * np.sin(np.log(found.shapes["m"]))
    return msgspec.structs.replace(found, seconds=found.seconds * np.exp(bend))


def _table(folder: Path) -> Path:
    return write_gemm_table(folder, count=300, noise=0.02)


@pytest.fixture(autouse=True)
def few_trees() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setattr(fit, "ITERATIONS", 25)
        yield


def test_each_known_device_has_its_own_shape_term(rows: Rows) -> None:
    model = fit_family(APART, rows)
    assert error(predict_known(model, rows), rows.seconds).mean < 0.06
    for number, device in enumerate(rows.devices):
        mine = rows.take(rows.device == number)
        others = [one.id for one in rows.devices if one.id != device.id]
        own = error(predict(on_device(model, device.id), mine), mine.seconds).mean
        assert own < min(error(predict(on_device(model, other), mine), mine.seconds).mean for other in others)


def test_a_device_left_out_gets_the_mean_of_the_shape_terms(rows: Rows) -> None:
    model = fit_family(APART, rows.take(np.isin(rows.device, (0, 1))))
    unknown = rows.take(rows.device == 2)
    assert on_device(model, rows.devices[2].id) is model
    bent = [error(predict(of_device(model, rows.devices[n].id), unknown), unknown.seconds).mean for n in (0, 1)]
    assert error(predict(model, unknown), unknown.seconds).mean < 0.7 * min(bent)


def test_a_format_that_a_device_did_not_run_is_not_known_there(rows: Rows) -> None:
    both = Expert("gemm-8", "gemm", (), ("bf16", "fp16"), False, True, by_device=True)
    named = msgspec.structs.replace(
        rows, formats=(format_of("bf16"), format_of("fp16")),
        form=((rows.device == 1) & (np.arange(len(rows)) % 2 == 0)).astype(np.int64),
    )  # fmt: skip
    model = fit_family(both, named)
    assert (measured_on(model, "bf16"), measured_on(model, "fp16"), measured_on(model, "fp8")) == (4, 1, 0)
    known = [(knows(model, d.id, "bf16"), knows(model, d.id, "fp16")) for d in rows.devices]
    assert known == [(True, False), (True, True), (True, False), (True, False)]


def test_a_format_that_no_device_ran_is_known_nowhere(rows: Rows) -> None:
    model = fit_family(APART, rows)
    assert list(model.own) == list(model.devices)
    assert (measured_on(model, "bf16"), measured_on(model, "fp8")) == (4, 0)
    assert [knows(model, "h100-sxm", form) for form in ("bf16", "fp16", "fp8")] == [True, False, False]
