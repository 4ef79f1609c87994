"""The U-Net of Stable Diffusion 1.x as a workload: one denoising step, repeated.

Classifier-free guidance evaluates every image twice (with and without text), as pipelines do by default, so the rank
``b`` is twice the images (training evaluates once). Group norm and SiLU are one kernel, the convolution after it
another with bias, time embedding or residual addition. Ranks: in and out channels, y x output pixels, ky kx kernel;
tokens of the transformers are ``s`` pixels of width ``d``, text is ``u`` tokens of width ``l``.
"""

from __future__ import annotations

from codesign.models import attention
from codesign.models.attention import Pass
from codesign.models.figures import DiffusionUNet
from codesign.models.kernels import ACTIVATION_FLOPS, ADD, NORM_FLOPS, Kernels
from codesign.models.lengths import Lengths
from codesign.models.precision import Precision
from codesign.models.resnet import Shape, image_tensor, pixels
from codesign.workload.differentiate import differentiate
from codesign.workload.einsum import Extent, Op, Role, tensor
from codesign.workload.graph import Block, Group, Phase, Sweep, Workload

BOTH_WAYS = Pass("denoise", 1, Role.ACTIVATION)
NO_BIAS = (False, False, False)
GUIDANCE = 2
"""Evaluations per image and step under classifier-free guidance (arXiv:2207.12598)."""


