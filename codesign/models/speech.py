"""Whisper as a workload: encode one window of audio, then prefill and decode text with cross attention.

The text pass first projects the audio of every layer into cross keys and values (once per request, in prefill); decode
reads them. Ranks: ``a`` audio positions beside those of ``attention``; ``t`` and ``kt`` time and kernel of the two
convolutions.
"""

from __future__ import annotations

from codesign.models import attention, experts
from codesign.models.attention import Pass
from codesign.models.decoder import residual_norm
from codesign.models.figures import SpeechTransformer
from codesign.models.kernels import ADD, SOFTMAX, Kernels, convolution_axis
from codesign.models.lengths import Lengths
from codesign.models.precision import Precision
from codesign.workload.differentiate import differentiate
from codesign.workload.einsum import Extent, Op, Role, Tensor, axes, tensor, vector
from codesign.workload.graph import Block, Group, Phase, Sweep, Workload

NO_KEY_BIAS = (True, False, True)


def inference(name: str, figures: SpeechTransformer, run: Lengths, precision: Precision) -> Workload:
    """Return encode, prefill and decode of ``run.batch`` windows of audio."""
    attended = run.context + run.prompt
    density = (run.context + (run.prompt + 1) / 2) / attended
    sizes = fixed_sizes(figures, run.batch)
    encode = Phase("encode", _encoder(figures, sizes, precision), samples=False)
    text = {**sizes, "s": run.prompt, "c": attended}
    prefill = Phase("prefill", _decoder(figures, text, precision, Pass("prefill", density), every=False))
    text = {**sizes, "s": 1, "c": attended + 1}
    steps = Sweep("c", attended + 1, run.generate - 1)
    decode = Phase("decode", _decoder(figures, text, precision, Pass("decode", 1), every=False), steps)
    units = {"output token": run.batch * run.generate, "request": run.batch}
    return Workload(name, (encode, prefill, decode), units)


def training(name: str, figures: SpeechTransformer, run: Lengths, precision: Precision) -> Workload:
    """Return one training step on ``run.batch`` windows with ``run.prompt`` text tokens each."""
    sizes = fixed_sizes(figures, run.batch)
    text = {**sizes, "s": run.prompt, "c": run.prompt}
    once = Pass("training", (run.prompt + 1) / (2 * run.prompt), Role.ACTIVATION)
    parts = (*_encoder(figures, sizes, precision), *_decoder(figures, text, precision, once, every=True))
    return differentiate(Workload(name, (Phase("forward", parts, samples=False),), {"request": run.batch}))


def fixed_sizes(figures: SpeechTransformer, batch: Extent) -> dict[str, Extent]:
    """Return the rank extents of the audio side and what both sides share."""
    audio = figures.audio_context
    return {
        "b": batch, "s": audio, "c": audio, "a": audio, "d": figures.width, "h": figures.heads,
        "k": figures.width // figures.heads, "f": figures.mlp_width, "v": figures.vocabulary,
        "positions": figures.text_context,
    }  # fmt: skip


def _named(side: str, name: str, precision: Precision) -> Tensor:
    return tensor(f"{side}.{name}", "b s d", Role.ACTIVATION, precision.activation_bits)


def _encoder(figures: SpeechTransformer, sizes: dict[str, Extent], precision: Precision) -> tuple[Block, ...]:
    k = Kernels("audio", sizes, precision)
    first = _convolution(k, "conv1", figures.mel_bins, figures.frames, 1, "mel")
    second = _convolution(k, "conv2", figures.width, figures.frames, 2, "audio.conv1")
    x, n = _named("audio", "x", precision), _named("audio", "n", precision)
    places = k.weight("positions", "s d", plain=True)
    add = k.elementwise("positions", (k.activation("conv2", "b s d"), places), x)
    norm, _ = k.norm_ops(x, "norm", "b s d", output=n)
    run = Pass("encode", 1, Role.ACTIVATION)
    layer = Kernels("encoder", sizes, precision)
    return (
        Block("audio", (first, second, Group("positions", (add, *norm), "vector"))),
        Block("encoder", _layer(layer, "audio", run, cross=False), figures.encoder_layers),
    )


