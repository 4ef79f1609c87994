"""Causal language models as workloads: prefill, decode and training phases from the architecture figures.

One group is one kernel of a serving engine: embedding, norm | qkv | head norm | rotary and cache write | attention |
output | residual and norm | gate-up | activation | down | residual and norm | head | sample. The residual addition
rides on the norm that follows it, so a layer ends in the norm of the next one and the model begins with one.

Conventions:

- Prefill samples one token per sequence: the head runs on the last position only. Decode then runs
  ``generate - 1`` steps; step ``i`` attends to ``context + prompt + i`` tokens, its own included.
- Training runs the head on every position, keeps no cache, and ends in the loss.
- FLOP of attention count the executed half of the causal mask, diagonal included.
- Latent attention expands keys and values in prefill and training, absorbs the expansion in decode.

Ranks: b s c d kv g k h f v as in ``attention``; e m for experts.
"""

from __future__ import annotations

from codesign.models import attention, experts
from codesign.models.attention import Pass
from codesign.models.figures import Decoder
from codesign.models.kernels import ADD, SOFTMAX, Kernels
from codesign.models.lengths import Lengths
from codesign.models.precision import Precision
from codesign.workload.differentiate import differentiate
from codesign.workload.einsum import Extent, Role, Tensor, tensor, vector
from codesign.workload.graph import Block, Group, Phase, Sweep, Workload

Sizes = dict[str, Extent]


def inference(name: str, figures: Decoder, run: Lengths, precision: Precision) -> Workload:
    """Return prefill and decode of ``run.batch`` sequences."""
    before, new = run.context, run.prompt
    attended = before + new
    density = (before + (new + 1) / 2) / attended
    sizes = {**fixed_sizes(figures), "b": run.batch, "s": new, "c": attended}
    prefill = Phase("prefill", blocks(figures, sizes, precision, Pass("prefill", density)))
    sizes = {**sizes, "s": 1, "c": attended + 1}
    steps = Sweep("c", attended + 1, run.generate - 1)
    decode = Phase("decode", blocks(figures, sizes, precision, Pass("decode", 1)), steps)
    units = {"output token": run.batch * run.generate, "request": run.batch}
    return Workload(name, (prefill, decode), units)


def training(name: str, figures: Decoder, run: Lengths, precision: Precision) -> Workload:
    """Return one training step on ``run.batch`` sequences of ``run.prompt`` tokens."""
    length = run.prompt
    sizes = {**fixed_sizes(figures), "b": run.batch, "s": length, "c": length}
    once = Pass("training", (length + 1) / (2 * length), Role.ACTIVATION)
    forward = Phase("forward", blocks(figures, sizes, precision, once), samples=False)
    return differentiate(Workload(name, (forward,), {"token": run.batch * length}))


def fixed_sizes(figures: Decoder) -> Sizes:
    """Return the rank extents that the architecture fixes."""
    sizes: Sizes = {
        "d": figures.width,
        "kv": figures.kv_heads,
        "g": figures.heads // figures.kv_heads,
        "k": figures.head_size,
        "h": figures.heads,
        "f": figures.mlp_width,
        "v": figures.vocabulary,
        "positions": figures.context,
    }
    m = figures.latent
    if m is not None:
        sizes |= {"rq": m.query_rank, "rkv": m.kv_rank, "p": m.rope_size, "n": m.plain_size, "w": m.value_size}
    return sizes


def stream(name: str, precision: Precision) -> Tensor:
    """Return a tensor that carries from layer to layer: ``x`` the residual stream, ``n`` its normalised form."""
    return tensor(name, "b s d", Role.ACTIVATION, precision.activation_bits)


def blocks(figures: Decoder, sizes: Sizes, precision: Precision, run: Pass) -> tuple[Block, ...]:
    """Return embedding, layers and head of one pass."""
    dense_layers = figures.layers if figures.experts is None else figures.experts.dense_layers
    parts = [Block("embedding", embedding(figures, Kernels("embedding", sizes, precision)))]
    for name, repeat, sparse in (("dense", dense_layers, False), ("layer", figures.layers - dense_layers, True)):
        if repeat:
            block = "layer" if figures.experts is None else name
            groups = layer(figures, Kernels(block, sizes, precision), run, sparse)
            parts.append(Block(block, groups, repeat))
    parts.append(Block("head", head(figures, Kernels("head", sizes, precision), every=run.name == "training")))
    return tuple(parts)


