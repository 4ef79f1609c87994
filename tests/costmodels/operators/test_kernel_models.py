"""Groups of a workload priced by fitted operators: what they take, what bounds them, and what keeps closed forms."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels import size_grid
from codesign.costmodels.factors import LABELS, F
from codesign.costmodels.kernel_models import STREAMED, KernelTime, kernel_times
from codesign.costmodels.latency import group_cost
from codesign.costmodels.machine import machine
from codesign.costmodels.operators import physics
from codesign.costmodels.operators.cost_models import cost_model
from codesign.costmodels.operators.device import Columns, device_of
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.lookup import served_by, shipped_model
from codesign.costmodels.operators.tables import UNDERCUT, Rows
from codesign.costmodels.work import GroupWork, group_work, phase_work
from codesign.models import load_model
from codesign.quantity import Method
from codesign.targets import Calibration, OperatorCalibration, Target, load_target
from codesign.workload.einsum import Compute, Einsum, Extent, Role, tensor, vector
from codesign.workload.graph import Group

H100 = load_target("h100-sxm")


def product(m: Extent, n: int = 4096, k: Extent = 4096, bits: float = 16, batch: int = 1, dtype: str = "bf16") -> Group:
    ranks = {"b": batch, "m": m, "n": n, "k": k} if batch > 1 else {"m": m, "n": n, "k": k}
    b = "b " if batch > 1 else ""
    inputs = (tensor("x", f"{b}m k"), tensor("w", f"{b}k n", Role.WEIGHT, bits))
    return Group("up", (Einsum("up", ranks, inputs, tensor("y", f"{b}m n"), Compute("tensor", dtype)),), "gemm")


def work(group: Group) -> GroupWork:
    return group_work(group, 1, frozenset())


def time(group: Group, target: Target = H100) -> KernelTime:
    (found,) = kernel_times([work(group)], machine(target))
    assert found is not None
    return found


def one_product(m: float, side: float, target: Target) -> Rows:
    """Return one product in bf16 as measured, of the quickest software."""
    model = served_by(shipped_model(trees=False), "gemm", "bf16", target).model
    zero = np.zeros(1, np.int64)
    sizes = {"batch": np.ones(1), "m": np.full(1, m), "n": np.full(1, side), "k": np.full(1, side)}
    return Rows("gemm", sizes, (device_of(target),), zero, (format_of("bf16"),), zero, (model.quickest_stack("bf16"),),
                zero, np.ones(1), np.zeros(1, bool), {})  # fmt: skip


def experts_of(dtype: str, tokens: int) -> GroupWork:
    """Return the experts of one layer of a mixture in a decode step."""
    asked = {"batch": tokens, "prompt": 64, "generate": 2}
    decode = load_model("qwen3-30b-a3b").workload(**asked, dtype=dtype, kv_dtype=None).phase("decode")
    return next(group for group in phase_work(decode).groups if group.family == "moe")


def test_experts_in_narrow_formats_are_those_of_engines_until_they_are_measured() -> None:
    assert kernel_times([experts_of("fp8", 8)], machine(H100)) == [None], "the closed form streams their weights"
    assert kernel_times([experts_of("bf16", 8)], machine(H100)) != [None]
    entry = OperatorCalibration("moe-narrow-fp8", (0.1,) * 8, 0.0, 0.2, 32, "a test")
    measured = msgspec.structs.replace(H100, operators=(entry,))
    assert kernel_times([experts_of("fp8", 8)], machine(measured)) != [None]
    for tokens in (1, 16, 256):
        work = experts_of("fp8", tokens)
        here = machine(H100)
        curve = here.efficiency("moe", work.compute[0][0])
        seconds = float(np.mean(group_cost(work, here, {}).seconds))
        streamed = float(np.mean(np.asarray(work.lasting))) / (here.bandwidth * curve.memory)
        assert curve.floor + streamed <= seconds <= curve.floor + 1.2 * streamed + 5e-6


def test_experts_in_fp8_are_slower_where_matrix_units_apply_other_scales() -> None:
    """DeepSeek's blocks of 128 numbers have a scale each: Blackwell's units take 32, Hopper's none at all."""
    shares = {}
    for target in ("h100-sxm", "b200-sxm"):
        here = machine(load_target(target))
        narrow, wide = (here.efficiency("moe", experts_of(dtype, 8).compute[0][0]) for dtype in ("fp8", "bf16"))
        shares[target] = narrow.rate
        assert narrow.rate < wide.rate
    assert shares["b200-sxm"] < shares["h100-sxm"]


