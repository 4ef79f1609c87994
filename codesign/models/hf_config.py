"""``hf:PATH``: a Hugging Face ``config.json`` read as plain data, without transformers, for the families we know.

Only figures are read: no code, no weights, no network. Other model types are built by the optional package transformers
from the same file (see ``hf_transformers``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from codesign.errors import DataError, UsageError
from codesign.models import figures as fig
from codesign.models.model import ArchitectureModel, Model

LARGEST_FILE = 4 * 2**20
"""A configuration is a few kilobytes; larger files are something else."""

DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


class Config:
    """A configuration file whose missing and ill-typed fields are errors that name the file and the field."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def get(self, *names: str, default: Any = None) -> Any:
        """Return the first of ``names`` that the file states (null counts as absent), else ``default``."""
        for name in names:
            if self.values.get(name) is not None:
                return self.values[name]
        return default

    def need(self, *names: str) -> Any:
        """Return the first of ``names`` that the file states; none is an error."""
        value = self.get(*names)
        if value is None:
            raise DataError(f"{self.where}: field {' or '.join(names)} is missing", "is this the model's config.json?")
        return value

    def refuse(self, name: str, allowed: tuple[Any, ...], why: str) -> None:
        """Refuse a setting that our figures cannot express."""
        if self.get(name) not in allowed:
            raise DataError(f"{self.where}: {name} is {self.get(name)!r}, which {why}", "give the module with py:")


def load_config(path: str, inputs: Sequence[str] | None = None) -> Model:
    """Return the model that the ``config.json`` at ``path`` (the file, or its directory) describes.

    ``inputs`` are the shapes for a type we hold no figures for, which is captured from its transformers module.
    """
    config = read_config(path)
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        from codesign.models.hf_transformers import load_transformers

        return load_transformers(path, config, inputs)
    if inputs:
        raise UsageError(f"hf:{path} takes no inputs", "its figures are known: leave --input out")
    kind, tag, make = family
    try:
        figures: fig.AnyFigures = msgspec.convert({**make(config), "family": tag}, fig.AnyFigures)
    except (msgspec.ValidationError, TypeError) as error:
        raise DataError(f"{config.where}: {error}", "correct the field named") from None
    fig.check(figures, config.where)
    name = Path(path).resolve()
    preset = fig.Preset(
        title=str(config.get("_name_or_path", default=(name.parent if name.is_file() else name).name)),
        kind=kind,
        source=config.where,
        parameters=fig.Published(0, "not stated by a config.json"),
        checkpoint_dtype=checkpoint_dtype(config),
        figures=figures,
    )
    return ArchitectureModel(name=preset.title, source=f"hf:{path}", preset=preset)


def read_config(path: str) -> Config:
    """Return the fields of the ``config.json`` at ``path`` (the file, or its directory)."""
    file = Path(path)
    file = file / "config.json" if file.is_dir() else file
    if not file.is_file():
        raise DataError(f"hf:{path}: no file there", "give a config.json or the directory that holds it")
    if file.stat().st_size > LARGEST_FILE:
        raise DataError(f"{file.name}: {file.stat().st_size:,} bytes is no configuration", "give a config.json")
    try:
        values = msgspec.json.decode(file.read_bytes())
    except (msgspec.DecodeError, OSError) as error:
        raise DataError(f"{file.name}: not readable as JSON: {error}", "give a config.json") from None
    if not isinstance(values, dict) or "model_type" not in values:
        raise DataError(f"{file.name}: no field model_type", "give the config.json of a transformers model")
    return Config(values, file.name)


def checkpoint_dtype(config: Config) -> Any:
    """Return our name of the dtype that the file states; fp32 where it states none."""
    if config.get("quantization_config", default={}).get("quant_method") == "fp8":
        return "fp8"
    return DTYPES.get(str(config.get("dtype", "torch_dtype")), "fp32")


def _rotary_base(config: Config) -> float:
    nested = config.get("rope_parameters", default={})
    return float(config.get("rope_theta", default=nested.get("rope_theta", 10000.0)))