def _convolution(kernels: Kernels, name: str, channels: int, frames: int, stride: int, source: str) -> Group:
    """Convolution over time with kernel 3, bias and GELU; ``d`` is the output width."""
    k = kernels.resized(**{"in": channels, "t": frames // stride, "kt": 3})
    window = convolution_axis("t", "kt", stride, 1, frames)
    # the second convolution reads its channels under the rank name of the input
    image = Tensor(source, (*axes("b in"), window), Role.ACTIVATION, k.precision.activation_bits)
    product, biased, result = (k.activation(f"{name}{part}", "b t d") for part in (".product", ".biased", ""))
    ops: list[Op] = [
        k.einsum(name, (image, k.weight(f"{name}.weight", "d in kt")), product, k.precision.product),
        k.elementwise(f"{name}.bias", (product, k.weight(f"{name}.bias", "d", plain=True)), biased),
        k.elementwise(f"{name}.gelu", (biased,), result, 8.0),
    ]
    return Group(name, tuple(ops), "conv")


def _layer(kernels: Kernels, side: str, run: Pass, cross: bool) -> tuple[Group, ...]:
    """Return a pre-norm layer that reads and writes ``<side>.x`` and ``<side>.n``; norms follow additions."""
    k = kernels
    x, n = _named(side, "x", k.precision), _named(side, "n", k.precision)
    groups = attention.plain(k, n, run, bias=NO_KEY_BIAS, cached=cross)
    before, normed = k.activation("x.self", "b s d"), k.activation("n.self", "b s d")
    groups.append(residual_norm(k, "self_norm", x, [k.activation("output", "b s d")], before, normed, "layer"))
    if cross:
        audio = tensor("audio.n", "b a d", Role.ACTIVATION, k.precision.activation_bits)
        context = None if run.name == "decode" else audio
        everything = Pass(run.name, 1, run.kv_role)
        groups += attention.plain(
            k, normed, everything, "cross.", NO_KEY_BIAS, context, context_ranks=("a", "d"), cached=True
        )
        branch = k.activation("cross.output", "b s d")
        after, normed = k.activation("x.cross", "b s d"), k.activation("n.cross", "b s d")
        groups.append(residual_norm(k, "cross_norm", before, [branch], after, normed, "layer"))
        before = after
    mlp, result = experts.dense(k, normed, "gelu")
    groups += mlp
    groups.append(residual_norm(k, "next_norm", before, [result], x, n, "layer"))
    return tuple(groups)


def _decoder(
    figures: SpeechTransformer, sizes: dict[str, Extent], precision: Precision, run: Pass, every: bool
) -> tuple[Block, ...]:
    k = Kernels("text", sizes, precision)
    x, n = _named("text", "x", precision), _named("text", "n", precision)
    words, places = k.activation("words", "b s d"), k.activation("places", "s d")
    table = k.weight("table", "v d", plain=True)
    ops: list[Op] = [
        k.lookup("words", table, sizes["b"] * sizes["s"], words),
        k.lookup("positions", k.weight("positions", "positions d", plain=True), sizes["s"], places),
        k.elementwise("add", (words, places), x, ADD),
    ]
    norm, _ = k.norm_ops(x, "norm", "b s d", output=n)
    keep = "b s" if every else "b"
    logits, chosen = k.activation("logits", f"{keep} v"), k.activation("token", keep)
    last = tensor("text.n", f"{keep} d", Role.ACTIVATION, precision.activation_bits)
    return (
        Block("text", (Group("embedding", (*ops, *norm), "vector"),)),
        Block("decoder", _layer(Kernels("decoder", sizes, precision), "text", run, cross=True), figures.decoder_layers),
        Block(
            "head",
            (
                Group("head", (k.einsum("head", (last, table), logits, precision.plain_product),), "gemm"),
                Group("sample", (k.einsum("choose", (logits,), chosen, vector(flops=SOFTMAX)),), "vector"),
            ),
        ),
    )


__all__ = ["inference", "training"]