@pytest.mark.parametrize("m", [1, 16, 64, 512, 4096])
def test_a_product_takes_what_its_model_says_and_its_weights_at_least(m: int) -> None:
    said = float(cost_model("network").predict(one_product(float(m), 4096.0, H100), (H100,)).seconds[0])
    found = time(product(m))
    cold = float(found.floor) + 2 * 4096 * 4096 / H100.memory_bandwidth
    assert float(found.seconds) == pytest.approx(max(said, cold), rel=1e-9)
    assert 0.0 < float(found.floor) < float(found.seconds)
    assert found.own > 0.0


def test_weights_come_from_memory_even_where_a_cache_could_hold_them() -> None:
    """Tables time a kernel again and again: 8 MiB of weights stay in a cache of 96 MB there, and in a model do not."""
    l40s = load_target("l40s")
    found = time(product(1, 2048, 2048), l40s)
    warm = float(cost_model("network").predict(one_product(1.0, 2048.0, l40s), (l40s,)).seconds[0])
    cold = 2 * 2048 * 2048 / (STREAMED * l40s.memory_bandwidth)
    assert warm - float(found.floor) < 0.9 * cold
    assert float(found.seconds - found.floor) == pytest.approx(cold, rel=1e-9)


ROWS = st.lists(st.integers(1, 20_000), min_size=1, max_size=8)


@given(rows=ROWS)
@settings(max_examples=30)
def test_an_array_is_its_scalars_and_rises(rows: list[int]) -> None:
    together = np.broadcast_to(time(product(np.array(rows, np.float64))).seconds, len(rows))
    alone = [float(time(product(m)).seconds) for m in rows]
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert np.all(np.diff(np.array(alone)[np.argsort(rows)]) >= -1e-15)


@given(sizes=st.lists(st.tuples(st.integers(1, 9_000), st.sampled_from([64, 100, 777, 4096])), min_size=2, max_size=8))
@settings(max_examples=20)
def test_sizes_that_no_grid_holds_may_vary_too(sizes: list[tuple[int, int]]) -> None:
    """A backward product sums over the tokens: its depth varies with the batch."""
    m, k = np.array(sizes, np.float64).T
    together = np.broadcast_to(time(product(m, k=k)).seconds, len(sizes))
    alone = [float(time(product(rows, k=depth)).seconds) for rows, depth in sizes]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_many_cells_are_sorted_and_few_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, depths = np.array([3.0, 17.5, 900.0]), np.array([64.0, 100.0, 64.0])
    found = []
    for largest in (size_grid.LARGEST_TABLE, 0):
        monkeypatch.setattr(size_grid, "LARGEST_TABLE", largest)
        points = size_grid.on_grid({"m": rows, "k": depths, "n": 8.0}, ("m",))
        assert len(points.nodes["m"]) <= 6, "two beside each"
        found.append(np.stack([np.broadcast_to(points.at(points.nodes[name]), 3) for name in ("m", "k", "n")]))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], [rows, depths, np.full(3, 8.0)])


@given(
    m=st.integers(1, 20_000), n=st.integers(64, 20_000), k=st.integers(64, 20_000),
    dtype=st.sampled_from(["bf16", "fp8", "fp32", "int8"]),
)  # fmt: skip
@settings(max_examples=40)
def test_no_kernel_is_faster_than_physics(m: int, n: int, k: int, dtype: str) -> None:
    group = product(m, n, k, {"fp32": 32, "fp8": 8, "int8": 8}.get(dtype, 16), dtype=dtype)
    (found,) = kernel_times([work(group)], machine(H100))
    if found is None:
        assert dtype == "int8", "measured on one device, which this is not"
        return
    sizes = {"batch": np.ones(1), "m": np.full(1, float(m)), "n": np.full(1, float(n)), "k": np.full(1, float(k))}
    on = Columns.single(device_of(H100), format_of(dtype))
    least = float(physics.least(FAMILIES["gemm"].work(sizes, on), on)[0])
    assert float(found.seconds) >= 0.99 * least / UNDERCUT, "a point between those of the grid is off by less"


def test_groups_do_not_see_each_other() -> None:
    groups = [product(7), product(3000, 512), product(64, bits=8, dtype="fp8")]
    together = kernel_times([work(group) for group in groups], machine(H100))
    for group, found in zip(groups, together, strict=True):
        assert found is not None
        assert float(found.seconds) == pytest.approx(float(time(group).seconds), rel=1e-12)


