"""Groups of Einsums as operators of families: which measured operators a kernel of a workload is like.

A matrix product's ranks are its rows (those of its first input), columns (those of its second) and depth (those summed
over); products that share their first input run as one with more columns. Attention is told by its group's family, its
ranks and those of its keys; a mixture of experts by its ranks. What is like no measured operator has no shape here, and
its latency stays that of the closed forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.operators.formats import FORMATS, Format
from codesign.costmodels.operators.routing import SKEW_EXPERTS
from codesign.costmodels.operators.vector_kinds import BINARY, UNARY
from codesign.workload.einsum import Axis, Einsum, Extent, Role, Tensor
from codesign.workload.graph import Group

NEAR = 0.2
"""Relative difference of bytes an element up to which a format stands for another."""

LEAST_HEAD = 16
"""Narrower heads are none."""


class Shape(NamedTuple):
    """One operator.

    Attributes:
        family: Name in ``FAMILIES``.
        form: Its format.
        sizes: Shape column of the family -> extent, which broadcasts over design points.
    """

    family: str
    form: Format
    sizes: Mapping[str, Extent]


def shapes_of(group: Group) -> tuple[Shape, ...]:
    """Return the operators that run one after the other in ``group``; empty where it is like none."""
    products = [op for op in group.ops if isinstance(op, Einsum) and op.compute.unit == "tensor"]
    if group.family in ("attention_prefill", "attention_decode"):
        found = _attention(group.family.removeprefix("attention_"), products)
    elif group.family == "moe":
        found = _experts(products)
    elif group.family == "conv":
        found = _convolution(products)
    elif products:
        found = _products(products)
    else:
        found = _elementwise([op for op in group.ops if isinstance(op, Einsum)])
    return () if found is None else found


def form_of(compute: str, weight_bits: Extent) -> Format | None:
    """Return the format that computes in ``compute`` and stores weights in ``weight_bits`` bits, or None.

    Where designs differ in their bits, one format has to be near all of them.
    """
    if isinstance(weight_bits, int | float):
        return _nearest(compute, float(weight_bits))
    found = {_nearest(compute, bits) for bits in np.unique(weight_bits).tolist()}
    return found.pop() if len(found) == 1 else None


@cache
def _nearest(compute: str, weight_bits: float) -> Format | None:
    weight = weight_bits / 8.0
    known = [form for form in FORMATS if form.compute == compute]
    # formats that differ by less than how their scales are counted are one: the first of them stands for both
    nearest = min(known, key=lambda form: round(abs(form.weight - weight), 2), default=None)
    return nearest if nearest is not None and abs(nearest.weight / weight - 1.0) <= NEAR else None


def _ranks(t: Tensor) -> tuple[str, ...]:
    """Return the ranks of plain axes; ranks of stride 0 change nothing."""
    return tuple(axis.terms[0][0] for axis in t.axes)


def _plain(t: Tensor) -> bool:
    return all(len(axis.terms) == 1 or axis.terms[1][1] == 0 for axis in t.axes)


def _products(products: list[Einsum]) -> tuple[Shape, ...] | None:
    merged: dict[Any, Shape] = {}
    for op in products:
        if len(op.inputs) != 2 or not all(map(_plain, (*op.inputs, op.output))):
            return None
        first, second = op.inputs
        rows, columns, out = (frozenset(_ranks(t)) for t in (first, second, op.output))
        form = form_of(op.compute.dtype, second.bits)
        if form is None or op.ranks.keys() - (rows | columns | out):
            return None
        # an operator may sum over a rank that only one side carries: a pooling no product stands for
        parts = {"batch": rows & columns & out, "m": (rows - columns) & out, "n": (columns - rows) & out,
                 "k": (rows & columns) - out}  # fmt: skip
        if frozenset().union(*parts.values()) != frozenset(op.ranks):
            return None
        sizes = {name: prod((op.ranks[rank] for rank in ranks), start=1) for name, ranks in parts.items()}
        key = (first.name, form.name, *(frozenset(parts[name]) for name in ("batch", "m", "k")))
        before = merged.get(key)
        if before is not None:
            sizes["n"] = before.sizes["n"] + sizes["n"]
        merged[key] = Shape("gemm", form, sizes)
    return tuple(merged.values())


def _attention(name: str, products: list[Einsum]) -> tuple[Shape, ...] | None:
    """Return attention whose queries and keys are (b s [kv g | h] k) and (b c [kv | h] k)."""
    if len(products) != 2:
        return None
    scores = products[0]
    query, key = scores.inputs
    ranks = scores.ranks
    heads = [rank for rank in _ranks(query) if rank in ("kv", "g", "h")]
    shared = [rank for rank in _ranks(key) if rank in ("kv", "h")]
    context = [rank for rank in _ranks(key) if rank not in _ranks(query)]
    width = scores.reduced() & set(_ranks(key))
    form = form_of(scores.compute.dtype, query.bits)
    if not shared or len(context) != 1 or len(width) != 1 or form is None or "s" not in ranks:
        return None
    (wide,) = width
    seen = ranks[context[0]]
    sizes = {
        "batch": ranks.get("b", 1), "heads": prod((ranks[rank] for rank in heads), start=1),
        "kv_heads": prod((ranks[rank] for rank in shared), start=1), "head_width": ranks[wide], "window": 0.0,
        "kv_bytes": np.asarray(key.bits) / 8.0,
    }  # fmt: skip
    if np.min(np.asarray(ranks[wide])) < LEAST_HEAD:
        return None
    if name == "decode":
        return (Shape("decode", form, {**sizes, "cached": seen}),)
    cached = np.maximum(np.asarray(seen) - ranks["s"], 0.0)
    return (Shape("prefill", form, {**sizes, "new": ranks["s"], "cached": cached}),)


def _experts(products: list[Einsum]) -> tuple[Shape, ...] | None:
    """Return a gated MLP over ragged groups of rows: ``e`` experts here, ``m`` rows each, widths ``d`` and ``f``.

    How many experts a token visits is not told by the ranks; it decides how many tokens are gathered, which weighs
    little beside rows and experts. Common models route to 2 of up to 16 experts, 4 of up to 32, and 8 of more.
    """
    if not products or not {"e", "m", "d", "f"} <= products[0].ranks.keys():
        return None
    op = products[0]
    form = form_of(op.compute.dtype, op.inputs[1].bits)
    if form is None:
        return None
    here = np.asarray(op.ranks["e"], np.float64)
    visited = np.minimum(np.where(here <= 16, 2.0, np.where(here <= 32, 4.0, 8.0)), here)
    tokens = np.maximum(np.rint(here * op.ranks["m"] / visited), 1.0)
    sizes = {"tokens": tokens, "hidden": op.ranks["d"], "inter": op.ranks["f"], "topk": visited, "experts": here,
             "tp": 1.0, "ep": 1.0, "skew": SKEW_EXPERTS}  # fmt: skip
    return (Shape("moe", form, sizes),)


def _convolution(products: list[Einsum]) -> tuple[Shape, ...] | None:
    """Return one square convolution without groups."""
    if len(products) != 1 or len(products[0].inputs) != 2:
        return None
    op = products[0]
    image, weight = op.inputs
    windows = [axis for axis in image.axes if len(axis.terms) == 2]
    form = form_of(op.compute.dtype, weight.bits)
    if len(windows) != 2 or len(image.axes) != 4 or len(op.output.axes) != 4 or form is None:
        return None
    first, second = windows
    square = all(_window(op, first)[name] == _window(op, second)[name] for name in ("size", "kernel", "stride"))
    if not square or len(weight.axes) != 4:
        return None
    batch, inputs = (_ranks(image)[at] for at in (0, 1))
    outputs = set(_ranks(weight)) & set(_ranks(op.output))
    if len(outputs) != 1 or op.ranks.keys() - {batch, inputs, *outputs} != _spatial(windows):
        return None
    sizes = {"batch": op.ranks[batch], "inputs": op.ranks[inputs], "outputs": op.ranks[outputs.pop()],
             **_window(op, first)}  # fmt: skip
    return (Shape("convolution", form, sizes),)


def _spatial(windows: list[Axis]) -> set[str]:
    return {rank for axis in windows for rank, _ in axis.terms}


def _window(op: Einsum, axis: Axis) -> dict[str, Any]:
    (_, stride), (kernel, _) = axis.terms
    return {"size": axis.size, "kernel": op.ranks[kernel], "stride": stride, "padding": -axis.offset}


def _elementwise(ops: list[Einsum]) -> tuple[Shape, ...] | None:
    """Return a group without products as one pass over its largest output."""
    if not ops:
        return None
    last = ops[-1]
    made = {op.output.name for op in ops}
    read = {t.name for op in ops for t in op.inputs if t.role is not Role.WEIGHT and t.name not in made}
    form = form_of("fp32" if np.max(last.output.bits) > 16 else "bf16", last.output.bits)
    extents = [axis.extent(last.ranks) for axis in last.output.axes]
    if form is None or not extents:
        return None
    sizes = {"rows": prod(extents[:-1], start=1), "length": extents[-1], "kind": BINARY if len(read) > 1 else UNARY}
    return (Shape("vector", form, sizes),)
