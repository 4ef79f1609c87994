"""Attention of decoders and encoders in plain torch: grouped-query, latent, bidirectional and cross attention.

Shapes: ``b`` batch, ``s`` new tokens, ``c`` cached plus new tokens, ``h`` heads. Weights are random; nothing here reads
a checkpoint. Causal masks follow the key length, so a step with a cache sees everything before it.
"""

# mypy: disable-error-code="no-any-return"
# (torch types the call of a submodule as Any)

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from codesign.models.figures import Decoder, Latent


class Cache:
    """Keys and values of every layer, preallocated for ``capacity`` tokens, as serving engines keep them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self.held: dict[int, tuple[Tensor, ...]] = {}

    def append(self, layer: int, *new: Tensor) -> tuple[Tensor, ...]:
        """Write ``new`` (each (b, heads, s, size)) behind what ``layer`` holds; return all of it."""
        if layer not in self.held:
            self.held[layer] = tuple(t.new_zeros((*t.shape[:2], self.capacity, t.shape[3])) for t in new)
        end = self.length + new[0].shape[2]
        if end > self.capacity:
            raise ValueError(f"cache holds {self.capacity} tokens, {end} needed")
        for whole, part in zip(self.held[layer], new, strict=True):
            whole[:, :, self.length : end] = part
        return tuple(whole[:, :, :end] for whole in self.held[layer])


def rotate(x: Tensor, start: int, base: float) -> Tensor:
    """Return ``x`` (b, h, s, size) with rotary positions ``start, start + 1, ...`` applied over half pairs."""
    half = x.shape[-1] // 2
    position = torch.arange(start, start + x.shape[2], device=x.device, dtype=torch.float32)
    rate = base ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = position[:, None] * rate[None, :]
    cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def causal_attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
    """Return causal attention (b, h, s, size) of the last ``s`` of ``c`` positions; fewer key heads are shared."""
    new, total = q.shape[2], k.shape[2]
    shared = q.shape[1] != k.shape[1]
    if new == total:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=shared)
    mask = None
    if new > 1:
        mask = torch.ones(new, total, dtype=torch.bool, device=q.device).tril(total - new)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=shared)


class GroupedAttention(nn.Module):
    """Grouped-query attention with one fused query-key-value projection."""

    def __init__(self, figures: Decoder, layer: int) -> None:
        super().__init__()
        self.figures, self.layer = figures, layer
        size, heads, kv_heads = figures.head_size, figures.heads, figures.kv_heads
        self.qkv = nn.Linear(figures.width, size * (heads + 2 * kv_heads), bias=figures.attention_bias)
        self.out = nn.Linear(size * heads, figures.width, bias=figures.biased_output)
        if figures.query_key_norm:
            self.query_norm, self.key_norm = nn.RMSNorm(size, eps=1e-6), nn.RMSNorm(size, eps=1e-6)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Return (b, s, width) of ``x`` (b, s, width)."""
        f = self.figures
        batch, new, _ = x.shape
        heads = self.qkv(x).view(batch, new, f.heads + 2 * f.kv_heads, f.head_size).transpose(1, 2)
        q, k, v = heads.split((f.heads, f.kv_heads, f.kv_heads), dim=1)
        if f.query_key_norm:
            q, k = self.query_norm(q), self.key_norm(k)
        past = 0 if cache is None else cache.length
        if f.rope_base is not None:
            q, k = rotate(q, past, f.rope_base), rotate(k, past, f.rope_base)
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        mixed = causal_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(batch, new, -1))


