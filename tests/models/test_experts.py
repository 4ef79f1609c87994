"""Expected share of experts touched, against simulation and exact enumeration."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from codesign.models import preset_model
from codesign.models.experts import touched
from codesign.models.figures import Experts
from codesign.workload import Einsum, Role, op_ranks


def test_exact_enumeration_of_small_routers() -> None:
    for count, top, tokens in ((4, 2, 1), (4, 2, 2), (4, 2, 3), (5, 1, 3), (3, 3, 2)):
        picks = list(combinations(range(count), top))
        shares = [len(set().union(*chosen)) / count for chosen in product(picks, repeat=tokens)]
        experts = Experts(count=count, per_token=top, width=1)
        assert touched(experts, tokens) == pytest.approx(np.mean(shares), rel=1e-12)


def test_simulation_of_a_large_router() -> None:
    random = np.random.Generator(np.random.Philox(7))
    scores = random.random((400, 16, 128))
    chosen = np.argsort(scores, axis=2)[:, :, :8]
    visited = np.zeros((400, 128), dtype=bool)
    np.put_along_axis(visited, chosen.reshape(400, -1), True, axis=1)
    expected = touched(Experts(count=128, per_token=8, width=1), 16)
    assert visited.mean() == pytest.approx(expected, rel=0.01)


def test_weights_read_grow_with_tokens_and_stay_stored() -> None:
    model = preset_model("mixtral-8x7b")
    batches = np.array([1, 2, 8, 1000])
    decode = model.workload(batch=batches, prompt=16, generate=2).phase("decode")
    (group,) = [g for b, g in decode.groups() if g.family == "moe"]
    read: Any = sum(t.traffic(op_ranks(op)) for t, op, _ in group.memory_views() if t.role is Role.WEIGHT)
    stored = 3 * 8 * 4096 * 14336 * 2
    np.testing.assert_allclose(read, stored * (1 - 0.75**batches), rtol=1e-12)
    assert read[0] == pytest.approx(stored / 4)
    work = np.asarray(group.flops())
    np.testing.assert_allclose(work / batches, work[0], rtol=1e-12)


def test_formats_of_four_bits_leave_out_what_public_checkpoints_leave_out() -> None:
    model = preset_model("deepseek-v3")

    def held(dtype: str) -> dict[str, tuple[float, str]]:
        decode = model.workload(batch=1, prompt=16, generate=2, dtype=dtype).phase("decode")
        return {
            f"{block.name} {group.name}": (float(np.mean(op.inputs[1].bits)), op.compute.dtype)
            for block, group in decode.groups()
            for op in group.ops
            if isinstance(op, Einsum) and op.compute.unit == "tensor" and op.inputs[1].role is Role.WEIGHT
        }

    attention = [f"{block} {name}" for block in ("dense", "layer") for name in ("latent_down", "query_up", "output")]
    mlps = ["dense gate_up", "dense down", "layer shared.gate_up", "layer shared.down"]
    plain = (16.0, "bf16")
    for dtype, routed in (("nvfp4", (4.5, "nvfp4")), ("mxfp4", (4.25, "mxfp4")), ("int4", (4.25, "bf16"))):
        found = held(dtype)
        assert found["layer experts"] == routed
        assert {found[name] for name in attention} == {plain}
        assert {found[name] for name in mlps} == {routed if dtype == "nvfp4" else plain}
    found = held("fp8")
    assert {found[name] for name in ("layer experts", *attention, *mlps)} == {(8.0, "fp8")}
    assert {found["layer router"], found["head head"]} == {plain}, "stay plain beside any format"


def test_a_mixture_gathers_its_rows_in_the_kernel_of_its_experts() -> None:
    decode = preset_model("mixtral-8x7b").workload(batch=64, prompt=16, generate=2).phase("decode")
    (group,) = [g for _, g in decode.groups() if g.family == "moe"]
    moved: Any = sum(
        t.traffic(op_ranks(op)) for t, op, write in group.memory_views() if t.role is not Role.WEIGHT and not write
    )
    assert float(np.mean(moved)) == 64 * 4096 * 2, "every token is read once, however many experts it visits"
