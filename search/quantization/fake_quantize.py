"""Simulated quantization of tensors: rounded to the grid that integers of few bits span, and back.

Symmetric integers of b bits are ``-(2^(b-1) - 1) .. 2^(b-1) - 1`` with ``scale = max|x| / (2^(b-1) - 1)``; with a zero
point they are ``0 .. 2^b - 1`` with ``scale = (high - low) / (2^b - 1)`` and ``zero = round(-low / scale)``, where the
range always holds 0 [1]_. Ranges are shrunk to where the squared error is least [2]_. 16 bits round to bf16, 32 keep.

.. [1] Jacob et al., arXiv:1712.05877, section 2.1; Nagel et al., A White Paper on Neural Network Quantization,
   arXiv:2106.08295, sections 2.2 and 2.3.
.. [2] Nagel et al., arXiv:2106.08295, section 3.1 (MSE range setting).
"""

from __future__ import annotations

import torch

from codesign.workload.quantization import INTEGER, LayerScheme

SHRINK = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4)
"""Shares of the full range that are tried."""

TINY = 1e-12
"""Least width of a range: one without any width has all its numbers on one grid point whatever the scale."""


def scale_and_zero(
    low: torch.Tensor, high: torch.Tensor, bits: int, symmetric: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (scale, zero point) of integers of ``bits`` that span ``low .. high`` widened to hold 0."""
    low, high = torch.clamp(low, max=0.0), torch.clamp(high, min=0.0)
    if symmetric:
        scale = torch.clamp(torch.maximum(-low, high), min=TINY) / (2 ** (bits - 1) - 1)
        return scale, torch.zeros_like(scale)
    scale = torch.clamp(high - low, min=TINY) / (2**bits - 1)
    return scale, torch.round(-low / scale)


def on_grid(x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, bits: int, symmetric: bool) -> torch.Tensor:
    """Return ``x`` rounded to integers and back; what lies outside the range is clamped to its ends."""
    least, most = (-(2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)
    return (torch.clamp(torch.round(x / scale) + zero, least, most) - zero) * scale


def fake_quantize_rows(rows: torch.Tensor, bits: int, symmetric: bool) -> torch.Tensor:
    """Return (G, n) groups rounded with one scale each, its range the one of least squared error."""
    low, high = rows.amin(dim=1, keepdim=True), rows.amax(dim=1, keepdim=True)
    best = torch.zeros_like(rows)
    least = torch.full_like(low, torch.inf)
    for share in SHRINK:
        scale, zero = scale_and_zero(low * share, high * share, bits, symmetric)
        tried = on_grid(rows, scale, zero, bits, symmetric)
        error = torch.square(tried - rows).sum(dim=1, keepdim=True)
        best = torch.where(error < least, tried, best)
        least = torch.minimum(error, least)
    return best


def fake_quantize_weight(weight: torch.Tensor, scheme: LayerScheme) -> torch.Tensor:
    """Return a weight (output channels first) as ``scheme`` stores it; a last group of a channel may be shorter."""
    bits = int(scheme.weight_bits)
    if bits > INTEGER:
        return weight if bits == 32 else weight.to(torch.bfloat16).to(weight.dtype)
    if scheme.granularity == "tensor":
        return fake_quantize_rows(weight.reshape(1, -1), bits, scheme.symmetric).reshape(weight.shape)
    channels = weight.reshape(weight.shape[0], -1)
    size = channels.shape[1] if scheme.granularity == "channel" else scheme.group_size
    parts = [
        fake_quantize_rows(part.reshape(-1, part.shape[1]), bits, scheme.symmetric)
        for part in torch.split(channels, size, dim=1)
    ]
    return torch.cat(parts, dim=1).reshape(weight.shape)


def calibrated_range(sample: torch.Tensor, bits: int) -> tuple[float, float]:
    """Return the (lowest, highest) number that asymmetric integers of ``bits`` represent with least squared error."""
    values = sample.reshape(1, -1)
    low, high = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    best, least = (float(low), float(high)), float("inf")
    for share in SHRINK:
        scale, zero = scale_and_zero(low * share, high * share, bits, symmetric=False)
        error = float(torch.square(on_grid(values, scale, zero, bits, symmetric=False) - values).sum())
        if error < least:
            best, least = (float(low * share), float(high * share)), error
    return min(best[0], 0.0), max(best[1], 0.0)


def fake_quantize_activation(x: torch.Tensor, bits: int, limits: tuple[float, float] | None) -> torch.Tensor:
    """Return activations on the asymmetric grid of their calibrated range (None: the range of this very tensor)."""
    if bits > INTEGER:
        return x if bits == 32 else x.to(torch.bfloat16).to(x.dtype)
    low, high = limits if limits is not None else (float(x.detach().amin()), float(x.detach().amax()))
    ends = torch.tensor([low, high], dtype=x.dtype, device=x.device)
    scale, zero = scale_and_zero(ends[0], ends[1], bits, symmetric=False)
    return on_grid(x, scale, zero, bits, symmetric=False)


def fake_quantize_cache(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Return keys or values (..., features) rounded with a range of its own for every token."""
    if bits > INTEGER:
        return x if bits == 32 else x.to(torch.bfloat16).to(x.dtype)
    scale, zero = scale_and_zero(x.amin(dim=-1, keepdim=True), x.amax(dim=-1, keepdim=True), bits, symmetric=False)
    return on_grid(x, scale, zero, bits, symmetric=False)