class LatentAttention(nn.Module):
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1).

    A prompt expands the latent into keys and values; a decode step folds the expansion into the query and the output
    ("absorbed"), so that it reads the cached latent once for all heads.
    """

    def __init__(self, figures: Decoder, latent: Latent, layer: int) -> None:
        super().__init__()
        self.figures, self.latent, self.layer = figures, latent, layer
        m, width, heads = latent, figures.width, figures.heads
        self.query_down = nn.Linear(width, m.query_rank, bias=False)
        self.query_norm = nn.RMSNorm(m.query_rank, eps=1e-6)
        self.query_up = nn.Linear(m.query_rank, heads * (m.plain_size + m.rope_size), bias=False)
        self.kv_down = nn.Linear(width, m.kv_rank + m.rope_size, bias=False)
        self.kv_norm = nn.RMSNorm(m.kv_rank, eps=1e-6)
        self.key_up = nn.Parameter(torch.empty(heads, m.plain_size, m.kv_rank))
        self.value_up = nn.Parameter(torch.empty(heads, m.kv_rank, m.value_size))
        self.out = nn.Linear(heads * m.value_size, width, bias=False)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Return (b, s, width) of ``x`` (b, s, width)."""
        m, base = self.latent, self.figures.rope_base or 10000.0
        batch, new, _ = x.shape
        past = 0 if cache is None else cache.length
        q = self.query_up(self.query_norm(self.query_down(x)))
        q = q.view(batch, new, self.figures.heads, -1).transpose(1, 2)
        q_plain, q_rope = q.split((m.plain_size, m.rope_size), dim=-1)
        q_rope = rotate(q_rope, past, base)
        compressed, k_rope = self.kv_down(x).split((m.kv_rank, m.rope_size), dim=-1)
        compressed = self.kv_norm(compressed).unsqueeze(1)
        k_rope = rotate(k_rope.unsqueeze(1), past, base)
        if cache is not None:
            compressed, k_rope = cache.append(self.layer, compressed, k_rope)
        scale = (m.plain_size + m.rope_size) ** -0.5
        if cache is not None and new == 1:
            mixed = self._absorbed(q_plain, q_rope, compressed, k_rope, scale)
        else:
            mixed = self._expanded(q_plain, q_rope, compressed, k_rope, scale)
        return self.out(mixed.transpose(1, 2).reshape(batch, new, -1))

    def _expanded(self, q_plain: Tensor, q_rope: Tensor, compressed: Tensor, k_rope: Tensor, scale: float) -> Tensor:
        heads = self.figures.heads
        k_plain = torch.matmul(compressed, self.key_up.transpose(1, 2))
        v = torch.matmul(compressed, self.value_up)
        k = torch.cat((k_plain, k_rope.expand(-1, heads, -1, -1)), dim=-1)
        return causal_attention(torch.cat((q_plain, q_rope), dim=-1), k, v, scale)

    def _absorbed(self, q_plain: Tensor, q_rope: Tensor, compressed: Tensor, k_rope: Tensor, scale: float) -> Tensor:
        q = torch.cat((torch.matmul(q_plain, self.key_up), q_rope), dim=-1)
        k = torch.cat((compressed, k_rope), dim=-1)
        return torch.matmul(causal_attention(q, k, compressed, scale), self.value_up)


class PlainAttention(nn.Module):
    """Multi-head attention with biases; ``context_width`` makes it cross attention over another sequence.

    Args:
        width: Residual stream.
        heads: Heads of ``width / heads`` elements.
        bias: Biases of query, key, value (the output always has one).
        context_width: Width of the sequence attended to; None = self attention with a fused projection.
        causal: Whether a position sees only those before it.
        layer: Key under which a cache keeps this attention.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        bias: tuple[bool, bool, bool] = (True, True, True),
        context_width: int | None = None,
        causal: bool = False,
        layer: int = 0,
    ) -> None:
        super().__init__()
        self.heads, self.causal, self.layer, self.cross = heads, causal, layer, context_width is not None
        source = width if context_width is None else context_width
        self.query = nn.Linear(width, width, bias=bias[0])
        self.key = nn.Linear(source, width, bias=bias[1])
        self.value = nn.Linear(source, width, bias=bias[2])
        self.out = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, context: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return (b, s, width); ``context`` (b, c, context_width) is attended to in cross attention.

        With a cache, cross attention reuses the projected context of the first call when ``context`` is None.
        """
        q = self._split(self.query(x))
        if self.cross and context is None:
            assert cache is not None, "cross attention needs a context or a cache that holds one"
            k, v = cache.held[self.layer]
        else:
            source = x if context is None else context
            k, v = self._split(self.key(source)), self._split(self.value(source))
            if cache is not None and self.cross:
                cache.held[self.layer] = (k, v)
            elif cache is not None:
                k, v = cache.append(self.layer, k, v)
        mixed = causal_attention(q, k, v) if self.causal else functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1))
