"""The U-Net of Stable Diffusion 1.x in plain torch: residual units and transformers with cross attention."""

# mypy: disable-error-code="no-any-return"
# (torch types the call of a submodule as Any)

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from codesign.models.figures import DiffusionUNet
from codesign.models.torch_modules.attention import PlainAttention

NO_BIAS = (False, False, False)


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions with group norms; the time embedding is added between them."""

    def __init__(self, inner: int, outer: int, figures: DiffusionUNet) -> None:
        super().__init__()
        self.first_norm, self.first = nn.GroupNorm(figures.norm_groups, inner), nn.Conv2d(inner, outer, 3, padding=1)
        self.time = nn.Linear(figures.time_width, outer)
        self.second_norm, self.second = nn.GroupNorm(figures.norm_groups, outer), nn.Conv2d(outer, outer, 3, padding=1)
        self.shortcut = nn.Conv2d(inner, outer, 1) if inner != outer else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return (b, outer, y, x) of ``x`` (b, inner, y, x) and ``time`` (b, time_width)."""
        hidden = self.first(functional.silu(self.first_norm(x)))
        hidden = hidden + self.time(functional.silu(time))[:, :, None, None]
        return self.second(functional.silu(self.second_norm(hidden))) + self.shortcut(x)


class SpatialTransformer(nn.Module):
    """One transformer layer over the pixels: self attention, cross attention to the text, gated MLP (GEGLU)."""

    def __init__(self, width: int, figures: DiffusionUNet) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(figures.norm_groups, width)
        self.into, self.out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.self_norm, self.cross_norm, self.mlp_norm = (nn.LayerNorm(width) for _ in range(3))
        self.attention = PlainAttention(width, figures.heads, NO_BIAS)
        self.cross = PlainAttention(width, figures.heads, NO_BIAS, context_width=figures.context_width)
        self.gate_up = nn.Linear(width, 8 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """Return (b, width, y, x) of ``x`` (b, width, y, x) and ``text`` (b, context_length, context_width)."""
        tokens = self.into(self.norm(x)).flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(self.self_norm(tokens))
        tokens = tokens + self.cross(self.cross_norm(tokens), text)
        up, gate = self.gate_up(self.mlp_norm(tokens)).chunk(2, dim=-1)
        tokens = tokens + self.down(up * functional.gelu(gate))
        return x + self.out(tokens.transpose(1, 2).reshape(x.shape))


class Unit(nn.Module):
    """A residual unit and, at the levels that have one, a transformer."""

    def __init__(self, inner: int, outer: int, attends: bool, figures: DiffusionUNet) -> None:
        super().__init__()
        self.residual = ResidualUnit(inner, outer, figures)
        self.transformer = SpatialTransformer(outer, figures) if attends else None

    def forward(self, x: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """Return (b, outer, y, x)."""
        x = self.residual(x, time)
        return x if self.transformer is None else self.transformer(x, text)


class UNetModel(nn.Module):
    """Noise predictor of one denoising step."""

    def __init__(self, figures: DiffusionUNet) -> None:
        super().__init__()
        self.figures = figures
        widths, top = figures.widths, figures.widths[-1]
        self.time = nn.Sequential(
            nn.Linear(widths[0], figures.time_width), nn.SiLU(), nn.Linear(figures.time_width, figures.time_width)
        )
        self.into = nn.Conv2d(figures.channels, widths[0], 3, padding=1)
        down, shrink, skips, inner = [], [], [widths[0]], widths[0]
        for level, (width, attends) in enumerate(zip(widths, figures.attention, strict=True)):
            for _ in range(figures.units):
                down.append(Unit(inner, width, attends, figures))
                inner = width
                skips.append(width)
            if level + 1 < len(widths):
                shrink.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
        self.down, self.shrink = nn.ModuleList(down), nn.ModuleList(shrink)
        self.middle = nn.ModuleList((Unit(top, top, True, figures), Unit(top, top, False, figures)))
        up, grow = [], []
        for level in reversed(range(len(widths))):
            for _ in range(figures.units + 1):
                up.append(Unit(inner + skips.pop(), widths[level], figures.attention[level], figures))
                inner = widths[level]
            if level > 0:
                grow.append(nn.Conv2d(inner, inner, 3, padding=1))
        self.up, self.grow = nn.ModuleList(up), nn.ModuleList(grow)
        self.norm = nn.GroupNorm(figures.norm_groups, inner)
        self.out = nn.Conv2d(inner, figures.channels, 3, padding=1)

    def forward(self, latent: Tensor, step: Tensor, text: Tensor) -> Tensor:
        """Return the noise (b, channels, y, x) in ``latent`` at ``step`` (b,), given ``text`` (b, tokens, width)."""
        f = self.figures
        half = f.widths[0] // 2
        rate = torch.exp(-math.log(10000.0) / half * torch.arange(half, device=latent.device))
        angle = step[:, None].float() * rate[None, :]
        time = self.time(torch.cat((angle.cos(), angle.sin()), dim=1).to(latent.dtype))
        x = self.into(latent)
        skips = [x]
        for index, unit in enumerate(self.down):
            x = unit(x, time, text)
            skips.append(x)
            level, last = divmod(index + 1, f.units)
            if last == 0 and level <= len(self.shrink):
                x = self.shrink[level - 1](x)
                skips.append(x)
        x = self.middle[1](self.middle[0](x, time, text), time, text)
        for index, unit in enumerate(self.up):
            x = unit(torch.cat((x, skips.pop()), dim=1), time, text)
            level, last = divmod(index + 1, f.units + 1)
            if last == 0 and level <= len(self.grow):
                x = self.grow[level - 1](functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.out(functional.silu(self.norm(x)))