def elementwise(length: int) -> Group:
    op = Einsum("add", {"r": 64, "l": length}, (tensor("x", "r l"),), tensor("y", "r l"), vector(flops=1.0))
    return Group("add", (op,))


def with_models(*names: str) -> Target:
    entries = tuple(OperatorCalibration(name, (0.3,) * 7, 0.0, 0.1, 9, "a test") for name in names)
    return msgspec.structs.replace(H100, operators=entries)


CLOSED: dict[str, tuple[Group, Target]] = {
    "an accelerator whose kernels nobody measured": (product(64), load_target("gaudi3")),
    "a processor": (product(64), load_target("xeon-8480")),
    "a vector operator": (elementwise(4096), H100),
    "a batch of products in 16 bit": (product(64, batch=4), H100),
    "bits that no format has": (product(64, bits=3), H100),
}


@pytest.mark.parametrize("what", sorted(CLOSED))
def test_what_keeps_its_closed_form(what: str) -> None:
    group, target = CLOSED[what]
    assert kernel_times([work(group)], machine(target)) == [None]


def test_calibrated_models_serve_what_was_measured_here() -> None:
    assert time(elementwise(2**16), with_models("vector-32")).seconds > 0.0
    batched = time(product(64, batch=4), with_models("gemm-16"))
    plain = time(product(64), with_models("gemm-16"))
    # four products are at most four launches, and at least their weights
    assert 4 * 2 * 4096 * 4096 / H100.memory_bandwidth <= float(batched.seconds) <= 4.0 * float(plain.seconds)


def test_half_the_bits_are_less_time_and_the_floor_stays() -> None:
    """Bits near those of a format scale what lies above the floor by the roofline."""
    whole, fewer = (time(product(8, 8192, 8192, bits)) for bits in (16, 14.5))
    assert float(fewer.floor) == float(whole.floor)
    assert float(whole.floor) < float(fewer.seconds) < float(whole.seconds)
    beyond = [float(one.seconds - one.floor) for one in (fewer, whole)]
    assert beyond[0] / beyond[1] == pytest.approx(14.5 / 16, rel=0.02)


def test_factors_of_whole_models_move_what_was_fitted() -> None:
    large = work(product(8192, 8192, 8192))
    (fitted,) = kernel_times([large], machine(H100))
    before = group_cost(large, machine(H100), {}, fitted)
    assert float(before.seconds) == pytest.approx(float(fitted.seconds if fitted else 0.0), rel=1e-9)
    for factor, moved in ((F.MATRIX, 1.5), (F.BANDWIDTH, 1.0)):
        slower = msgspec.structs.replace(
            H100, calibration=(Calibration(LABELS[factor], 1.5, 0.05, Method.CALIBRATED, "a test"),)
        )
        (again,) = kernel_times([large], machine(slower))
        after: Any = group_cost(large, machine(slower), {}, again)
        assert float(after.seconds / before.seconds) == pytest.approx(moved, rel=0.02), factor.name
        parts = sum(np.sum(part) for part in after.parts.values())
        assert parts == pytest.approx(float(after.seconds), rel=1e-9)


def test_prompts_on_cached_tokens_take_what_their_work_says() -> None:
    """Tables hold no prompt that continues a cached one: what it takes lies between less and more work of its kind."""

    def prompt(new: int, cached: int) -> float:
        ranks = {"b": 1, "s": new, "c": new + cached, "kv": 8, "g": 4, "k": 128}
        density = (new * cached + new * (new + 1) / 2) / (new * (new + cached))
        scores, mixed = tensor("scores", "b kv g s c"), tensor("mixed", "b s kv g k")
        pair = (tensor("q", "b s kv g k"), tensor("keys", "b c kv k", Role.KV))
        ops = (
            Einsum("scores", ranks, pair, scores, density=density),
            Einsum("values", ranks, (scores, tensor("values", "b c kv k", Role.KV)), mixed, density=density),
        )
        (found,) = kernel_times(
            [group_work(Group("attention", ops, "attention_prefill"), 1, frozenset({"scores"}))], machine(H100)
        )
        assert found is not None
        return float(found.seconds)

    whole, first, continued = prompt(4096, 0), prompt(2048, 0), prompt(2048, 2048)
    assert first < continued < whole
    assert first + continued == pytest.approx(whole, rel=0.3), "two chunks do the work of the whole"
