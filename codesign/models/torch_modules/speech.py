"""Whisper in plain torch: an encoder over the mel spectrogram and a decoder with cross attention."""

# mypy: disable-error-code="no-any-return"
# (torch types the call of a submodule as Any)

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from codesign.models.figures import SpeechTransformer
from codesign.models.torch_modules.attention import Cache, PlainAttention
from codesign.models.torch_modules.decoder import PlainMlp

NO_KEY_BIAS = (True, False, True)


class SpeechLayer(nn.Module):
    """Pre-norm layer; with ``cross`` it also attends to the audio."""

    def __init__(self, figures: SpeechTransformer, layer: int, cross: bool) -> None:
        super().__init__()
        width, heads = figures.width, figures.heads
        self.attention = PlainAttention(width, heads, NO_KEY_BIAS, causal=cross, layer=layer)
        self.attention_norm = nn.LayerNorm(width)
        if cross:
            # one cache serves both attentions: the audio sits under its own key
            self.cross = PlainAttention(width, heads, NO_KEY_BIAS, context_width=width, layer=-1 - layer)
            self.cross_norm = nn.LayerNorm(width)
        self.mlp, self.mlp_norm = PlainMlp(width, figures.mlp_width), nn.LayerNorm(width)

    def forward(self, x: Tensor, audio: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return (b, s, width) of ``x`` (b, s, width)."""
        x = x + self.attention(self.attention_norm(x), cache=cache)
        if hasattr(self, "cross"):
            x = x + self.cross(self.cross_norm(x), audio, cache)
        return x + self.mlp(self.mlp_norm(x))


def sinusoids(length: int, width: int) -> Tensor:
    """Return the fixed positional table (length, width) of the audio encoder."""
    rate = torch.exp(-math.log(10000.0) / (width // 2 - 1) * torch.arange(width // 2))
    angle = torch.arange(length)[:, None] * rate[None, :]
    return torch.cat((angle.sin(), angle.cos()), dim=1)


class SpeechModel(nn.Module):
    """Whisper; the head is the text embedding."""

    def __init__(self, figures: SpeechTransformer) -> None:
        super().__init__()
        self.figures = figures
        width = figures.width
        self.first = nn.Conv1d(figures.mel_bins, width, 3, padding=1)
        self.second = nn.Conv1d(width, width, 3, stride=2, padding=1)
        # fixed sinusoids, stored in the checkpoint and counted with it
        self.audio_positions = nn.Parameter(torch.empty(figures.audio_context, width), requires_grad=False)
        self.encoder = nn.ModuleList(SpeechLayer(figures, i, cross=False) for i in range(figures.encoder_layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.embedding = nn.Embedding(figures.vocabulary, width)
        self.positions = nn.Parameter(torch.empty(figures.text_context, width))
        self.decoder = nn.ModuleList(SpeechLayer(figures, i, cross=True) for i in range(figures.decoder_layers))
        self.decoder_norm = nn.LayerNorm(width)

    def reset_fixed(self) -> None:
        """Fill the fixed positional table."""
        with torch.no_grad():
            table = sinusoids(self.figures.audio_context, self.figures.width)
            self.audio_positions.copy_(table.to(self.audio_positions))

    def new_cache(self, capacity: int) -> Cache:
        """Return an empty cache for ``capacity`` text tokens."""
        return Cache(capacity)

    def encode(self, mel: Tensor) -> Tensor:
        """Return audio features (b, audio_context, width) of ``mel`` (b, mel_bins, frames)."""
        x = functional.gelu(self.second(functional.gelu(self.first(mel)))).transpose(1, 2) + self.audio_positions
        for layer in self.encoder:
            x = layer(x)
        return self.encoder_norm(x)

    def decode(self, ids: Tensor, audio: Tensor | None, cache: Cache | None = None) -> Tensor:
        """Return logits (b, 1, vocabulary) of the last of ``ids`` (b, s); ``audio`` may be None once it is cached."""
        past = 0 if cache is None else cache.length
        x = self.embedding(ids) + self.positions[past : past + ids.shape[1]]
        for layer in self.decoder:
            x = layer(x, audio, cache)
        if cache is not None:
            cache.length += ids.shape[1]
        return functional.linear(self.decoder_norm(x[:, -1:]), self.embedding.weight)

    def forward(self, mel: Tensor, ids: Tensor) -> Tensor:
        """Return logits (b, 1, vocabulary) of the last of ``ids`` (b, s) given ``mel`` (b, mel_bins, frames)."""
        return self.decode(ids, self.encode(mel))
