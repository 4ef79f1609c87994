"""Mixture of experts as groups of kernels, with uniform routing.

Each of ``T`` tokens picks ``k`` distinct experts of ``E``. Under uniform routing an expert is left idle by one token
with probability ``1 - k/E``, so by all with ``(1 - k/E)^T``: the expected share of experts whose weights are read is
``touched = 1 - (1 - k/E)^T``. (With replacement it would be ``1 - (1 - 1/E)^(T k)``, slightly less.) Work is exact:
``m = T k / E`` rows per expert. All weights stay stored; a mesh axis ``ep`` divides the experts (rank ``e``).

Real routers are skewed: they touch fewer experts than this at small ``T``.
"""

from __future__ import annotations

import msgspec

from codesign.models.figures import Experts
from codesign.models.kernels import ACTIVATION_FLOPS, SOFTMAX, Kernels, exchange
from codesign.workload.einsum import Axis, Extent, Op, Tensor, axes, vector
from codesign.workload.graph import Group


def touched(experts: Experts, tokens: Extent) -> Extent:
    """Return the expected share of experts that ``tokens`` tokens visit under uniform routing."""
    return 1.0 - (1.0 - experts.per_token / experts.count) ** tokens


def mixture(kernels: Kernels, source: Tensor, experts: Experts) -> list[Group]:
    """Return router, experts and combine of ``source`` (b, s, d); their result is ``<block>.down``.

    The expert that every token visits runs beside them, and the combine adds its result: the shards of both are summed
    by one all-reduce.
    """
    tokens = kernels.sizes["b"] * kernels.sizes["s"]
    k = kernels.resized(
        e=experts.count, m=tokens * experts.per_token / experts.count, f=experts.width,
        top=experts.per_token, routes=experts.count, h=1,
    )  # fmt: skip
    payload = tokens * experts.per_token * k.sizes["d"] * k.precision.activation_bits / 8
    beside = shared(kernels.in_a_mixture("mlp"), source, experts) if experts.shared else []
    return [
        *_router(k, source, experts),
        exchange("dispatch_all_to_all", "all_to_all", payload, "ep"),
        _experts(k, source, touched(experts, tokens)),
        exchange("combine_all_to_all", "all_to_all", payload, "ep"),
        *beside,
        _combine(k, experts.shared > 0),
    ]


def _router(k: Kernels, source: Tensor, experts: Experts) -> list[Group]:
    """The choice itself is elementwise work over the scores; a sigmoid router adds its correction bias."""
    ops, scores = k.project(source, "router", "d", "routes", plain=True)
    correction = (k.weight("router.correction", "routes", plain=True),) if experts.scoring == "sigmoid" else ()
    shares = k.activation("shares", "b s top")
    # reads every score, writes the few shares kept
    choose = k.einsum("choose", (scores, *correction), shares, vector(flops=SOFTMAX / experts.per_token))
    return [Group("router", tuple(ops), "gemm"), Group("choose", (choose,), "vector")]


def _experts(k: Kernels, source: Tensor, share: Extent) -> Group:
    """One fused kernel, as engines run it: gathered rows, gate and up, activation, down over ragged groups of them."""
    gather = k.elementwise("gather", (source,), k.activation("routed", "b s top d"), 0.0)
    product = k.precision.product
    rows = k.activation("routed", "e m d")
    gate, up, hidden = (k.activation(name, "e m f") for name in ("expert.gate", "expert.up", "expert.hidden"))
    out = k.activation("expert.rows", "e m d")
    # a rank with stride 0 stays on the output: the sum over shards of f is due after the combine, not here
    out = msgspec.structs.replace(out, axes=(*axes("e m"), Axis((("d", 1), ("f", 0)))))
    ops: list[Op] = [gather]
    for name, target in (("gate", gate), ("up", up)):
        weight = k.weight(f"expert.{name}.weight", "e d f", touched=share)
        ops.append(k.einsum(f"expert.{name}", (rows, weight), target, product))
    ops.append(k.elementwise("expert.activation", (gate, up), hidden, ACTIVATION_FLOPS["silu"] + 1.0))
    down = k.weight("expert.down.weight", "e f d", touched=share)
    ops.append(k.einsum("expert.down", (hidden, down), out, product))
    return Group("experts", tuple(ops), "moe")


def _combine(k: Kernels, with_shared: bool) -> Group:
    """Return the weighted sum of a token's rows, and of the shared expert's.

    The rank ``h`` of extent 1 stands for the shards of a tensor-parallel expert: sharding finds it summed over, and
    adds the all-reduce of (b, s, d).
    """
    rows, shares = k.activation("expert.rows", "b s top d"), k.activation("shares", "b s top")
    extra = (k.activation("shared.down", "b s d"),) if with_shared else ()
    op = k.einsum("combine", (rows, shares, *extra), k.activation("down", "b s d"), vector(flops=2.0), over="h")
    return Group("combine", (op,), "vector")


def shared(kernels: Kernels, source: Tensor, experts: Experts) -> list[Group]:
    """Return the expert every token visits; the sum over the shards of its result is due after the combine."""
    k = kernels.resized(f=experts.shared * experts.width)
    partial = k.activation("shared.down", "b s d")
    partial = msgspec.structs.replace(partial, axes=(*axes("b s"), Axis((("d", 1), ("f", 0)))))
    return gated(k, source, "shared.", output=partial)[0]


def gated(
    kernels: Kernels, source: Tensor, prefix: str = "", bias: bool = False, output: Tensor | None = None
) -> tuple[list[Group], Tensor]:
    """Return ``down(silu(gate(x)) * up(x))`` as gate-up, activation, down, and its result (b, s, d)."""
    k = kernels
    gate_ops, gate = k.project(source, f"{prefix}gate", "d", "f", bias=bias)
    up_ops, up = k.project(source, f"{prefix}up", "d", "f", bias=bias)
    hidden = k.activation(f"{prefix}hidden", "b s f")
    activate = k.elementwise(f"{prefix}activation", (gate, up), hidden, ACTIVATION_FLOPS["silu"] + 1.0)
    down_ops, result = k.project(hidden, f"{prefix}down", "f", "d", bias=bias, output=output)
    return [
        Group(f"{prefix}gate_up", (*gate_ops, *up_ops), "gemm"),
        Group(f"{prefix}activation", (activate,), "vector"),
        Group(f"{prefix}down", tuple(down_ops), "gemm"),
    ], result


def dense(kernels: Kernels, source: Tensor, activation: str, bias: bool = True) -> tuple[list[Group], Tensor]:
    """Return ``down(activation(up(x)))`` with the activation in the first kernel, and its result (b, s, d)."""
    up_ops, up = kernels.project(source, "up", "d", "f", bias=bias, activation=activation)
    down_ops, result = kernels.project(up, "down", "f", "d", bias=bias)
    return [Group("up", tuple(up_ops), "gemm"), Group("down", tuple(down_ops), "gemm")], result


__all__ = ["dense", "gated", "mixture", "shared", "touched"]
