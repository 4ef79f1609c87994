"""Workloads of language models against closed forms, explicit sums and each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codesign.errors import UsageError
from codesign.models import preset_model
from codesign.models.presets import list_presets
from codesign.workload import Collective, Einsum, Lookup, Mesh, Phase, Role, Workload, at, quadrature, shard

LLAMA = preset_model("llama-3.1-8b")


def tensor_flops(phase: Phase, family: str = "") -> Any:
    """Return the FLOP of the tensor unit's operators in groups whose family starts with ``family``."""
    total: Any = 0.0
    for block, group in phase.groups():
        for op in group.ops:
            if isinstance(op, Einsum) and op.compute.unit == "tensor" and group.family.startswith(family):
                total = total + op.flops() * block.repeat
    return total


def traffic(phase: Phase) -> Any:
    internal = phase.internal()
    return sum(group.traffic(internal) * block.repeat for block, group in phase.groups())


def test_prefill_flops_closed_form() -> None:
    # notes on closed forms: linear 2 T (d dh (h + 2 kv) + h dh d + 3 d f), attention 4 h dh (s (s + 1) / 2), head 2 V d
    b, s, d, f, h, kv, size, layers, vocabulary = 4, 1000, 4096, 14336, 32, 8, 128, 32, 128256
    linear = 2 * b * s * (d * size * (h + 2 * kv) + h * size * d + 3 * d * f)
    attention = 4 * h * size * b * s * (s + 1) / 2
    prefill = LLAMA.workload(batch=b, prompt=s).phase("prefill")
    assert tensor_flops(prefill) == pytest.approx(layers * (linear + attention) + 2 * b * vocabulary * d, rel=1e-12)


def test_prefill_over_cached_context_is_the_rest_of_a_longer_prompt() -> None:
    whole = LLAMA.workload(prompt=3000).phase("prefill")
    first = LLAMA.workload(prompt=1000).phase("prefill")
    rest = LLAMA.workload(context=1000, prompt=2000).phase("prefill")
    assert tensor_flops(first, "attention") + tensor_flops(rest, "attention") == pytest.approx(
        tensor_flops(whole, "attention"), rel=1e-12
    )


def test_decode_reads_weights_once_and_the_cache_once_for_all_queries() -> None:
    decode = LLAMA.workload(batch=16, prompt=2000, generate=10).phase("decode")
    moved: dict[Role, float] = {}
    for block, group in decode.groups():
        for t, op, is_write in group.memory_views(decode.internal()):
            if not is_write and isinstance(op, Einsum):
                moved[t.role] = moved.get(t.role, 0.0) + float(t.traffic(op.ranks) * block.repeat)
    embedding = 128256 * 4096
    assert moved[Role.WEIGHT] == 2 * (8030261248 - embedding)
    assert moved[Role.KV] == 16 * 2001 * 131072
    looked_up = [op for _, g in decode.groups() for op in g.ops if isinstance(op, Lookup)]
    assert [op.gathered() for op in looked_up] == [16 * 4096 * 2]


def test_decode_sweep_by_quadrature_equals_the_explicit_sum() -> None:
    sweep = LLAMA.workload(batch=2, prompt=100, generate=33).phase("decode").steps
    assert sweep is not None
    assert (sweep.rank, sweep.start, sweep.count) == ("c", 101, 32)

    def flops(extent: Any) -> Any:
        decode = LLAMA.workload(batch=2, prompt=100, generate=33).phase("decode")
        ops = [(b.repeat, at(op, "c", extent)) for b, g in decode.groups() for op in g.ops]
        return sum(op.flops() * repeat for repeat, op in ops if isinstance(op, Einsum))

    extents, weights = quadrature(sweep)
    assert np.sum(weights * flops(extents)) == pytest.approx(sum(flops(c) for c in range(101, 133)), rel=1e-12)


def test_no_decode_steps_for_one_output_token() -> None:
    workload = LLAMA.workload(prompt=64, generate=1)
    steps = workload.phase("decode").steps
    assert steps is not None
    assert steps.count == 0
    assert workload.units == {"output token": 1, "request": 1}
    assert workload.footprint(Role.KV) == 64 * 131072


@pytest.mark.parametrize("name", ["llama-3.1-8b", "deepseek-v3", "qwen3-30b-a3b", "whisper-small", "bert-base", "dlrm"])
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_arrays_equal_scalars(name: str, mode: str) -> None:
    model = preset_model(name)
    points = {
        "batch": np.array([1, 3, 64, 7]), "prompt": np.array([1, 100, 128, 37]), "generate": np.array([1, 2, 200, 50]),
        "context": np.array([0, 5, 0, 64]),
    }  # fmt: skip
    accepted = {"batch", "prompt"} if mode == "training" else set(model.sizes)
    sizes: dict[str, Any] = {key: value for key, value in points.items() if key in accepted and key in model.sizes}
    whole = model.workload(**sizes, mode=mode)
    for index in range(4):
        scalars: dict[str, Any] = {key: int(value[index]) for key, value in sizes.items()}
        one = model.workload(**scalars, mode=mode)
        for many_phase, phase in zip(whole.phases, one.phases, strict=True):
            np.testing.assert_allclose(_pick(many_phase.flops(), index), float(phase.flops()), rtol=1e-12)
            np.testing.assert_allclose(_pick(traffic(many_phase), index), float(traffic(phase)), rtol=1e-12)
        roles = (Role.WEIGHT, Role.KV)
        np.testing.assert_allclose(_pick(whole.footprint(*roles), index), float(one.footprint(*roles)), rtol=1e-12)


