"""Residual networks in plain torch (v1.5: a bottleneck strides on its 3x3 convolution)."""

# mypy: disable-error-code="no-any-return"
# (torch types the call of a submodule as Any)

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from codesign.models.figures import ResNet


class ConvNorm(nn.Sequential):
    """Convolution without bias, then batch normalisation."""

    def __init__(self, inner: int, outer: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inner, outer, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outer)
        )


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions, or a 1x1, 3x3, 1x1 bottleneck."""

    def __init__(self, inner: int, width: int, outer: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        if bottleneck:
            shapes = [(inner, width, 1, 1), (width, width, 3, stride), (width, outer, 1, 1)]
        else:
            shapes = [(inner, width, 3, stride), (width, outer, 3, 1)]
        self.convolutions = nn.ModuleList(ConvNorm(*shape) for shape in shapes)
        self.shortcut = ConvNorm(inner, outer, 1, stride) if stride != 1 or inner != outer else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return (b, outer, y, x) of ``x`` (b, inner, y, x)."""
        out = x
        for index, convolution in enumerate(self.convolutions):
            out = convolution(out)
            if index + 1 < len(self.convolutions):
                out = functional.relu(out)
        return functional.relu(out + self.shortcut(x))


class ResNetModel(nn.Module):
    """ResNet classifier."""

    def __init__(self, figures: ResNet) -> None:
        super().__init__()
        self.figures = figures
        self.stem = ConvNorm(figures.channels, figures.stem, 7, 2)
        units, inner = [], figures.stem
        for stage, (depth, width) in enumerate(zip(figures.depths, figures.widths, strict=True)):
            outer = width * figures.expansion
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                units.append(ResidualUnit(inner, width, outer, stride, figures.bottleneck))
                inner = outer
        self.units = nn.Sequential(*units)
        self.head = nn.Linear(inner, figures.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (b, classes) of ``images`` (b, channels, image, image)."""
        x = functional.max_pool2d(functional.relu(self.stem(images)), 3, 2, 1)
        return self.head(self.units(x).mean(dim=(2, 3)))
