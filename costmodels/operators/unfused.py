"""Elementwise operators that run as kernels of their own where nothing fuses them: eagerly, on a processor.

A group of a workload is what a serving engine runs as one kernel. An eager framework runs a product, an attention, a
normalisation or a softmax as one kernel too, but each function beside them reads its inputs and writes its result. A
bias belongs to its product.

Each kernel also makes a new tensor. The C library keeps the memory of small ones. Of large ones most come on pages that
the system maps when they are written first: beyond 32 MiB every one that no earlier tensor left room for, below that
those that reach over the end of the heap, which the library gives back as soon as a few of them are free at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from codesign.costmodels.operators.shapes import Shape, form_of
from codesign.costmodels.operators.vector_kinds import BINARY, FUNCTION, NORMALISATION, UNARY
from codesign.workload.einsum import Einsum, Role, Tensor

KEPT = 2.0**23
"""Bytes up to which an allocation is memory that was used before."""

FRESH = 0.7
"""Share of the bytes of larger ones that comes on fresh pages: page faults over bytes of results in 24 passes of nine
models, 0 to 2 in one of them (glibc, torch 2.13): it depends on what the process did before."""

SECONDS_A_FRESH_BYTE = 1e-6 / 4096
"""To map a page of 4 KiB at its first write takes 1 us (1.0 and 1.05 on two virtual machines; less on none)."""

FEW = 4.0
"""FLOP an element of the longest chain of single additions and multiplications: more are a function."""


def unfused(ops: Sequence[Any], family: str) -> tuple[Shape, ...]:
    """Return the elementwise kernels of ``ops``, which form a group of ``family``, in eager execution."""
    if family.startswith("attention"):
        return ()
    einsums = [op for op in ops if isinstance(op, Einsum)]
    beside_product = any(op.compute.unit == "tensor" for op in einsums)
    return tuple(
        shape for op in einsums if op.compute.unit != "tensor" and not (beside_product and _bias(op))
        for shape in _kernels(op)
    )  # fmt: skip


def _weights(op: Einsum) -> list[Tensor]:
    return [t for t in op.inputs if t.role is Role.WEIGHT]


def _bias(op: Einsum) -> bool:
    return op.compute.flops == 1.0 and len(op.inputs) == 2 and len(_weights(op)) == 1


def _kernels(op: Einsum) -> Iterator[Shape]:
    """Yield the kernels of one operator: of a chain one for each step, of two tensors first what joins them."""
    activations = len(op.inputs) - len(_weights(op))
    flops = op.compute.flops
    if _weights(op):
        kinds = [NORMALISATION if flops >= FEW else UNARY]
    else:
        joins = [BINARY] if activations > 1 else []
        left = flops - len(joins)
        steps = [FUNCTION] if flops > FEW else [UNARY] * int(left)
        kinds = joins + steps or [UNARY]
    rows, length = _extents(op)
    form = form_of("fp32" if np.max(op.output.bits) > 16 else "bf16", op.output.bits)
    if form is not None:
        for kind in kinds:
            yield Shape("vector", form, {"rows": rows, "length": length, "kind": kind})


def _extents(op: Einsum) -> tuple[Any, Any]:
    """Return rows and length of the largest activation."""
    found = []
    for t in (*op.inputs, op.output):
        if t.role is not Role.WEIGHT and t.axes:
            extents = [axis.extent(op.ranks) for axis in t.axes]
            found.append((prod(extents[:-1], start=1), extents[-1]))
    return max(found, key=lambda pair: float(np.max(np.asarray(pair[0]) * pair[1])), default=(1, 1))


def fresh_seconds(shape: Shape) -> Any:
    """Return the seconds that go into pages for the results of an eager kernel."""
    s, form = {name: np.asarray(size, np.float64) for name, size in shape.sizes.items()}, shape.form
    made = [form.output * size for size in _results(shape.family, s)]
    fresh = sum((np.where(size > KEPT, FRESH * size, 0.0) for size in made), start=np.zeros(()))
    return fresh * SECONDS_A_FRESH_BYTE


def _results(family: str, s: Mapping[str, Any]) -> list[Any]:
    """Return the elements of each tensor that a kernel makes."""
    if family == "gemm":
        return [s["batch"] * s["m"] * s["n"]]
    if family == "vector":
        return [s["rows"] * s["length"]]
    if family == "prefill":
        return [s["batch"] * s["heads"] * s["new"] * s["head_width"]]
    if family == "convolution":
        side = np.floor((s["size"] + 2.0 * s["padding"] - s["kernel"]) / s["stride"]) + 1.0
        return [s["batch"] * s["outputs"] * side**2]
    return []
