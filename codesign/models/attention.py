"""Attention as groups of kernels: grouped-query, latent, and plain multi-head with biases.

Ranks: ``b`` batch, ``s`` new tokens, ``c`` tokens attended to, ``d`` residual width, ``kv`` key-value heads, ``g``
query heads per key-value head, ``k`` head size, ``h`` heads where keys are not shared. Keys and values carry ``kv`` but
not ``g``, so the cache is read once for all the queries that share it.

Causal density: of the ``s * c`` pairs, a pass with ``p`` cached tokens executes ``s * p + s (s + 1) / 2``
(notes on closed forms: the mask includes the diagonal).
"""

from __future__ import annotations

import msgspec

from codesign.models.kernels import ROTARY, SOFTMAX, Kernels
from codesign.workload.einsum import Extent, Op, Role, Tensor, vector
from codesign.workload.graph import Group


class Pass(msgspec.Struct, frozen=True):
    """Which pass is built: ``density`` of its attention, role of its keys and values, kernel family."""

    name: str
    density: Extent
    kv_role: Role = Role.KV

    @property
    def family(self) -> str:
        """Return the kernel family of attention."""
        return "attention_decode" if self.name == "decode" else "attention_prefill"


def core(
    kernels: Kernels,
    pairs: list[tuple[Tensor, Tensor]],
    v: Tensor,
    output: Tensor,
    scores: str,
    density: Extent,
    family: str,
    name: str = "attention",
) -> Group:
    """Return softmax(sum of query-key products) times ``v`` as one kernel; scores never touch memory.

    ``pairs`` are (query part, key part) whose products add up to the scores.
    """
    compute = kernels.precision.plain_product
    ops: list[Op] = []
    parts = []
    for index, (query, key) in enumerate(pairs):
        part = kernels.activation(f"{name}.scores.{index}", scores)
        ops.append(kernels.einsum(f"{name}.scores.{index}", (query, key), part, compute, density))
        parts.append(part)
    weights = kernels.activation(f"{name}.weights", scores)
    ops.append(kernels.einsum(f"{name}.softmax", tuple(parts), weights, vector(flops=SOFTMAX), density))
    ops.append(kernels.einsum(f"{name}.values", (weights, v), output, compute, density))
    return Group(name, tuple(ops), family)


def grouped(
    kernels: Kernels, source: Tensor, run: Pass, bias: tuple[bool, bool], rotary: bool, head_norm: bool
) -> list[Group]:
    """Return grouped-query attention of ``source`` (b, s, d): qkv, rotary and cache write, attention, output.

    ``bias`` says whether query, key and value have one, and whether the output has.
    """
    head = {"q": "kv g k", "k": "kv k", "v": "kv k"}
    ops: list[Op] = []
    made: dict[str, Tensor] = {}
    direct = not (rotary or head_norm)
    keys, values = (kernels.cache(f"{part}.cache", "b s kv k", run.kv_role) for part in ("k", "v"))
    for part, ranks in head.items():
        # without rotary embedding the projection itself writes the cache
        target = {"k": keys, "v": values}.get(part) if direct else None
        more, made[part] = kernels.project(source, part, "d", ranks, bias=bias[0], output=target)
        ops += more
    groups = [Group("qkv", tuple(ops), "gemm")]
    query = made["q"]
    if head_norm:
        ops = []
        for part in ("q", "k"):
            more, made[part] = kernels.norm_ops(made[part], f"{part}.norm", f"b s {head[part]}", "rms", over="k")
            ops += more
        query = made["q"]
        groups.append(Group("head_norm", tuple(ops), "vector"))
    if not direct:
        query = kernels.activation("q.rotated", "b s kv g k")
        flops = ROTARY if rotary else 0.0
        write: list[Op] = [
            kernels.elementwise("rope.q", (made["q"],), query, flops),
            kernels.elementwise("rope.k", (made["k"],), keys, flops),
            kernels.elementwise("cache.v", (made["v"],), values, 0.0),
        ]
        groups.append(Group("rope_cache", tuple(write), "vector"))
    mixed = kernels.activation("attention", "b s kv g k")
    all_keys, all_values = (kernels.cache(f"{part}.cache", "b c kv k", run.kv_role) for part in ("k", "v"))
    groups.append(core(kernels, [(query, all_keys)], all_values, mixed, "b kv g s c", run.density, run.family))
    ops, _ = kernels.project(mixed, "output", "kv g k", "d", bias=bias[1])
    return [*groups, Group("output", tuple(ops), "gemm")]