def _decoder(config: Config) -> dict[str, Any]:
    """Fields that Llama and its descendants share."""
    config.refuse("hidden_act", (None, "silu"), "is no SiLU-gated MLP")
    width, heads = config.need("hidden_size"), config.need("num_attention_heads")
    if config.get("use_sliding_window", default=True):
        config.refuse("sliding_window", (None,), "needs a windowed mask")
    return {
        "layers": config.need("num_hidden_layers"),
        "width": width,
        "heads": heads,
        "kv_heads": config.get("num_key_value_heads", default=heads),
        "head_size": config.get("head_dim", default=width // max(1, heads)),
        "mlp_width": config.need("intermediate_size"),
        "vocabulary": config.need("vocab_size"),
        "context": config.need("max_position_embeddings"),
        "rope_base": _rotary_base(config),
        "attention_bias": config.get("attention_bias", default=False),
        "mlp_bias": config.get("mlp_bias", default=False),
        "tied": config.get("tie_word_embeddings", default=False),
    }


def _qwen2(config: Config) -> dict[str, Any]:
    # the type fixes its biases; the file does not state them
    return {**_decoder(config), "attention_bias": True, "output_bias": False}


def _qwen3(config: Config) -> dict[str, Any]:
    return {**_decoder(config), "query_key_norm": True, "head_size": config.get("head_dim", default=128)}


def _qwen3_experts(config: Config) -> dict[str, Any]:
    config.refuse("decoder_sparse_step", (None, 1), "mixes dense and sparse layers")
    config.refuse("mlp_only_layers", (None, []), "mixes dense and sparse layers")
    return {**_qwen3(config), "experts": _experts(config, "moe_intermediate_size")}


def _mixtral(config: Config) -> dict[str, Any]:
    return {**_decoder(config), "experts": _experts(config, "intermediate_size")}


def _experts(config: Config, width: str) -> dict[str, Any]:
    return {
        # transformers renamed the field
        "count": config.need("num_experts", "num_local_experts"),
        "per_token": config.need("num_experts_per_tok"),
        "width": config.need(width),
    }


def _deepseek(config: Config) -> dict[str, Any]:
    plain, rope = config.need("qk_nope_head_dim"), config.need("qk_rope_head_dim")
    return {
        **_decoder(config),
        "head_size": plain + rope,
        "latent": {
            "query_rank": config.need("q_lora_rank"),
            "kv_rank": config.need("kv_lora_rank"),
            "rope_size": rope,
            "plain_size": plain,
            "value_size": config.need("v_head_dim"),
        },
        "experts": {
            "count": config.need("n_routed_experts"),
            "per_token": config.need("num_experts_per_tok"),
            "width": config.need("moe_intermediate_size"),
            "shared": config.get("n_shared_experts", default=0),
            "dense_layers": config.get("first_k_dense_replace", default=0),
            "scoring": "sigmoid",
            "groups": config.get("n_group", default=1),
            "kept_groups": config.get("topk_group", default=1),
        },
    }


def _gpt2(config: Config) -> dict[str, Any]:
    width, heads = config.need("n_embd"), config.need("n_head")
    return {
        "layers": config.need("n_layer"),
        "width": width,
        "heads": heads,
        "kv_heads": heads,
        "head_size": width // max(1, heads),
        "mlp_width": config.get("n_inner", default=4 * width),
        "vocabulary": config.need("vocab_size"),
        "context": config.need("n_positions", "n_ctx"),
        "norm": "layer",
        "gated": False,
        "activation": "gelu",
        "rope_base": None,
        "attention_bias": True,
        "mlp_bias": True,
        "tied": config.get("tie_word_embeddings", default=True),
    }


def _bert(config: Config) -> dict[str, Any]:
    return {
        **_transformer(config),
        "vocabulary": config.need("vocab_size"),
        "positions": config.need("max_position_embeddings"),
        "segments": config.get("type_vocab_size", default=2),
    }


def _transformer(config: Config) -> dict[str, Any]:
    return {
        "layers": config.need("num_hidden_layers"),
        "width": config.need("hidden_size"),
        "heads": config.need("num_attention_heads"),
        "mlp_width": config.need("intermediate_size"),
    }


def _classes(config: Config) -> int:
    return len(config.get("id2label", default={})) or int(config.get("num_labels", default=2))


def _vit(config: Config) -> dict[str, Any]:
    return {
        **_transformer(config),
        "image": config.need("image_size"),
        "patch": config.need("patch_size"),
        "channels": config.get("num_channels", default=3),
        "classes": _classes(config),
    }


def _resnet(config: Config) -> dict[str, Any]:
    config.refuse("downsample_in_first_stage", (None, False), "strides in the first stage")
    config.refuse("downsample_in_bottleneck", (None, False), "strides on the 1x1 convolution")
    bottleneck = config.get("layer_type", default="bottleneck") == "bottleneck"
    return {
        "depths": config.need("depths"),
        "widths": [width // (4 if bottleneck else 1) for width in config.need("hidden_sizes")],
        "bottleneck": bottleneck,
        "stem": config.get("embedding_size", default=64),
        "channels": config.get("num_channels", default=3),
        "classes": _classes(config),
    }


def _whisper(config: Config) -> dict[str, Any]:
    return {
        "encoder_layers": config.need("encoder_layers"),
        "decoder_layers": config.need("decoder_layers"),
        "width": config.need("d_model"),
        "heads": config.need("encoder_attention_heads"),
        "mlp_width": config.need("encoder_ffn_dim"),
        "vocabulary": config.need("vocab_size"),
        "mel_bins": config.need("num_mel_bins"),
        "frames": 2 * config.need("max_source_positions"),
        "text_context": config.need("max_target_positions"),
    }


Make = Callable[[Config], dict[str, Any]]

FAMILIES: dict[str, tuple[fig.Kind, str, Make]] = {  # kind, family of the figures, how they are read
    "llama": ("causal-lm", "decoder", _decoder),
    "mistral": ("causal-lm", "decoder", _decoder),
    "qwen2": ("causal-lm", "decoder", _qwen2),
    "qwen3": ("causal-lm", "decoder", _qwen3),
    "qwen3_moe": ("causal-lm", "decoder", _qwen3_experts),
    "mixtral": ("causal-lm", "decoder", _mixtral),
    "deepseek_v3": ("causal-lm", "decoder", _deepseek),
    "gpt2": ("causal-lm", "decoder", _gpt2),
    "bert": ("encoder", "encoder", _bert),
    "vit": ("vision", "vision-transformer", _vit),
    "resnet": ("vision", "resnet", _resnet),
    "whisper": ("seq2seq", "speech-transformer", _whisper),
}
