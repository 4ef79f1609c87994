"""BERT and ViT in plain torch: bidirectional transformers over words and over image patches."""

# mypy: disable-error-code="no-any-return"
# (torch types the call of a submodule as Any)

from __future__ import annotations

import torch
from torch import Tensor, nn

from codesign.models.figures import Encoder, VisionTransformer
from codesign.models.torch_modules.attention import PlainAttention
from codesign.models.torch_modules.decoder import PlainMlp


class EncoderLayer(nn.Module):
    """Transformer layer, norms after (BERT) or before (ViT) the residual branches."""

    def __init__(self, width: int, heads: int, hidden: int, pre_norm: bool) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = PlainAttention(width, heads)
        self.mlp = PlainMlp(width, hidden)
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (b, s, width) of ``x`` (b, s, width)."""
        if self.pre_norm:
            x = x + self.attention(self.attention_norm(x))
            return x + self.mlp(self.mlp_norm(x))
        x = self.attention_norm(x + self.attention(x))
        return self.mlp_norm(x + self.mlp(x))


class EncoderModel(nn.Module):
    """BERT without a task head: pooled first position, or every position."""

    def __init__(self, figures: Encoder) -> None:
        super().__init__()
        self.figures = figures
        self.words = nn.Embedding(figures.vocabulary, figures.width)
        self.positions = nn.Embedding(figures.positions, figures.width)
        self.segments = nn.Embedding(figures.segments, figures.width)
        self.norm = nn.LayerNorm(figures.width)
        self.layers = nn.ModuleList(
            EncoderLayer(figures.width, figures.heads, figures.mlp_width, pre_norm=False) for _ in range(figures.layers)
        )
        if figures.pooler:
            self.pooler = nn.Linear(figures.width, figures.width)

    def forward(self, ids: Tensor) -> Tensor:
        """Return (b, width), or (b, s, width) without a pooler, of ``ids`` (b, s)."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.words(ids) + self.positions(places) + self.segments(torch.zeros_like(ids))
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x)
        return torch.tanh(self.pooler(x[:, 0])) if self.figures.pooler else x


class VisionTransformerModel(nn.Module):
    """ViT classifier."""

    def __init__(self, figures: VisionTransformer) -> None:
        super().__init__()
        self.figures = figures
        self.patches = nn.Conv2d(figures.channels, figures.width, figures.patch, figures.patch)
        self.token = nn.Parameter(torch.empty(1, 1, figures.width))
        self.positions = nn.Parameter(torch.empty(1, figures.tokens, figures.width))
        self.layers = nn.ModuleList(
            EncoderLayer(figures.width, figures.heads, figures.mlp_width, pre_norm=True) for _ in range(figures.layers)
        )
        self.norm = nn.LayerNorm(figures.width)
        self.head = nn.Linear(figures.width, figures.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (b, classes) of ``images`` (b, channels, image, image)."""
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(x.shape[0], -1, -1), x), dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x[:, 0]))
