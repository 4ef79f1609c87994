"""Hugging Face configurations read as plain data give the figures of the presets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codesign.errors import DataError, EnvironmentLacks, UsageError
from codesign.models import load_model, preset_model

DECODER = {"hidden_act": "silu", "attention_bias": False, "torch_dtype": "bfloat16", "rms_norm_eps": 1e-5}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama-3.1-8b": {
        **DECODER, "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
        "rope_theta": 500000.0, "tie_word_embeddings": False,
    },
    "qwen3-30b-a3b": {
        **DECODER, "model_type": "qwen3_moe", "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 48,
        "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 151936,
        "max_position_embeddings": 40960, "rope_theta": 1000000.0, "num_experts": 128, "num_experts_per_tok": 8,
        "moe_intermediate_size": 768, "decoder_sparse_step": 1, "mlp_only_layers": [], "sliding_window": None,
    },
    "mixtral-8x7b": {
        **DECODER, "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000, "max_position_embeddings": 32768,
        "rope_parameters": {"rope_theta": 1000000.0}, "num_local_experts": 8, "num_experts_per_tok": 2,
    },
    "deepseek-v3": {
        **DECODER, "model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432,
        "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128, "vocab_size": 129280,
        "max_position_embeddings": 163840,
        "rope_theta": 10000, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128,
        "v_head_dim": 128, "n_routed_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 2048,
        "n_shared_experts": 1, "first_k_dense_replace": 3, "n_group": 8, "topk_group": 4,
        "quantization_config": {"quant_method": "fp8"},
    },
    "gpt2": {
        "model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257,
        "n_inner": None,
    },
    "bert-base": {
        "model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2,
    },
    "vit-b-16": {
        "model_type": "vit", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "image_size": 224, "patch_size": 16, "num_channels": 3, "num_labels": 1000,
    },
    "resnet-50": {
        "model_type": "resnet", "depths": [3, 4, 6, 3], "hidden_sizes": [256, 512, 1024, 2048], "embedding_size": 64,
        "layer_type": "bottleneck", "num_labels": 1000, "downsample_in_first_stage": False,
    },
    "whisper-small": {
        "model_type": "whisper", "d_model": 768, "encoder_layers": 12, "decoder_layers": 12,
        "encoder_attention_heads": 12, "encoder_ffn_dim": 3072, "vocab_size": 51865, "num_mel_bins": 80,
        "max_source_positions": 1500, "max_target_positions": 448,
    },
}  # fmt: skip


def written(folder: Path, values: Any) -> str:
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return f"hf:{folder}"


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_figures_equal_the_preset(name: str, tmp_path: Path) -> None:
    source = written(tmp_path, CONFIGS[name])
    model, preset = load_model(source), preset_model(name)
    assert model.parameters == preset.parameters
    assert model.kind == preset.kind
    assert model.figures == preset.figures  # type: ignore[attr-defined]
    assert model.checkpoint_dtype == preset.checkpoint_dtype
    assert load_model(f"{source}/config.json").parameters == preset.parameters


def test_qwen2_biases_query_key_and_value_only(tmp_path: Path) -> None:
    # Qwen/Qwen2.5-0.5B, model card: 0.49B parameters, 0.36B without the embedding
    config = {
        **DECODER, "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936, "max_position_embeddings": 32768,
        "rope_theta": 1000000.0, "tie_word_embeddings": True, "sliding_window": 32768, "use_sliding_window": False,
    }  # fmt: skip
    del config["attention_bias"]
    assert load_model(written(tmp_path, config)).parameters == 494032768


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden_size": None}, "hidden_size"),
        ({"num_hidden_layers": "many"}, "layers"),
        ({"num_hidden_layers": -1}, "layers"),
        ({"num_key_value_heads": 5}, "kv_heads"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"sliding_window": 4096}, "sliding_window"),
    ],
)
def test_bad_fields_are_named(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says) as caught:
        load_model(written(tmp_path, {**CONFIGS["llama-3.1-8b"], **change}))
    assert "config.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", '{"a": 1}', "\x00\x01"])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"config\.json"):
        load_model(f"hf:{tmp_path}")
    with pytest.raises(DataError, match="no file"):
        load_model(f"hf:{tmp_path}/missing")


def test_other_types_name_what_to_install(tmp_path: Path) -> None:
    from importlib.util import find_spec

    if find_spec("transformers") is not None:
        pytest.skip("transformers is installed here")
    with pytest.raises(EnvironmentLacks, match=r"mamba.*codesign\[hf\]"):
        load_model(written(tmp_path, {"model_type": "mamba"}))


def test_known_types_take_no_input_shapes(tmp_path: Path) -> None:
    source = written(tmp_path, CONFIGS["llama-3.1-8b"])
    with pytest.raises(UsageError, match="takes no inputs"):
        load_model(source, inputs=["1x8:int64"])