def latent(kernels: Kernels, source: Tensor, run: Pass) -> list[Group]:
    """Return multi-head latent attention of ``source`` (DeepSeek-V2, arXiv:2405.04434, section 2.1).

    Ranks: ``rq`` query rank, ``rkv`` cached latent, ``p`` rotary part, ``n`` plain part, ``w`` value size. A prompt
    (and training) expands the latent into keys and values; decode folds the expansion into query and output.
    """
    k = kernels
    down_q, query_low = k.project(source, "query_down", "d", "rq")
    down_kv, latent_raw = k.project(source, "kv_down", "d", "rkv")
    down_rope, rope_raw = k.project(source, "kv_rope", "d", "p")
    groups = [Group("latent_down", (*down_q, *down_kv, *down_rope), "gemm")]
    kept = k.cache("latent.cache", "b s rkv", run.kv_role)
    norm_q, query_low = k.norm_ops(query_low, "query_norm", "b s rq", "rms", over="rq")
    norm_kv, _ = k.norm_ops(latent_raw, "kv_norm", "b s rkv", "rms", over="rkv", output=kept)
    groups.append(Group("latent_norm", (*norm_q, *norm_kv), "vector"))
    plain_ops, query_plain = k.project(query_low, "query_plain", "rq", "h n")
    rope_ops, query_rope = k.project(query_low, "query_rope", "rq", "h p")
    groups.append(Group("query_up", (*plain_ops, *rope_ops), "gemm"))
    rotated = k.activation("query_rope.rotated", "b s h p")
    rope_kept = k.cache("rope.cache", "b s p", run.kv_role)
    write: list[Op] = [
        k.elementwise("rope.q", (query_rope,), rotated, ROTARY),
        k.elementwise("rope.k", (rope_raw,), rope_kept, ROTARY),
    ]
    groups.append(Group("rope_cache", tuple(write), "vector"))
    cached = k.cache("latent.cache", "b c rkv", run.kv_role)
    rope_cached = k.cache("rope.cache", "b c p", run.kv_role)
    build = _absorbed if run.name == "decode" else _expanded
    groups += build(k, query_plain, rotated, cached, rope_cached, run)
    ops, _ = k.project(k.activation("attention", "b s h w"), "output", "h w", "d")
    return [*groups, Group("output", tuple(ops), "gemm")]


def _expanded(k: Kernels, plain: Tensor, rotated: Tensor, cached: Tensor, rope: Tensor, run: Pass) -> list[Group]:
    key_ops, keys = k.project(cached, "key_up", "rkv", "h n", keep="b c")
    value_ops, values = k.project(cached, "value_up", "rkv", "h w", keep="b c")
    mixed = k.activation("attention", "b s h w")
    pairs = [(plain, keys), (rotated, rope)]
    return [
        Group("expand", (*key_ops, *value_ops), "gemm"),
        core(k, pairs, values, mixed, "b h s c", run.density, run.family),
    ]


def _absorbed(k: Kernels, plain: Tensor, rotated: Tensor, cached: Tensor, rope: Tensor, run: Pass) -> list[Group]:
    key_up, value_up = k.weight("key_up.weight", "rkv h n"), k.weight("value_up.weight", "rkv h w")
    query = k.activation("query.absorbed", "b s h rkv")
    mixed = k.activation("attention.latent", "b s h rkv")
    output = k.activation("attention", "b s h w")
    product = k.precision.product
    return [
        Group("absorb", (k.einsum("absorb", (plain, key_up), query, product),), "gemm"),
        core(k, [(query, cached), (rotated, rope)], cached, mixed, "b h s c", run.density, run.family),
        Group("value_up", (k.einsum("value_up", (mixed, value_up), output, product),), "gemm"),
    ]


def plain(
    kernels: Kernels,
    source: Tensor,
    run: Pass,
    prefix: str = "",
    bias: tuple[bool, bool, bool] = (True, True, True),
    context: Tensor | None = None,
    context_ranks: tuple[str, str] = ("c", "d"),
    cached: bool = False,
) -> list[Group]:
    """Return multi-head attention of ``source`` (b, s, d); heads are ``h`` of size ``k``.

    Args:
        kernels: The block.
        source: What asks.
        run: The pass; its density applies.
        prefix: Start of the names, where a layer has several attentions.
        bias: Biases of query, key and value; the output always has one.
        context: What is attended to in cross attention; None with ``cached`` reads keys made by an earlier pass.
        context_ranks: (tokens, width) of the context.
        cached: Whether keys and values are caches rather than activations.
    """
    k = kernels
    cross = context is not None or context_ranks[0] != "c"
    tokens, width = context_ranks
    role = run.kv_role if cached else Role.ACTIVATION
    ops, query = k.project(source, f"{prefix}q", "d", "h k", bias=bias[0])
    keys, values = k.cache(f"{prefix}k", f"b {tokens} h k", role), k.cache(f"{prefix}v", f"b {tokens} h k", role)
    side: list[Op] = []
    if context is not None or not cross:
        keep = f"b {tokens}" if cross else "b s"
        for part, whole, has_bias in (("k", keys, bias[1]), ("v", values, bias[2])):
            new = whole if cross else k.cache(f"{prefix}{part}", "b s h k", role)
            more, _ = k.project(
                source if context is None else context, f"{prefix}{part}", width, "h k",
                keep=keep, bias=has_bias, output=new,
            )  # fmt: skip
            side += more
    if cross:
        groups = [Group(f"{prefix}q", tuple(ops), "gemm")]
        if side:
            groups.append(Group(f"{prefix}kv", tuple(side), "gemm"))
    else:
        groups = [Group(f"{prefix}qkv", (*ops, *side), "gemm")]
    mixed = k.activation(f"{prefix}attention", "b s h k")
    scores = f"b h s {tokens}"
    groups.append(core(k, [(query, keys)], values, mixed, scores, run.density, run.family, f"{prefix}attention"))
    ops, _ = k.project(mixed, f"{prefix}output", "h k", "d", bias=True)
    return [*groups, Group(f"{prefix}output", tuple(ops), "gemm")]


__all__ = ["Pass", "core", "grouped", "latent", "plain"]
