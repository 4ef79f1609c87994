"""Hard cases built from data and edits only, against figures computed by hand.

A case that needs a new Python class is a design bug: each is at most 40 lines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codesign.workload import (
    Axis,
    Block,
    Collective,
    Einsum,
    Group,
    Lookup,
    Mesh,
    Phase,
    Role,
    Sweep,
    Tensor,
    Transfer,
    Workload,
    axes,
    differentiate,
    peak_memory,
    quadrature,
    shard,
    tensor,
    vector,
)
from codesign.workload.edits import by_name, by_role, map_ops, merge, move, overlap, recompute, retype, scale, split
from codesign.workload.sweep import at


def attention(b: Any, kv: int, g: int, s: Any, c: Any, d: int, density: Any = 1) -> Group:
    ranks = {"b": b, "kv": kv, "g": g, "s": s, "c": c, "d": d}
    q, k, v = tensor("q", "b s kv g d"), tensor("k", "b kv c d", Role.KV), tensor("v", "b kv c d", Role.KV)
    scores = tensor("scores", "b kv g s c", bits=32)
    weights = tensor("weights", "b kv g s c", bits=32)
    plain = {rank: ranks[rank] for rank in ("b", "kv", "g", "s", "c")}
    return Group(
        "attention",
        (
            Einsum("qk", ranks, (q, k), scores, density=density),
            Einsum("softmax", plain, (scores,), weights, vector(flops=5), density),
            Einsum("pv", ranks, (weights, v), tensor("o", "b s kv g d"), density=density),
        ),
        "attention_decode",
    )


def ops_of(group: Group) -> list[Any]:
    return list(group.ops)


def views_of(group: Group) -> list[Any]:
    return list(group.memory_views())


def single(*groups: Group, steps: Sweep | None = None, repeat: int = 1, name: str = "forward") -> Workload:
    return Workload("case", (Phase(name, (Block("layer", groups, repeat),), steps),))


def gemm(name: str, m: Any, n: Any, k: Any, weight: str = "w", source: str = "x", out: str = "y") -> Group:
    ranks = {"m": m, "n": n, "k": k}
    op = Einsum(name, ranks, (tensor(source, "m k"), tensor(weight, "k n", Role.WEIGHT)), tensor(out, "m n"))
    return Group(name, (op,), "gemm")


def test_grouped_query_decode_sweep() -> None:
    steps = Sweep("c", 1025, 16)
    group = attention(2, 8, 4, 1, 1025, 128)
    contexts, weights = quadrature(steps)
    grown = Group(group.name, tuple(at(op, "c", contexts) for op in group.ops), group.family)
    matmuls = sum(op.flops() for op in ops_of(grown) if op.name != "softmax")
    explicit = range(1025, 1041)
    assert np.sum(weights * matmuls) == pytest.approx(sum(4 * 2 * 32 * 128 * c for c in explicit), rel=1e-12)
    moved = np.sum(weights * grown.traffic(frozenset({"scores", "weights"})))
    query_and_output = 16 * 2 * 2 * 32 * 128 * 2
    assert moved == pytest.approx(sum(2 * 2 * 8 * c * 128 * 2 for c in explicit) + query_and_output, rel=1e-12)
    assert single(group, steps=steps).footprint(Role.KV) == 2 * 2 * 8 * 1040 * 128 * 2


def test_latent_attention_absorbed_and_naive() -> None:
    b, h, c, r, p, d = 4, 128, 4096, 512, 64, 128
    latent, rope = tensor("ckv", "b c r", Role.KV), tensor("kpe", "b c p", Role.KV)
    scores = tensor("scores", "b h c", bits=32)
    absorbed = Group(
        "mla",
        (
            Einsum("q_latent", {"b": b, "h": h, "c": c, "r": r}, (tensor("ql", "b h r"), latent), scores),
            Einsum("q_rope", {"b": b, "h": h, "c": c, "p": p}, (tensor("qp", "b h p"), rope), scores),
            Einsum("pv", {"b": b, "h": h, "c": c, "r": r}, (scores, latent), tensor("o", "b h r")),
        ),
    )
    assert absorbed.flops() == 2 * b * h * c * (512 + 64 + 512)
    assert absorbed.traffic(frozenset({"scores"})) == 2 * (b * c * 576 + b * h * (512 + 64 + 512))
    up = tensor("wuk", "r h d", Role.WEIGHT)
    naive = Group(
        "mla_naive",
        (
            Einsum("expand", {"b": b, "h": h, "c": c, "r": r, "d": d}, (latent, up), tensor("k", "b h c d")),
            Einsum("qk", {"b": b, "h": h, "c": c, "d": d}, (tensor("q", "b h d"), tensor("k", "b h c d")), scores),
        ),
    )
    assert naive.flops() == 2 * b * h * c * d * (512 + 1)
    assert single(absorbed).footprint(Role.KV) == single(naive).footprint(Role.KV) + 2 * b * c * 64


def test_top_k_experts_with_all_to_all() -> None:
    tokens, top, experts, width, hidden = 256, 8, 128, 2048, 768
    rows = tokens * top / experts
    active = experts * (1 - (1 - top / experts) ** tokens)
    weight = Tensor("w1", axes("e dm f"), Role.WEIGHT, 16, touched=active / experts)
    ranks = {"e": experts, "m": rows, "dm": width, "f": hidden}
    experts_group = Group(
        "experts", (Einsum("up", ranks, (tensor("xe", "e m dm"), weight), tensor("h", "e m f")),), "moe"
    )
    dispatch = Group("dispatch", (Collective("dispatch", "all_to_all", tokens * top * width * 2, "ep"),), "collective")
    one = single(dispatch, experts_group)
    local = shard(one, Mesh({"ep": 8}))
    assert one.phases[0].flops() == 2 * tokens * top * width * hidden
    assert local.phases[0].flops() == one.phases[0].flops() / 8
    assert local.footprint(Role.WEIGHT) == 128 / 8 * 2048 * 768 * 2
    moved = {t.name: t.traffic(op.ranks) for t, op, _ in views_of(local.phases[0].blocks[0].groups[1])}
    assert moved["w1"] == pytest.approx(active / 8 * 2048 * 768 * 2)
    assert [g.name for _, g in shard(one, Mesh({"ep": 1})).phases[0].groups()] == ["experts"]


def test_sliding_window_with_sink() -> None:
    s, window, sink = 4096, 1024, 4
    seen = [min(i + 1, window + sink) for i in range(s)]
    prefill = attention(1, 8, 4, s, s, 128, density=sum(seen) / s**2)
    closed = (window + sink) * s - (window + sink) * (window + sink - 1) / 2
    matmuls = [op for op in ops_of(prefill) if op.name != "softmax"]
    assert sum(op.flops() for op in matmuls) == pytest.approx(4 * 32 * 128 * closed, rel=1e-12)
    decode = single(attention(1, 8, 4, 1, s, 128))
    windowed = scale(decode, "stored", by_role(Role.KV), (window + sink) / s)
    assert windowed.footprint(Role.KV) == pytest.approx(2 * 8 * 1028 * 128 * 2)


def test_kivi_two_bits_with_full_precision_residual() -> None:
    # Llama-2-7B, batch 96, 498 tokens, group 32, residual 128: KV 25.07 -> ~9.9 GB with weights apart
    batch, tokens, residual, layers = 96, 498, 128, 32
    cache = single(attention(batch, 32, 1, 1, tokens, 128), repeat=layers)
    bits = (2 + 2 * 16 / 32) * (tokens - residual) / tokens + 16 * residual / tokens
    quantized = retype(cache, by_role(Role.KV), bits)
    assert cache.footprint(Role.KV) == 2 * layers * batch * tokens * 4096 * 2
    by_hand = 2 * layers * batch * 4096 * ((tokens - residual) * 3 + residual * 16) / 8
    assert quantized.footprint(Role.KV) == pytest.approx(by_hand)
    assert quantized.phases[0].flops() == cache.phases[0].flops()


def test_per_layer_mixed_bits() -> None:
    layers = tuple(Block(f"layer{i}", (gemm("mlp", 64, 4096, 1024, weight=f"w{i}"),)) for i in range(4))
    base = Workload("mixed", (Phase("forward", layers),))
    mixed = retype(retype(base, by_name("w0", "w3"), 8), by_name("w1", "w2"), np.array([4.5, 2.25]))
    per_layer = 4096 * 1024
    np.testing.assert_allclose(mixed.footprint(Role.WEIGHT), per_layer * (2 * 8 + 2 * np.array([4.5, 2.25])) / 8)
    assert mixed.elements(Role.WEIGHT) == 4 * per_layer


def test_weight_offload_with_hit_rate() -> None:
    base = single(gemm("mlp", 8, 11008, 4096), repeat=32)
    offloaded = move(base, by_role(Role.WEIGHT), "host", hit_rate=0.75)
    weights = 11008 * 4096 * 2
    loads = [op for _, g in offloaded.phases[0].groups() for op in g.ops if isinstance(op, Transfer)]
    assert [op.payload for op in loads] == [0.25 * weights]
    assert offloaded.footprint(Role.WEIGHT) == 0
    assert offloaded.footprint(Role.WEIGHT, tier="host") == 32 * weights
    assert offloaded.phases[0].flops() == base.phases[0].flops()


@pytest.mark.parametrize(("groups", "channels", "filters"), [(1, 3, 64), (32, 4, 8)])
def test_strided_grouped_padded_convolution(groups: int, channels: int, filters: int) -> None:
    # 224 x 224 input, 7 x 7 kernel, stride 2, padding 3: 112 x 112 output
    ranks = {"b": 2, "gr": groups, "co": filters, "ci": channels, "p": 112, "q": 112, "r": 7, "t": 7}
    image = Tensor(
        "x",
        (
            *axes("b gr ci"),
            Axis((("p", 2), ("r", 1)), offset=-3, size=224),
            Axis((("q", 2), ("t", 1)), offset=-3, size=224),
        ),
    )
    weight = tensor("w", "gr co ci r t", Role.WEIGHT)
    conv = Group("conv", (Einsum("conv", ranks, (image, weight), tensor("y", "b gr co p q")),), "conv")
    assert conv.flops() == 2 * 2 * 112**2 * (groups * filters) * channels * 49
    by_hand = 2 * groups * channels * 224**2 + groups * filters * channels * 49 + 2 * groups * filters * 112**2
    assert conv.traffic() == 2 * by_hand
    assert single(conv).elements(Role.WEIGHT) == groups * filters * channels * 49


def test_selective_state_space_scan() -> None:
    b, s, inner, n = 2, 1024, 5120, 16
    ranks = {"b": b, "s": s, "i": inner, "n": n}
    state = tensor("h", "b i n", Role.STATE, 32)
    inputs = (tensor("x", "b s i"), tensor("dt", "b s i"), tensor("B", "b s n"), tensor("C", "b s n"), state)
    scan = Group("scan", (Einsum("scan", ranks, inputs, tensor("y", "b s i"), vector(flops=7)),), "scan")
    assert scan.flops() == 7 * b * s * inner * n
    assert scan.traffic() == 2 * (3 * b * s * inner + 2 * b * s * n) + 4 * b * inner * n
    assert single(scan).footprint(Role.STATE) == 4 * b * inner * n  # does not grow with the sequence


def test_pipelined_training_step_with_recompute() -> None:
    layers, stages, micro, m, d = 32, 4, 8, 2048, 4096
    groups = (gemm("up", m, 4 * d, d, "w1", "x", "h"), gemm("down", m, d, 4 * d, "w2", "h", "x"))
    stage = differentiate(Workload("gpt", (Phase("forward", (Block("layer", groups, layers // stages),)),)))
    forward = 2 * 2 * m * 4 * d * d * layers // stages
    assert stage.phase("backward").flops() == 2 * forward
    checkpointed = recompute(stage)
    assert checkpointed.phase("backward").flops() == 3 * forward
    weights = 8 * d * d * layers // stages
    assert stage.footprint(Role.WEIGHT, Role.GRADIENT, Role.OPTIMIZER) == weights * (2 + 2 + 12)
    one_input = m * d * 2
    kept = peak_memory(checkpointed) - peak_memory(
        recompute(differentiate(Workload("gpt", (Phase("forward", (Block("layer", groups, 2),)),))))
    )
    # six more layers keep their weights, gradients, moments, and one block input each
    assert kept == (layers // stages - 2) * (8 * d * d * 16 + one_input)
    # 1F1B: (micro + stages - 1) slots of the slowest stage, and at most `stages` microbatches in flight
    assert (micro + stages - 1) * (forward * 4) == 11 * 4 * forward


def test_all_reduce_overlapped_with_gemm() -> None:
    local = shard(
        single(gemm("down", 512, 4096, 14336), gemm("up", 512, 14336, 4096, "w2", "y", "z")),
        Mesh({"tp": 8}),
        {"tp": (("k",),)},
    )
    names = [g.name for _, g in local.phases[0].groups()]
    assert names == ["down", "down.all_reduce", "up", "up.all_reduce"]
    payloads = [op.payload for _, g in local.phases[0].groups() for op in g.ops if isinstance(op, Collective)]
    assert payloads == [512 * 4096 * 2, 512 * 14336 * 2]
    beside = overlap(local, frozenset({"down.all_reduce"}), "network")
    assert [g.stream for _, g in beside.phases[0].groups()] == ["main", "network", "main", "main"]
    assert beside.phases[0].flops() == 2 * 512 * 4096 * 14336 * 2 / 8


def test_one_pass_attention_cascade() -> None:
    fused = attention(1, 8, 4, 1024, 1024, 128)
    parts = single(*(Group(op.name, (op,)) for op in fused.ops))
    one_pass = merge(parts, ["qk", "softmax", "pv"], "attention")
    traffic = [sum(g.traffic(w.phases[0].internal()) for _, g in w.phases[0].groups()) for w in (parts, one_pass)]
    query_key_value_output = 2 * (2 * 32 * 1024 * 128 + 2 * 8 * 1024 * 128)
    score = 4 * 32 * 1024 * 1024
    assert traffic == [query_key_value_output + 4 * score, query_key_value_output]
    assert parts.phases[0].flops() == one_pass.phases[0].flops()


def test_uneven_tiles_with_a_remainder() -> None:
    base = single(gemm("fc", 10, 64, 32))
    tiled = split(base, "fc", "m", 4)
    assert [ops_of(g)[0].ranks["m"] for _, g in tiled.phases[0].groups()] == [4, 4, 2]
    assert tiled.phases[0].flops() == base.phases[0].flops()
    moved = sum(g.traffic() for _, g in tiled.phases[0].groups())
    assert moved == 2 * (10 * 32 + 10 * 64 + 3 * 32 * 64)


def test_embedding_lookup_moves_only_its_rows() -> None:
    table = tensor("embedding", "v dm", Role.WEIGHT)
    lookup = Lookup("embed", {"v": 128256, "dm": 4096, "b": 4, "s": 7}, table, 28, tensor("x", "b s dm"))
    case = single(Group("embed", (lookup,), "embedding"))
    assert next(iter(case.phases[0].groups()))[1].traffic() == 2 * 2 * 28 * 4096
    assert case.elements(Role.WEIGHT) == 128256 * 4096


@pytest.mark.parametrize("degree", [1, 2, 8, 16, 32])
def test_sharding_replicates_keys_when_heads_run_out(degree: int) -> None:
    whole = single(attention(1, 8, 4, 1, 1000, 128))
    local = shard(whole, Mesh({"tp": degree}))
    heads = -(-8 // degree) if degree <= 8 else 1
    assert local.footprint(Role.KV) == 2 * heads * 1000 * 128 * 2
    assert local.phases[0].flops() * degree == whole.phases[0].flops()


def test_edits_on_different_slots_commute() -> None:
    base = single(attention(4, 8, 4, 1, 2048, 128))
    kv = by_role(Role.KV)
    one = scale(retype(base, kv, 4.5), "stored", kv, 0.5)
    other = retype(scale(base, "stored", kv, 0.5), kv, 4.5)
    assert one.footprint(Role.KV) == other.footprint(Role.KV) == base.footprint(Role.KV) * 0.5 * 4.5 / 16
    untouched = map_ops(base, lambda op: op)
    assert untouched.phases[0].flops() == base.phases[0].flops()
