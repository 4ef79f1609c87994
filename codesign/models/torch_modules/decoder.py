"""Causal language models in plain torch: GPT-2, Llama, Qwen3, Mixtral and DeepSeek-V3 are settings of one module."""

# mypy: disable-error-code="no-any-return"
# (torch types the call of a submodule as Any)

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from codesign.models.figures import Decoder
from codesign.models.torch_modules.attention import Cache, GroupedAttention, LatentAttention
from codesign.models.torch_modules.experts import GatedMlp, MixtureOfExperts

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "relu": functional.relu,
    "silu": functional.silu,
}


class PlainMlp(nn.Module):
    """``down(activation(up(x)))``."""

    def __init__(self, width: int, hidden: int, activation: str = "gelu", bias: bool = True) -> None:
        super().__init__()
        self.activation = activation
        self.up = nn.Linear(width, hidden, bias=bias)
        self.down = nn.Linear(hidden, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., width) of ``x`` (..., width)."""
        return self.down(ACTIVATIONS[self.activation](self.up(x)))


def normalisation(figures: Decoder) -> nn.Module:
    """Return the normalisation of the residual stream."""
    if figures.norm == "rms":
        return nn.RMSNorm(figures.width, eps=1e-6)
    return nn.LayerNorm(figures.width)


class DecoderLayer(nn.Module):
    """Pre-norm layer: attention and an MLP, dense or a mixture of experts."""

    def __init__(self, figures: Decoder, layer: int) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = normalisation(figures), normalisation(figures)
        if figures.latent is not None:
            self.attention: nn.Module = LatentAttention(figures, figures.latent, layer)
        else:
            self.attention = GroupedAttention(figures, layer)
        experts = figures.experts
        if experts is not None and layer >= experts.dense_layers:
            self.mlp: nn.Module = MixtureOfExperts(figures.width, experts)
        elif figures.gated:
            self.mlp = GatedMlp(figures.width, figures.mlp_width, figures.mlp_bias)
        else:
            self.mlp = PlainMlp(figures.width, figures.mlp_width, figures.activation, figures.mlp_bias)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Return (b, s, width) of ``x`` (b, s, width)."""
        x = x + self.attention(self.attention_norm(x), cache)
        return x + self.mlp(self.mlp_norm(x))


class DecoderModel(nn.Module):
    """Embedding, layers, final norm and head."""

    def __init__(self, figures: Decoder) -> None:
        super().__init__()
        self.figures = figures
        self.embedding = nn.Embedding(figures.vocabulary, figures.width)
        if figures.rope_base is None:
            self.positions = nn.Embedding(figures.context, figures.width)
        self.layers = nn.ModuleList(DecoderLayer(figures, layer) for layer in range(figures.layers))
        self.norm = normalisation(figures)
        self.head = nn.Linear(figures.width, figures.vocabulary, bias=False)
        if figures.tied:
            self.head.weight = self.embedding.weight

    def new_cache(self, capacity: int) -> Cache:
        """Return an empty cache for ``capacity`` tokens."""
        return Cache(capacity)

    def forward(self, ids: Tensor, cache: Cache | None = None, every_position: bool = False) -> Tensor:
        """Return logits (b, 1, vocabulary) of the last position of ``ids`` (b, s), or of every position.

        With a cache, ``ids`` continue what it holds, and it grows by ``s`` tokens.
        """
        x = self.embedding(ids)
        if self.figures.rope_base is None:
            past = 0 if cache is None else cache.length
            x = x + self.positions(torch.arange(past, past + ids.shape[1], device=ids.device))
        for layer in self.layers:
            x = layer(x, cache)
        if cache is not None:
            cache.length += ids.shape[1]
        x = self.norm(x if every_position else x[:, -1:])
        return self.head(x)
