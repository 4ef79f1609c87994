"""BERT and ViT as workloads: one forward phase; training derives from it.

Groups: embedding and norm | qkv | attention | output | residual and norm | up with activation | down | residual and
norm | head. BERT normalises after each residual addition, ViT before each branch; either way addition and norm are one
kernel. ViT's patch embedding is a convolution whose stride equals its kernel.
"""

from __future__ import annotations

from codesign.models import attention, experts
from codesign.models.attention import Pass
from codesign.models.decoder import residual_norm, stream
from codesign.models.figures import Encoder, VisionTransformer
from codesign.models.kernels import ADD, Kernels, convolution_axis
from codesign.models.lengths import Lengths
from codesign.models.precision import Precision
from codesign.workload.einsum import Extent, Op, Role, Tensor, axes, tensor
from codesign.workload.graph import Block, Group, Phase, Workload

BOTH_WAYS = Pass("forward", 1, Role.ACTIVATION)


def text_sizes(figures: Encoder | VisionTransformer, batch: Extent, tokens: Extent) -> dict[str, Extent]:
    """Return the rank extents of a bidirectional encoder over ``tokens`` tokens."""
    return {
        "b": batch, "s": tokens, "c": tokens, "d": figures.width, "h": figures.heads,
        "k": figures.width // figures.heads, "f": figures.mlp_width, "j": figures.width,
    }  # fmt: skip


def bert(name: str, figures: Encoder, run: Lengths, precision: Precision) -> Workload:
    """Return the forward pass over ``run.batch`` texts of ``run.prompt`` tokens."""
    sizes = text_sizes(figures, run.batch, run.prompt)
    sizes |= {"v": figures.vocabulary, "positions": figures.positions, "segments": figures.segments}
    parts = [Block("embedding", (_words(Kernels("embedding", sizes, precision)),))]
    parts.append(Block("layer", post_norm_layer(Kernels("layer", sizes, precision)), figures.layers))
    if figures.pooler:
        k = Kernels("pooler", sizes, precision)
        first = tensor("x", "b d", Role.ACTIVATION, precision.activation_bits)
        ops, _ = k.project(first, "pooled", "d", "j", keep="b", bias=True, activation="tanh")
        parts.append(Block("pooler", (Group("pooler", tuple(ops), "gemm"),)))
    units = {"token": run.batch * run.prompt, "request": run.batch}
    return Workload(name, (Phase("forward", tuple(parts)),), units)


def _words(k: Kernels) -> Group:
    rows = k.sizes["b"] * k.sizes["s"]
    words, places, segments = (
        k.activation("words", "b s d"),
        k.activation("places", "s d"),
        k.activation("kinds", "b s d"),
    )
    total = k.activation("total", "b s d")
    ops: list[Op] = [
        k.lookup("words", k.weight("table", "v d", plain=True), rows, words),
        k.lookup("positions", k.weight("positions", "positions d", plain=True), k.sizes["s"], places),
        k.lookup("segments", k.weight("segments", "segments d", plain=True), rows, segments),
        k.elementwise("add", (words, places, segments), total, 2 * ADD),
    ]
    norm, _ = k.norm_ops(total, "norm", "b s d", output=stream("x", k.precision))
    return Group("embedding", (*ops, *norm), "vector")


def post_norm_layer(kernels: Kernels) -> tuple[Group, ...]:
    """Return a layer whose norms follow the residual additions."""
    k = kernels
    x = stream("x", k.precision)
    groups = attention.plain(k, x, BOTH_WAYS)
    # the sum before a norm is used by nothing else, so it stays inside the kernel
    summed, middle = k.activation("x.sum", "b s d"), k.activation("x.middle", "b s d")
    groups.append(residual_norm(k, "attention_norm", x, [k.activation("output", "b s d")], summed, middle, "layer"))
    mlp, result = experts.dense(k, middle, "gelu")
    groups += mlp
    groups.append(residual_norm(k, "mlp_norm", middle, [result], k.activation("y.sum", "b s d"), x, "layer"))
    return tuple(groups)


def pre_norm_layer(kernels: Kernels, run: Pass = BOTH_WAYS) -> tuple[Group, ...]:
    """Return a layer whose norms precede the branches; it ends in the norm of the next layer."""
    k = kernels
    x, n = stream("x", k.precision), stream("n", k.precision)
    groups = attention.plain(k, n, run)
    middle, normed = k.activation("x.middle", "b s d"), k.activation("n.middle", "b s d")
    groups.append(residual_norm(k, "mlp_norm", x, [k.activation("output", "b s d")], middle, normed, "layer"))
    mlp, result = experts.dense(k, normed, "gelu")
    groups += mlp
    groups.append(residual_norm(k, "next_norm", middle, [result], x, n, "layer"))
    return tuple(groups)


def vit(name: str, figures: VisionTransformer, run: Lengths, precision: Precision) -> Workload:
    """Return the forward pass over ``run.batch`` images."""
    side = figures.image // figures.patch
    sizes = text_sizes(figures, run.batch, figures.tokens)
    sizes |= {"in": figures.channels, "y": side, "x": side, "ky": figures.patch, "kx": figures.patch}
    parts = (
        Block("patches", _patches(Kernels("patches", sizes, precision), figures)),
        Block("layer", pre_norm_layer(Kernels("layer", sizes, precision)), figures.layers),
        Block("head", (_classifier(Kernels("head", {**sizes, "classes": figures.classes}, precision)),)),
    )
    return Workload(name, (Phase("forward", parts),), {"image": run.batch})


def _patches(k: Kernels, figures: VisionTransformer) -> tuple[Group, ...]:
    rows, columns = (convolution_axis(o, i, figures.patch, 0, figures.image) for o, i in (("y", "ky"), ("x", "kx")))
    image = Tensor("image", (*axes("b in"), rows, columns), Role.ACTIVATION, k.precision.activation_bits)
    patches, biased = k.activation("product", "b y x d"), k.activation("patches", "b y x d")
    ops: list[Op] = [
        k.einsum("patches", (image, k.weight("weight", "in ky kx d")), patches, k.precision.product),
        k.elementwise("bias", (patches, k.weight("bias", "d", plain=True)), biased),
    ]
    x = stream("x", k.precision)
    token, positions = k.weight("token", "d", plain=True), k.weight("positions", "s d", plain=True)
    # one pass over (b, s, d): patches (read as such) and the class token, plus positions
    add = k.elementwise("positions", (k.activation("patches", "b s d"), token, positions), x)
    norm, _ = k.norm_ops(x, "norm", "b s d", output=stream("n", k.precision))
    return Group("patches", tuple(ops), "conv"), Group("positions", (add, *norm), "vector")


def _classifier(k: Kernels) -> Group:
    first = tensor("n", "b d", Role.ACTIVATION, k.precision.activation_bits)
    ops, _ = k.project(first, "logits", "d", "classes", keep="b", bias=True, plain=True)
    return Group("head", tuple(ops), "gemm")