class Builder:
    """Builds the blocks of one denoising step in order, keeping the name, channels and side of what flows.

    Attributes:
        flow: Name of the current image; it changes with every block, because skips read it again later.
        width: Its channels.
        side: Its side, pixels.
        blocks: What is built so far.
    """

    def __init__(self, figures: DiffusionUNet, batch: Extent, precision: Precision) -> None:
        self.figures, self.batch, self.precision = figures, batch, precision
        self.flow, self.width, self.side = "latent", figures.channels, figures.sample
        self.blocks: list[Block] = []

    def kernels(self, block: str, shape: Shape) -> Kernels:
        """Return the kernels of ``block`` at ``shape``."""
        extra = {"tw": self.figures.time_width, "b": self.batch}
        return Kernels(block, {**shape.sizes(self.batch), **extra}, self.precision)

    def convolve(
        self, block: str, name: str, shape: Shape, source: str, target: str, extra: tuple[str, ...] = ()
    ) -> Group:
        """Return convolution and bias, plus images (b, out, y, x) or vectors named ``*.time`` (b, out) added to it."""
        k = self.kernels(block, shape)
        product = k.activation(f"{name}.product", "b out y x")
        weight, bias = k.weight(f"{name}.weight", "out in ky kx"), k.weight(f"{name}.bias", "out", plain=True)
        added = [pixels(e, self.precision, "b out" if e.endswith(".time") else "b out y x") for e in extra]
        ops: list[Op] = [
            k.einsum(name, (image_tensor(source, shape, self.precision), weight), product, self.precision.product),
            k.elementwise(
                f"{name}.bias", (product, bias, *added), pixels(target, self.precision), ADD * (1 + len(added))
            ),
        ]
        return Group(name, tuple(ops), "conv")

    def group_norm(self, block: str, name: str, channels: int, source: str, target: str, silu: bool = True) -> Group:
        """Return group norm and SiLU as one kernel."""
        k = self.kernels(block, Shape(channels, channels, 1, 1, self.side))
        scale, shift = (k.weight(f"{name}.{part}", "out", plain=True) for part in ("scale", "shift"))
        flops = NORM_FLOPS["layer"] + (ACTIVATION_FLOPS["silu"] if silu else 0.0)
        op = k.elementwise(name, (pixels(source, self.precision), scale, shift), pixels(target, self.precision), flops)
        return Group(name, (op,), "vector")

    def residual(self, block: str, inner: int, outer: int) -> list[Group]:
        """Return a residual unit from ``self.flow`` (``inner`` channels) to ``<block>.res`` (``outer`` channels)."""
        wide = Shape(inner, outer, 3, 1, self.side)
        k = self.kernels(block, wide)
        time = tensor("time.active", "b tw", Role.ACTIVATION, self.precision.activation_bits)
        embed, _ = k.project(time, "time", "tw", "out", keep="b", bias=True)
        groups = [
            self.group_norm(block, "norm1", inner, self.flow, f"{block}.normed1"),
            Group("time", tuple(embed), "gemm"),
            self.convolve(block, "conv1", wide, f"{block}.normed1", f"{block}.hidden", (f"{block}.time",)),
            self.group_norm(block, "norm2", outer, f"{block}.hidden", f"{block}.normed2"),
        ]
        shortcut = self.flow
        if inner != outer:
            shortcut = f"{block}.shortcut"
            narrow = Shape(inner, outer, 1, 1, self.side)
            groups.append(self.convolve(block, "shortcut", narrow, self.flow, shortcut))
        same = Shape(outer, outer, 3, 1, self.side)
        groups.append(self.convolve(block, "conv2", same, f"{block}.normed2", f"{block}.res", (shortcut,)))
        return groups

    def transformer(self, block: str, width: int) -> list[Group]:
        """Return a transformer over the pixels, from ``<block>.res`` to ``<block>.out``."""
        f = self.figures
        square = Shape(width, width, 1, 1, self.side)
        k = Kernels(
            block,
            {
                "b": self.batch, "s": self.side**2, "c": self.side**2, "d": width, "h": f.heads, "k": width // f.heads,
                "f": 4 * width, "u": f.context_length, "l": f.context_width,
            },
            self.precision,
        )  # fmt: skip
        into = [
            self.group_norm(block, "norm", width, f"{block}.res", f"{block}.normed", silu=False),
            self.convolve(block, "proj_in", square, f"{block}.normed", f"{block}.tokens"),
        ]
        tokens, text = k.activation("tokens", "b s d"), tensor("text", "b u l", bits=self.precision.activation_bits)
        norm, n = k.norm_ops(tokens, "self_norm", "b s d")
        groups = [*into, Group("self_norm", tuple(norm), "vector")]
        groups += attention.plain(k, n, BOTH_WAYS, "self.", NO_BIAS)
        first, second, third = (k.activation(f"tokens.{i}", "b s d") for i in range(3))
        groups.append(self._add_norm(k, "cross_norm", "tokens", "self.output", "tokens.0", "cross_norm"))
        groups += attention.plain(
            k, k.activation("cross_norm", "b s d"), BOTH_WAYS, "cross.", NO_BIAS, text, context_ranks=("u", "l")
        )
        groups.append(self._add_norm(k, "mlp_norm", first.name.removeprefix(f"{block}."), "cross.output", "tokens.1"))
        n = k.activation("mlp_norm", "b s d")
        up_ops, up = k.project(n, "up", "d", "f", bias=True)
        gate_ops, gate = k.project(n, "gate", "d", "f", bias=True)
        hidden = k.activation("hidden", "b s f")
        activate = k.elementwise("activation", (gate, up), hidden, ACTIVATION_FLOPS["gelu"] + 1.0)
        down_ops, down = k.project(hidden, "down", "f", "d", bias=True)
        add = k.elementwise("mlp_residual", (second, down), third)
        out = self.convolve(block, "proj_out", square, third.name, f"{block}.out", (f"{block}.res",))
        return [
            *groups,
            Group("gate_up", (*up_ops, *gate_ops), "gemm"),
            Group("activation", (activate,), "vector"),
            Group("down", (*down_ops, add), "gemm"),
            out,
        ]

    def _add_norm(self, k: Kernels, name: str, x: str, branch: str, total: str, result: str | None = None) -> Group:
        summed = k.activation(total, "b s d")
        add = k.elementwise(f"{name}.residual", (k.activation(x, "b s d"), k.activation(branch, "b s d")), summed)
        norm, _ = k.norm_ops(summed, result or name, "b s d")
        return Group(name, (add, *norm), "vector")

    def unit(self, block: str, outer: int, attends: bool, skip: tuple[str, int] | None = None) -> None:
        """Append a residual unit and, where the level has one, a transformer; ``skip`` is concatenated first."""
        groups: list[Group] = []
        inner = self.width
        if skip is not None:
            inner = self.width + skip[1]
            groups.append(self._concatenate(block, skip, inner))
            self.flow = f"{block}.joined"
        groups += self.residual(block, inner, outer)
        if attends:
            groups += self.transformer(block, outer)
        self.blocks.append(Block(block, tuple(groups)))
        self.flow, self.width = f"{block}.out" if attends else f"{block}.res", outer

    def _concatenate(self, block: str, skip: tuple[str, int], inner: int) -> Group:
        k = self.kernels(block, Shape(inner, inner, 1, 1, self.side))
        k = k.resized(one=self.width, two=skip[1])
        parts = (pixels(self.flow, self.precision, "b one y x"), pixels(skip[0], self.precision, "b two y x"))
        joined = pixels(f"{block}.joined", self.precision)
        # a copy: no arithmetic, so the ranks of both parts may stand beside each other
        return Group("join", (k.elementwise("join", parts, joined, 0.0),), "vector")

    def resample(self, block: str, stride: int) -> None:
        """Append a convolution that halves the side, or one after doubling it (``stride`` 1)."""
        groups = []
        source = self.flow
        if stride == 1:
            k = self.kernels(block, Shape(self.width, self.width, 1, 1, 2 * self.side))
            small = pixels(source, self.precision, "b out ys xs")
            large = pixels(f"{block}.larger", self.precision)
            copy = k.resized(ys=self.side, xs=self.side).elementwise("upsample", (small,), large, 0.0)
            groups.append(Group("upsample", (copy,), "vector"))
            source, self.side = f"{block}.larger", 2 * self.side
        shape = Shape(self.width, self.width, 3, stride, self.side)
        groups.append(self.convolve(block, "conv", shape, source, f"{block}.out"))
        self.blocks.append(Block(block, tuple(groups)))
        self.flow, self.side = f"{block}.out", shape.output_side


