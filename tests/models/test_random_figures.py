"""Any decoder, not just the shipped ones: workload and torch module agree on parameters, FLOP and cache."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codesign.models import ArchitectureModel
from codesign.models.figures import Decoder, Experts, Latent, Preset, Published, check
from codesign.workload import Einsum, Mesh, Role, shard

pytest.importorskip("torch")


@st.composite
def decoders(draw: st.DrawFn) -> Decoder:
    kv_heads = draw(st.sampled_from([1, 2, 3]))
    latent = None
    head_size = draw(st.sampled_from([8, 16]))
    if draw(st.booleans()):
        latent = Latent(query_rank=12, kv_rank=draw(st.sampled_from([8, 20])), rope_size=4, plain_size=8, value_size=6)
        head_size = 12
    experts, layers = None, draw(st.integers(1, 3))
    if draw(st.booleans()):
        count = draw(st.sampled_from([4, 8]))
        experts = Experts(
            count=count,
            per_token=draw(st.integers(1, count)),
            width=draw(st.sampled_from([16, 24])),
            shared=draw(st.integers(0, 2)),
            dense_layers=draw(st.integers(0, layers)),
            scoring=draw(st.sampled_from(["softmax", "sigmoid"])),
        )
    gated = experts is not None or draw(st.booleans())
    return Decoder(
        layers=layers,
        width=draw(st.sampled_from([32, 48])),
        heads=kv_heads * draw(st.integers(1, 3)),
        kv_heads=kv_heads,
        head_size=head_size,
        mlp_width=draw(st.sampled_from([40, 64])),
        vocabulary=draw(st.integers(50, 90)),
        context=128,
        norm=draw(st.sampled_from(["rms", "layer"])),
        gated=gated,
        activation="silu" if gated else "gelu",
        rope_base=draw(st.sampled_from([None, 1e4])) if latent is None else 1e4,
        query_key_norm=draw(st.booleans()),
        attention_bias=latent is None and draw(st.booleans()),
        output_bias=draw(st.sampled_from([None, True, False])) if latent is None else None,
        mlp_bias=draw(st.booleans()),
        tied=draw(st.booleans()),
        experts=experts,
        latent=latent,
    )


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(figures=decoders(), batch=st.integers(1, 3), prompt=st.integers(2, 40))
def test_workload_equals_module(figures: Decoder, batch: int, prompt: int) -> None:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from codesign.models.torch_modules.experts import grouped_flops

    check(figures, "random")
    preset = Preset(
        title="random",
        kind="causal-lm",
        source="",
        parameters=Published(0, ""),
        checkpoint_dtype="bf16",
        figures=figures,
    )
    model = ArchitectureModel(name="random", source="random", preset=preset)
    module: Any = model.module(device="meta")
    assert model.parameters == sum(p.numel() for p in module.parameters())
    workload = model.workload(batch=batch, prompt=prompt, generate=5)
    assert workload.footprint(Role.KV) == pytest.approx(batch * (prompt + 4) * model.kv_bytes_per_token(16), rel=1e-12)
    counter = FlopCounterMode(display=False, custom_mapping=grouped_flops())
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        module(*model.example_inputs(batch=batch, prompt=prompt, device="meta"))
    ops = [(b.repeat, op) for b, g in workload.phase("prefill").groups() for op in g.ops if isinstance(op, Einsum)]
    work = sum(op.flops() / op.density * repeat for repeat, op in ops if op.compute.unit == "tensor")
    assert work == pytest.approx(counter.get_total_flops(), rel=1e-9)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(figures=decoders(), tp=st.sampled_from([1, 2, 3, 8]), ep=st.sampled_from([1, 2, 4]))
def test_sharding_keeps_at_least_an_even_share(figures: Decoder, tp: int, ep: int) -> None:
    preset = Preset(
        title="random",
        kind="causal-lm",
        source="",
        parameters=Published(0, ""),
        checkpoint_dtype="bf16",
        figures=figures,
    )
    model = ArchitectureModel(name="random", source="random", preset=preset)
    whole = model.workload(batch=8, prompt=16, generate=4)
    local = shard(whole, Mesh({"tp": tp, "ep": ep}))
    for role in (Role.WEIGHT, Role.KV):
        share = float(whole.footprint(role)) / (tp * ep)
        assert share * (1 - 1e-9) <= float(local.footprint(role)) <= float(whole.footprint(role))
    for phase, part in zip(whole.phases, local.phases, strict=True):
        assert float(phase.flops()) / (tp * ep) * (1 - 1e-9) <= float(part.flops()) <= float(phase.flops()) * (1 + 1e-9)