def _pick(value: Any, index: int) -> float:
    return float(np.broadcast_to(value, (4,))[index])


def sharded(workload: Workload, **axes: int) -> Phase:
    return shard(workload, Mesh(axes)).phases[0]


def test_tensor_parallel_divides_work_and_reduces_twice_per_layer() -> None:
    workload = LLAMA.workload(batch=2, prompt=256)
    whole, quarter = workload.phase("prefill"), sharded(workload, tp=4)
    assert tensor_flops(quarter) == pytest.approx(tensor_flops(whole) / 4, rel=1e-12)
    reduces = [(b, op) for b, g in quarter.groups() for op in g.ops if isinstance(op, Collective) and b.name == "layer"]
    assert len(reduces) == 2
    assert {float(op.payload) for _, op in reduces} == {2 * 256 * 4096 * 2.0}
    # eight key-value heads on sixteen devices: each keeps one, so the cache is held twice over
    narrow = shard(workload, Mesh({"tp": 16})).footprint(Role.KV)
    assert narrow == workload.footprint(Role.KV) / 8


@pytest.mark.parametrize("name", ["mixtral-8x7b", "qwen3-30b-a3b", "deepseek-v3"])
def test_experts_reduce_once_after_the_combine(name: str) -> None:
    model = preset_model(name)
    workload = model.workload(batch=2, prompt=64)
    phase = sharded(workload, tp=2)
    layer = next(block for block in phase.blocks if block.name == "layer")
    payloads = [float(op.payload) for g in layer.groups for op in g.ops if isinstance(op, Collective)]
    width = float(model.figures.width)  # type: ignore[union-attr]
    # one after attention, one after the combine: engines add the shared expert's part before they reduce
    assert payloads == [2 * 64 * width * 2.0] * 2
    half = shard(workload, Mesh({"ep": 2})).phases[0]
    experts = [g for b in half.blocks for g in b.groups if g.family == "moe"]
    before = [g for b in workload.phases[0].blocks for g in b.groups if g.family == "moe"]
    assert experts[0].flops() == pytest.approx(before[0].flops() / 2, rel=1e-12)
    exchanged = [op for b in half.blocks for g in b.groups for op in g.ops if isinstance(op, Collective)]
    assert [op.kind for op in exchanged] == ["all_to_all"] * 2
    top = {"mixtral-8x7b": 2}.get(name, 8)
    assert {float(op.payload) for op in exchanged} == {2 * 64 * top * width * 2.0}


@pytest.mark.parametrize("name", list_presets())
def test_one_producer_and_no_dangling_input(name: str) -> None:
    """Every activation that is read is made earlier, or is an input of the model or a cache."""
    outside = {"image", "mel", "latent", "text", "bottom.input", "time.wave"}
    for phase in preset_model(name).workload().phases:
        made = set(outside) | ({"audio.n"} if phase.name != "encode" else set())
        for _, group in phase.groups():
            for op in group.ops:
                inputs = op.inputs if isinstance(op, Einsum) else ()
                missing = [t.name for t in inputs if t.role is Role.ACTIVATION and t.name not in made]
                assert not missing, f"{name} {phase.name} {group.name}: {missing}"
                output = getattr(op, "output", None)
                made |= {output.name} if output is not None else set()


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"batch": 0}, "batch"),
        ({"batch": -3}, "batch"),
        ({"batch": 1.5}, "batch"),
        ({"batch": "many"}, "batch"),
        ({"batch": float("nan")}, "batch"),
        ({"batch": 10**12}, "batch"),
        ({"prompt": np.array([5, 0])}, "prompt"),
        ({"prompt": 131072, "generate": 2}, "131,072"),
        ({"steps": 4}, "steps"),
        ({"mode": "dreaming"}, "mode"),
        ({"dtype": "bf61"}, "bf16"),
        ({"kv_dtype": "fp9"}, "fp8"),
    ],
)
def test_bad_sizes_are_refused(sizes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        LLAMA.workload(**sizes)


def test_precision_of_quantised_layers() -> None:
    matrices = 32 * (4096 * 128 * (32 + 16) + 4096 * 4096 + 3 * 4096 * 14336)
    plain = 8030261248 - matrices
    for dtype, bits, compute in (("fp8", 8, "fp8"), ("int4", 4.25, "bf16"), ("nvfp4", 4.5, "nvfp4")):
        workload = LLAMA.workload(dtype=dtype)
        assert workload.footprint(Role.WEIGHT) == matrices * bits / 8 + plain * 2
        used = {op.compute.dtype for _, g in workload.phase("decode").groups() if g.name == "down" for op in g.ops
                if isinstance(op, Einsum)}  # fmt: skip
        assert used == {compute}
