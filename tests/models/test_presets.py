"""Presets against published counts, torch modules and closed forms worked out by hand."""

from __future__ import annotations

import pytest

from codesign.errors import DataError, UsageError
from codesign.models import list_models, load_model, preset_model
from codesign.models.presets import decode, list_presets
from codesign.workload import Einsum, Role

LANGUAGE = [name for name in list_presets() if preset_model(name).kind == "causal-lm"]

EXPECTED = {
    "llama-3.2-1b", "llama-3.1-8b", "llama-3.1-70b", "qwen3-8b", "qwen3-30b-a3b", "mixtral-8x7b", "deepseek-v3", "gpt2",
    "bert-base", "vit-b-16", "resnet-18", "resnet-50", "whisper-small", "stable-diffusion-1.5", "dlrm",
}  # fmt: skip


def test_every_promised_preset_is_there() -> None:
    assert set(list_presets()) >= EXPECTED
    assert set(list_models()) >= EXPECTED


@pytest.mark.parametrize("name", list_presets())
def test_parameters_match_the_published_count_and_the_torch_module(name: str) -> None:
    model = preset_model(name)
    published = model.preset.parameters
    assert published.source
    assert model.parameters == pytest.approx(published.count, rel=0.005)
    module = model.module(device="meta")
    assert sum(p.numel() for p in module.parameters()) == model.parameters


@pytest.mark.parametrize("name", ["mixtral-8x7b", "qwen3-30b-a3b", "deepseek-v3"])
def test_active_parameters_match_the_published_count(name: str) -> None:
    model = preset_model(name)
    published = model.preset.active_parameters
    assert published is not None
    # printed to two digits, and papers differ on whether embeddings count
    assert model.active_parameters == pytest.approx(published.count, rel=0.02)


KV_BYTES = {
    "llama-3.2-1b": 2 * 16 * 8 * 64 * 2,
    "llama-3.1-8b": 131072,
    "llama-3.1-70b": 327680,
    "qwen3-8b": 2 * 36 * 8 * 128 * 2,
    "qwen3-30b-a3b": 2 * 48 * 4 * 128 * 2,
    "mixtral-8x7b": 131072,
    "deepseek-v3": 61 * 576 * 2,
    "gpt2": 2 * 12 * 768 * 2,
    "kimi-k2": 61 * 576 * 2,
    "llama-2-70b": 327680,
    "opt-13b": 2 * 40 * 40 * 128 * 2,
    "qwen3-235b-a22b": 2 * 94 * 4 * 128 * 2,
}


@pytest.mark.parametrize("name", LANGUAGE)
def test_cache_bytes_per_token(name: str) -> None:
    model = preset_model(name)
    assert model.kv_bytes_per_token(16) == KV_BYTES[name]
    # the graph's own tensors: three sequences of 100 + 20 tokens, the last of which is never cached
    workload = model.workload(batch=3, prompt=100, generate=20)
    bits = {"gpt2": 32}.get(name, 16)
    assert workload.footprint(Role.KV) == 3 * (100 + 20 - 1) * KV_BYTES[name] * bits / 16
    assert model.workload(batch=3, prompt=100, generate=20, kv_dtype="fp8").footprint(Role.KV) == 3 * 119 * (
        KV_BYTES[name] / 2
    )


def test_whisper_keeps_text_and_audio_caches() -> None:
    model = preset_model("whisper-small")
    text, audio = (4 + 10 - 1) * 2 * 12 * 768 * 4, 1500 * 2 * 12 * 768 * 4
    assert model.workload(batch=2, prompt=4, generate=10).footprint(Role.KV) == 2 * (text + audio)


def test_weights_are_stored_at_the_checkpoint_dtype() -> None:
    assert preset_model("llama-3.1-8b").workload().footprint(Role.WEIGHT) == 8030261248 * 2
    assert preset_model("gpt2").workload().footprint(Role.WEIGHT) == 124439808 * 4
    # fp8 layers; embedding, head, router and norms stay bf16
    model = preset_model("deepseek-v3")
    plain = 2 * 129280 * 7168 + 58 * (256 * 7168 + 256) + 61 * (2 * 7168 + 1536 + 512) + 7168
    assert model.workload().footprint(Role.WEIGHT) == model.parameters + plain


@pytest.mark.parametrize(("name", "giga"), [("resnet-18", 1.81), ("resnet-50", 4.09), ("vit-b-16", 17.56)])
def test_multiply_adds_match_torchvision(name: str, giga: float) -> None:
    # torchvision documentation, column GFLOPS, which counts multiply-adds
    phase = preset_model(name).workload().phase("forward")
    ops = [(b.repeat, op) for b, g in phase.groups() for op in g.ops if isinstance(op, Einsum)]
    macs = sum(op.flops() / 2 * repeat for repeat, op in ops if op.compute.unit == "tensor")
    assert macs / 1e9 == pytest.approx(giga, abs=0.006)


def test_describe_is_plain_data() -> None:
    import json

    described = preset_model("mixtral-8x7b").describe()
    assert described["published_parameters"]["count"] == 46.7e9
    assert described["phases"] == ["prefill", "decode"]
    assert json.loads(json.dumps(described)) is not None


GOOD = """
title: T
kind: vision
source: s
parameters: {count: 1.0e+6, source: s}
checkpoint_dtype: fp32
figures: {family: resnet, depths: [1], widths: [8], bottleneck: false}
"""


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("source: s\nparam", "origin: s\nparam", "origin"),
        ("kind: vision", "kind: painting", "kind"),
        ("widths: [8]", "widths: [8], heads: 2", "heads"),
        ("depths: [1]", "depths: [0]", "depths"),
        ("family: resnet", "family: resnot", "resnot"),
        ("title: T", "title: T\ntitle: U", "title"),
    ],
)
def test_preset_files_are_strict(old: str, new: str, names: str) -> None:
    decode(GOOD, "good.yaml")
    with pytest.raises(DataError) as caught:
        decode(GOOD.replace(old, new), "bad.yaml")
    assert "bad.yaml" in str(caught.value)
    assert names in str(caught.value)


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"llama-3\.1-8b"):
        load_model("llama-3.1-8")
    with pytest.raises(UsageError, match=r"did you mean whisper-small\? Other forms: hf:, py:, pt2:"):
        load_model("whisper-smal")
    with pytest.raises(UsageError, match=r"whisper-small\. Other forms: hf:, py:, pt2:"):
        load_model("zzzzz")
    with pytest.raises(UsageError, match="did you mean"):
        load_model("hg:somewhere")
    with pytest.raises(UsageError, match="no model"):
        load_model("  ")
    with pytest.raises(UsageError, match="inputs"):
        load_model("gpt2", inputs=["1x8:int64"])
    assert load_model("GPT2", inputs=None).name == "gpt2"


def test_other_packages_add_models(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    from codesign.models import catalog

    ours = preset_model("gpt2")
    point = metadata.EntryPoint("ours", "nowhere:model", "codesign.models")
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda self: lambda: ours)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == "codesign.models" else [])
    catalog.registry.cache_clear()
    try:
        assert "ours" in list_models()
        assert load_model("ours") is ours
    finally:
        catalog.registry.cache_clear()