def denoise(name: str, figures: DiffusionUNet, run: Lengths, precision: Precision) -> Workload:
    """Return ``run.steps`` denoising steps of ``run.batch`` images, each evaluated with and without text."""
    phase = Phase("denoise", blocks(figures, GUIDANCE * run.batch, precision), Sweep("step", 1, run.steps))
    return Workload(name, (phase,), {"image": run.batch})


def training(name: str, figures: DiffusionUNet, run: Lengths, precision: Precision) -> Workload:
    """Return one training step on ``run.batch`` noised latents."""
    forward = Phase("forward", blocks(figures, run.batch, precision), samples=False)
    return differentiate(Workload(name, (forward,), {"image": run.batch}))


def blocks(figures: DiffusionUNet, batch: Extent, precision: Precision) -> tuple[Block, ...]:
    """Return one evaluation of the U-Net on ``batch`` latents."""
    build = Builder(figures, batch, precision)
    build.blocks.append(Block("time", _time(figures, build)))
    first = Shape(figures.channels, figures.widths[0], 3, 1, figures.sample)
    build.blocks.append(Block("into", (build.convolve("into", "conv", first, "latent", "into.out"),)))
    build.flow, build.width = "into.out", figures.widths[0]
    skips = [(build.flow, build.width)]
    for level, (width, attends) in enumerate(zip(figures.widths, figures.attention, strict=True)):
        for index in range(figures.units):
            build.unit(f"down{level}.{index}", width, attends)
            skips.append((build.flow, build.width))
        if level + 1 < len(figures.widths):
            build.resample(f"down{level}.shrink", 2)
            skips.append((build.flow, build.width))
    build.unit("middle.0", figures.widths[-1], True)
    build.unit("middle.1", figures.widths[-1], False)
    for level in reversed(range(len(figures.widths))):
        for index in range(figures.units + 1):
            build.unit(f"up{level}.{index}", figures.widths[level], figures.attention[level], skips.pop())
        if level > 0:
            build.resample(f"up{level}.grow", 1)
    last = Shape(build.width, figures.channels, 3, 1, build.side)
    norm = build.group_norm("out", "norm", build.width, build.flow, "out.normed")
    build.blocks.append(Block("out", (norm, build.convolve("out", "conv", last, "out.normed", "noise"))))
    return tuple(build.blocks)


def _time(figures: DiffusionUNet, build: Builder) -> tuple[Group, ...]:
    sizes = {"b": build.batch, "in": figures.widths[0], "tw": figures.time_width, "out": figures.time_width}
    k = Kernels("time", sizes, build.precision)
    source = k.activation("wave", "b in")
    first, hidden = k.project(source, "first", "in", "tw", keep="b", bias=True, activation="silu")
    # every residual unit applies SiLU to the embedding: once is enough
    result = tensor("time.active", "b out", Role.ACTIVATION, build.precision.activation_bits)
    second, _ = k.project(hidden, "second", "tw", "out", keep="b", bias=True, activation="silu", output=result)
    return Group("first", tuple(first), "gemm"), Group("second", tuple(second), "gemm")