def embedding(figures: Decoder, kernels: Kernels) -> tuple[Group, ...]:
    """Return the embedding and the first norm."""
    k = kernels
    x, n = stream("x", k.precision), stream("n", k.precision)
    table = k.weight("table", "v d", plain=True)
    rows = k.sizes["b"] * k.sizes["s"]
    if figures.rope_base is None:
        words, places = k.activation("words", "b s d"), k.activation("places", "s d")
        positions = k.weight("positions", "positions d", plain=True)
        gather = Group(
            "embedding",
            (
                k.lookup("words", table, rows, words),
                k.lookup("positions", positions, k.sizes["s"], places),
                k.elementwise("add", (words, places), x),
            ),
            "vector",
        )
    else:
        gather = Group("embedding", (k.lookup("words", table, rows, x),), "vector")
    ops, _ = k.norm_ops(x, "norm", "b s d", figures.norm, output=n)
    return gather, Group("norm", tuple(ops), "vector")


def layer(figures: Decoder, kernels: Kernels, run: Pass, sparse: bool) -> tuple[Group, ...]:
    """Return one layer: attention, residual and norm, MLP, residual and the next layer's norm."""
    mixture = figures.experts is not None
    k = kernels.in_a_mixture("attention") if mixture else kernels
    x, n = stream("x", k.precision), stream("n", k.precision)
    if figures.latent is not None:
        groups = attention.latent(k, n, run)
    else:
        rotary = figures.rope_base is not None
        bias = (figures.attention_bias, figures.biased_output)
        groups = attention.grouped(k, n, run, bias, rotary, figures.query_key_norm)
    middle, normed = k.activation("x.middle", "b s d"), k.activation("n.middle", "b s d")
    groups.append(residual_norm(k, "mlp_norm", x, [k.activation("output", "b s d")], middle, normed, figures.norm))
    if sparse and figures.experts is not None:
        groups += experts.mixture(kernels, normed, figures.experts)
    elif figures.gated:
        mlp = kernels.in_a_mixture("mlp") if mixture else kernels
        groups += experts.gated(mlp, normed, bias=figures.mlp_bias)[0]
    else:
        groups += experts.dense(k, normed, figures.activation, figures.mlp_bias)[0]
    groups.append(residual_norm(k, "next_norm", middle, [k.activation("down", "b s d")], x, n, figures.norm))
    return tuple(groups)


def residual_norm(
    kernels: Kernels, name: str, x: Tensor, branches: list[Tensor], total: Tensor, normed: Tensor, kind: str
) -> Group:
    """Return ``total = x + branches`` and its norm as one kernel."""
    add = kernels.elementwise(f"{name}.residual", (x, *branches), total, ADD * len(branches))
    ops, _ = kernels.norm_ops(total, name, "b s d", kind, output=normed)
    return Group(name, (add, *ops), "vector")


def head(figures: Decoder, kernels: Kernels, every: bool) -> tuple[Group, ...]:
    """Return the head on the last position and the choice of a token, or on every position and the loss."""
    k = kernels
    keep = "b s" if every else "b"
    source = tensor("n", f"{keep} d", Role.ACTIVATION, k.precision.activation_bits)
    logits = k.activation("logits", f"{keep} v")
    # a tied head is the embedding's table by name, so it is stored and counted once
    owner = Kernels("embedding", k.sizes, k.precision) if figures.tied else k
    table = owner.weight("table", "v d", plain=True)
    product = k.einsum("head", (source, table), logits, k.precision.plain_product)
    chosen = k.activation("loss" if every else "token", keep)
    choose = k.einsum("choose", (logits,), chosen, vector(flops=SOFTMAX))
    return Group("head", (product,), "gemm"), Group("loss" if every else "sample", (choose,), "vector")
