"""Residual networks as workloads: a convolution with its batch norm, residual addition and ReLU is one kernel.

Batch norm is its two stored vectors (scale, shift) applied to the output, as in inference; running statistics are not
parameters. Ranks: b, in and out channels, y x output pixels, ky kx kernel.
"""

from __future__ import annotations

import msgspec

from codesign.models.figures import ResNet
from codesign.models.kernels import ADD, Kernels, convolution_axis
from codesign.models.lengths import Lengths
from codesign.models.precision import Precision
from codesign.workload.einsum import Axis, Extent, Op, Role, Tensor, axes, tensor, vector
from codesign.workload.graph import Block, Group, Phase, Workload


class Shape(msgspec.Struct, frozen=True):
    """One convolution: channels, kernel, stride, and the side of its square input (pixels)."""

    inner: int
    outer: int
    kernel: int
    stride: int
    side: int

    @property
    def padding(self) -> int:
        """Return the padding that keeps the side at stride 1."""
        return self.kernel // 2

    @property
    def output_side(self) -> int:
        """Return the side of the output."""
        return (self.side + 2 * self.padding - self.kernel) // self.stride + 1

    def sizes(self, batch: Extent) -> dict[str, Extent]:
        """Return the rank extents."""
        side = self.output_side
        return {
            "b": batch, "in": self.inner, "out": self.outer, "y": side, "x": side, "ky": self.kernel, "kx": self.kernel,
        }  # fmt: skip


def image_tensor(name: str, shape: Shape, precision: Precision) -> Tensor:
    """Return the input of a convolution, with its sliding windows."""
    rows, columns = (
        convolution_axis(o, k, shape.stride, shape.padding, shape.side) for o, k in (("y", "ky"), ("x", "kx"))
    )
    return Tensor(name, (*axes("b in"), rows, columns), Role.ACTIVATION, precision.activation_bits)


def pixels(name: str, precision: Precision, ranks: str = "b out y x") -> Tensor:
    """Return an image as elementwise work sees it."""
    return tensor(name, ranks, Role.ACTIVATION, precision.activation_bits)


def convolution(
    block: str,
    name: str,
    shape: Shape,
    batch: Extent,
    precision: Precision,
    source: str,
    target: str,
    relu: bool = True,
    shortcut: str | None = None,
) -> Group:
    """Return convolution, batch norm, optional shortcut addition and ReLU as one kernel."""
    k = Kernels(block, shape.sizes(batch), precision)
    result = pixels(target, precision)
    product, normed = k.activation(f"{name}.product", "b out y x"), k.activation(f"{name}.normed", "b out y x")
    scale, shift = (k.weight(f"{name}.norm.{part}", "out", plain=True) for part in ("scale", "shift"))
    weight = k.weight(f"{name}.weight", "out in ky kx")
    ops: list[Op] = [
        k.einsum(name, (image_tensor(source, shape, precision), weight), product, precision.product),
        k.elementwise(f"{name}.norm", (product, scale, shift), normed if relu else result, 2.0),
    ]
    if relu:
        extra = () if shortcut is None else (pixels(shortcut, precision),)
        ops.append(k.elementwise(f"{name}.relu", (normed, *extra), result, ADD * (1 + len(extra))))
    return Group(name, tuple(ops), "conv")


def unit(
    block: str, figures: ResNet, inner: int, stage: int, stride: int, side: int, run: Lengths, p: Precision
) -> Block:
    """Return one residual unit that reads ``x`` and writes ``x``."""
    width = figures.widths[stage]
    outer = width * figures.expansion
    if figures.bottleneck:
        chain = [(inner, width, 1, 1), (width, width, 3, stride), (width, outer, 1, 1)]
    else:
        chain = [(inner, width, 3, stride), (width, outer, 3, 1)]
    groups, source, at = [], "x", side
    shortcut = "x"
    if stride != 1 or inner != outer:
        shortcut = f"{block}.shortcut"
        shape = Shape(inner, outer, 1, stride, side)
        groups.append(convolution(block, "shortcut", shape, run.batch, p, "x", shortcut, relu=False))
    for index, (a, b, kernel, step) in enumerate(chain):
        shape = Shape(a, b, kernel, step, at)
        last = index + 1 == len(chain)
        target = "x" if last else f"{block}.conv{index + 1}"
        name = f"conv{index + 1}"
        groups.append(
            convolution(block, name, shape, run.batch, p, source, target, shortcut=shortcut if last else None)
        )
        source, at = target, shape.output_side
    return Block(block, tuple(groups))


def resnet(name: str, figures: ResNet, run: Lengths, precision: Precision) -> Workload:
    """Return the forward pass over ``run.batch`` images."""
    stem = Shape(figures.channels, figures.stem, 7, 2, figures.image)
    parts = [Block("stem", _stem(stem, run, precision))]
    side, inner = Shape(0, 0, 3, 2, stem.output_side).output_side, figures.stem
    for stage, depth in enumerate(figures.depths):
        stride = 2 if stage > 0 else 1
        parts.append(unit(f"stage{stage + 1}.first", figures, inner, stage, stride, side, run, precision))
        inner = figures.widths[stage] * figures.expansion
        side = Shape(0, 0, 3, stride, side).output_side
        if depth > 1:
            rest = unit(f"stage{stage + 1}.rest", figures, inner, stage, 1, side, run, precision)
            parts.append(msgspec.structs.replace(rest, repeat=depth - 1))
    parts.append(Block("head", _head(figures, inner, side, run, precision)))
    return Workload(name, (Phase("forward", tuple(parts)),), {"image": run.batch})


def _stem(stem: Shape, run: Lengths, p: Precision) -> tuple[Group, ...]:
    pool = Shape(stem.outer, stem.outer, 3, 2, stem.output_side)
    k = Kernels("stem", pool.sizes(run.batch), p)
    # pooling keeps its channel, so its window carries "out"
    window = image_tensor("stem.conv1", pool, p)
    window = msgspec.structs.replace(window, axes=(Axis((("b", 1),)), Axis((("out", 1),)), *window.axes[2:]))
    largest = k.einsum("pool", (window,), pixels("x", p), vector())
    convolved = convolution("stem", "conv1", stem, run.batch, p, "image", "stem.conv1")
    return convolved, Group("pool", (largest,), "vector")


def _head(figures: ResNet, inner: int, side: int, run: Lengths, p: Precision) -> tuple[Group, ...]:
    k = Kernels("head", {"b": run.batch, "out": inner, "y": side, "x": side, "classes": figures.classes}, p)
    mean = k.activation("mean", "b out")
    average = k.einsum("mean", (pixels("x", p),), mean, vector())
    ops, _ = k.project(mean, "logits", "out", "classes", keep="b", bias=True, plain=True)
    return Group("mean", (average,), "vector"), Group("head", tuple(ops), "gemm")
