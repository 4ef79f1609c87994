"""The kernels that models are built of, as groups of operators.

One group is what a serving engine runs as one kernel: bias, activation and residual additions ride on the kernel
before or after them, so what they pass on inside a group never touches memory. Tensors are named
``<block>.<local name>``; the residual stream ``x`` and its normalised form ``n`` carry from layer to layer under
those names.

FLOP per element of elementwise work (a multiply-add is 2): softmax 5, layer norm 6, RMS norm 4, rotary embedding 3,
SiLU 4, GELU 8, ReLU and additions 1. They never decide a time, which is bytes for such kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codesign.models.precision import Precision
from codesign.workload.einsum import (
    Axis,
    Collective,
    Compute,
    Einsum,
    Extent,
    Lookup,
    Op,
    Role,
    Tensor,
    tensor,
    vector,
)
from codesign.workload.graph import Group

SOFTMAX, ROTARY, ADD = 5.0, 3.0, 1.0
NORM_FLOPS = {"rms": 4.0, "layer": 6.0}
ACTIVATION_FLOPS = {"silu": 4.0, "gelu": 8.0, "relu": 1.0, "tanh": 8.0, "sigmoid": 4.0}


class Kernels:
    """Makes the groups of one block: it knows the block's rank extents, precision and name."""

    def __init__(self, block: str, sizes: Mapping[str, Extent], precision: Precision) -> None:
        self.block, self.sizes, self.precision = block, dict(sizes), precision

    def resized(self, **sizes: Extent) -> Kernels:
        """Return the same block's kernels with some rank extents replaced."""
        return Kernels(self.block, {**self.sizes, **sizes}, self.precision)

    def in_a_mixture(self, part: str) -> Kernels:
        """Return the same block's kernels in the precision of a part of a mixture: attention or mlp."""
        return Kernels(self.block, self.sizes, self.precision.in_a_mixture(part))

    def activation(self, name: str, ranks: str, **slots: Any) -> Tensor:
        """Return an activation of this block."""
        return tensor(f"{self.block}.{name}", ranks, Role.ACTIVATION, self.precision.activation_bits, **slots)

    def weight(self, name: str, ranks: str, plain: bool = False, **slots: Any) -> Tensor:
        """Return a weight of this block; ``plain`` weights stay out of quantisation."""
        bits = self.precision.plain_bits if plain else self.precision.weight_bits
        return tensor(f"{self.block}.{name}", ranks, Role.WEIGHT, bits, **slots)

    def cache(self, name: str, ranks: str, role: Role = Role.KV) -> Tensor:
        """Return a cached tensor of this block; in training it is an ordinary activation."""
        bits = self.precision.kv_bits if role is Role.KV else self.precision.activation_bits
        return tensor(f"{self.block}.{name}", ranks, role, bits)

    def einsum(
        self,
        name: str,
        inputs: tuple[Tensor, ...],
        output: Tensor,
        compute: Compute,
        density: Extent = 1,
        over: str = "",
    ) -> Einsum:
        """Return an Einsum over the ranks that its tensors name (and those in ``over``)."""
        names = dict.fromkeys(over.split())
        for t in (output, *inputs):
            for axis in t.axes:
                names.update(dict.fromkeys(rank for rank, _ in axis.terms))
        ranks = {rank: self.sizes[rank] for rank in names}
        return Einsum(f"{self.block}.{name}", ranks, inputs, output, compute, density)

    def elementwise(self, name: str, inputs: tuple[Tensor, ...], output: Tensor, flops: float = ADD) -> Einsum:
        """Return elementwise work of ``flops`` per point."""
        return self.einsum(name, inputs, output, vector(flops=flops))

    def lookup(self, name: str, table: Tensor, rows: Extent, output: Tensor) -> Lookup:
        """Return a gather of ``rows`` rows of ``table``."""
        names = [rank for t in (table, output) for axis in t.axes for rank, _ in axis.terms]
        ranks = {rank: self.sizes[rank] for rank in names}
        return Lookup(f"{self.block}.{name}", ranks, table, rows, output)

    def project(
        self,
        source: Tensor,
        name: str,
        over: str,
        into: str,
        keep: str = "b s",
        bias: bool = False,
        plain: bool = False,
        activation: str | None = None,
        output: Tensor | None = None,
    ) -> tuple[list[Op], Tensor]:
        """Return the operators of ``activation(source @ weight + bias)`` and their result.

        Args:
            source: What is projected; it carries the ranks ``keep`` and ``over``.
            name: Local name of the result; the weight is ``<name>.weight``.
            over: Ranks summed over.
            into: Ranks of the result beside ``keep``.
            keep: Ranks of the tokens.
            bias: Whether a bias is added.
            plain: Whether the product stays out of quantisation.
            activation: Activation applied in the same kernel.
            output: The result, where it is not a new activation of this block.
        """
        compute = self.precision.plain_product if plain else self.precision.product
        result = output if output is not None else self.activation(name, f"{keep} {into}".strip())
        steps: list[tuple[str, tuple[Tensor, ...], float]] = []
        if bias:
            # biases are never quantised
            steps.append(("bias", (self.weight(f"{name}.bias", into, plain=True),), ADD))
        if activation is not None:
            steps.append((activation, (), ACTIVATION_FLOPS[activation]))
        names = [*(f"{name}.{i}" for i in range(len(steps))), None]
        targets = [result if n is None else self.activation(n, f"{keep} {into}".strip()) for n in names]
        weight = self.weight(f"{name}.weight", f"{over} {into}", plain)
        ops: list[Op] = [self.einsum(name, (source, weight), targets[0], compute)]
        for (step, extra, flops), before, after in zip(steps, targets[:-1], targets[1:], strict=True):
            ops.append(self.elementwise(f"{name}.{step}", (before, *extra), after, flops))
        return ops, result

    def norm_ops(
        self, source: Tensor, name: str, ranks: str, kind: str = "layer", over: str = "d", output: Tensor | None = None
    ) -> tuple[list[Op], Tensor]:
        """Return the normalisation of ``source`` over its ranks ``over``, and the result."""
        parts = ("scale", "shift") if kind == "layer" else ("scale",)
        scale = tuple(self.weight(f"{name}.{part}", over, plain=True) for part in parts)
        result = output if output is not None else self.activation(name, ranks)
        return [self.elementwise(name, (source, *scale), result, NORM_FLOPS[kind])], result


def convolution_axis(output: str, kernel: str, stride: int, padding: int, size: int) -> Axis:
    """Return the input axis of a convolution: ``stride * output + kernel - padding`` inside ``[0, size)``."""
    return Axis(((output, stride), (kernel, 1)), -padding, size)


def exchange(name: str, kind: str, payload: Extent, axis: str) -> Group:
    """Return a group that only communicates."""
    return Group(name, (Collective(name, kind, payload, axis),), "collective")
