"""What an accelerator computes: one Einsum over integer ranks.

A problem is the vocabulary of ``codesign.workload`` (tensors with affine axes) with exact extents and one output that
is reduced into. The extent of an axis over a tile is its bounding box, ``1 + sum(coefficient * (extent - 1))``: with
a stride larger than the kernel the holes count, and padding counts as data, as in Timeloop. (``Axis.extent`` of the
workload counts what is visited instead.)
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import msgspec

from codesign.errors import UsageError, nearest
from codesign.workload import Axis, Einsum, Role, Tensor, axes

LARGEST_COUNT = 2**52
"""Most operations of a problem: beyond, counts would leave the exact range of a float."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One Einsum to be mapped.

    Attributes:
        name: Name for people.
        ranks: Rank -> extent.
        inputs: Tensors that are read.
        output: Tensor that is accumulated into.
        operation: Operation of a compute unit that one point of the iteration space takes.
    """

    name: str
    ranks: Mapping[str, int]
    inputs: tuple[Tensor, ...]
    output: Tensor
    operation: str = "mac"

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Return the inputs, then the output."""
        return (*self.inputs, self.output)

    @property
    def operations(self) -> int:
        """Return the points of the iteration space: the multiply-adds."""
        return prod(self.ranks.values())

    def operand(self, tensor: Tensor) -> str:
        """Return the part of a tensor: input, weight or output; the second input is a weight where none is marked."""
        if tensor is self.output:
            return "output"
        weights = [one for one in self.inputs if one.role in (Role.WEIGHT, Role.KV)] or list(self.inputs[1:2])
        return "weight" if any(tensor is one for one in weights) else "input"

    def words(self, tensor: Tensor) -> int:
        """Return the elements of the bounding box of a whole tensor."""
        return prod(1 + sum(step * (self.ranks[rank] - 1) for rank, step in axis.terms) for axis in tensor.axes)


def relevant(tensor: Tensor) -> frozenset[str]:
    """Return the ranks that move ``tensor``."""
    return frozenset(rank for axis in tensor.axes for rank, _ in axis.terms)


def checked(problem: Problem, place: str = "problem") -> Problem:
    """Return ``problem`` if it can be mapped.

    Raises:
        UsageError: ranks without extents, extents or coefficients that are not positive integers, names used twice,
            a tensor that is input and output at once, or too many operations to count exactly.
    """
    if not problem.ranks:
        raise UsageError(f"{place}: no ranks", "give every rank an extent")
    for rank, extent in problem.ranks.items():
        if isinstance(extent, bool) or not isinstance(extent, int) or extent < 1:
            raise UsageError(f"{place}: rank {rank}: found extent {extent!r}, expected a positive integer")
    names = [tensor.name for tensor in problem.tensors]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"{place}: two tensors are called {twice!r}", "mappings need distinct names")
    if not problem.inputs:
        raise UsageError(f"{place}: no input tensor", "an Einsum reads at least one")
    for tensor in problem.tensors:
        for rank, step in (term for axis in tensor.axes for term in axis.terms):
            if rank not in problem.ranks:
                hint = nearest(rank, problem.ranks)
                raise UsageError(f"{place}: tensor {tensor.name}: rank {rank!r} has no extent", hint)
            if step < 1:
                raise UsageError(f"{place}: tensor {tensor.name}: coefficient {step} of {rank}, expected 1 or more")
    if problem.operations > LARGEST_COUNT:
        raise UsageError(f"{place}: {problem.operations:.3g} operations", f"at most {LARGEST_COUNT:.3g} count exactly")
    return problem


def from_einsum(einsum: Einsum) -> Problem:
    """Return the problem of an operator of a workload.

    An output that replaces its input in place gets a name of its own, because both may be kept at different levels.

    Raises:
        UsageError: its extents are no integers, or only a share of its iteration space is executed.
    """
    ranks: dict[str, int] = {}
    for rank, extent in einsum.ranks.items():
        if float(extent) != int(extent):
            raise UsageError(f"{einsum.name}: rank {rank}: found extent {extent}, expected an integer")
        ranks[rank] = int(extent)
    if einsum.density != 1:
        raise UsageError(f"{einsum.name}: density {einsum.density}: sparse iteration spaces cannot be mapped")
    operation = "mac" if einsum.compute.unit == "tensor" else "add"
    output = einsum.output
    if any(tensor.name == output.name for tensor in einsum.inputs):
        output = msgspec.structs.replace(output, name=f"{output.name}_out")
    found = Problem(name=einsum.name, ranks=ranks, inputs=einsum.inputs, output=output, operation=operation)
    return checked(found, einsum.name)


def conv2d(
    *, k: int, c: int, p: int, q: int, r: int, s: int, n: int = 1, stride: int = 1, dilation: int = 1,
    groups: int = 1, bits: tuple[int, int, int] = (8, 8, 16), name: str = "conv",
) -> Problem:  # fmt: skip
    """Return a convolution with ``p`` x ``q`` outputs and an ``r`` x ``s`` kernel.

    Args:
        k: Filters, of all groups.
        c: Input channels, of all groups.
        p: Output rows.
        q: Output columns.
        r: Kernel rows.
        s: Kernel columns.
        n: Images.
        stride: Step between outputs.
        dilation: Step between taps of the kernel.
        groups: Groups of channels; k and c divide evenly.
        bits: Bits of an element of inputs, weights, outputs.
        name: Name of the problem.

    Raises:
        UsageError: groups that do not divide the channels, or a size below 1.
    """
    if groups < 1 or k % groups or c % groups:
        raise UsageError(f"{name}: {groups} groups do not divide {k} filters and {c} channels")
    ranks = {"N": n, "K": k // groups, "C": c // groups, "P": p, "Q": q, "R": r, "S": s}
    group = axes("G") if groups > 1 else ()
    if groups > 1:
        ranks["G"] = groups
    rows, columns = Axis((("P", stride), ("R", dilation))), Axis((("Q", stride), ("S", dilation)))
    return checked(
        Problem(
            name=name,
            ranks=ranks,
            inputs=(
                Tensor("Inputs", (*axes("N C"), rows, columns, *group), Role.ACTIVATION, bits[0]),
                Tensor("Weights", (*axes("K C R S"), *group), Role.WEIGHT, bits[1]),
            ),
            output=Tensor("Outputs", (*axes("N K P Q"), *group), Role.ACTIVATION, bits[2]),
        ),
        name,
    )


def gemm(
    m: int, n: int, k: int, *, batch: int = 1, bits: tuple[int, int, int] = (8, 8, 16), name: str = "gemm"
) -> Problem:
    """Return ``batch`` products of an ``m`` x ``k`` by a ``k`` x ``n`` matrix; the weights of a batch differ."""
    ranks = {"M": m, "N": n, "K": k} if batch == 1 else {"B": batch, "M": m, "N": n, "K": k}
    lead = "" if batch == 1 else "B "
    return checked(
        Problem(
            name=name,
            ranks=ranks,
            inputs=(
                Tensor("Inputs", axes(f"{lead}M K"), Role.ACTIVATION, bits[0]),
                Tensor("Weights", axes(f"{lead}K N"), Role.WEIGHT, bits[1]),
            ),
            output=Tensor("Outputs", axes(f"{lead}M N"), Role.ACTIVATION, bits[2]),
        ),
        name,
    )


def attention_scores(*, b: int, h: int, p: int, m: int, e: int, bits: tuple[int, int, int] = (8, 8, 16)) -> Problem:
    """Return ``QK[b,h,p,m] = sum_e Q[b,h,p,e] K[b,h,m,e]``: batch, heads, queries, keys, head size."""
    inputs = (Tensor("Q", axes("B H P E"), bits=bits[0]), Tensor("K", axes("B H M E"), Role.KV, bits[1]))
    ranks = {"B": b, "H": h, "P": p, "M": m, "E": e}
    output = Tensor("QK", axes("B H P M"), bits=bits[2])
    return checked(Problem(name="attention scores", ranks=ranks, inputs=inputs, output=output))


def attention_values(*, b: int, h: int, p: int, m: int, f: int, bits: tuple[int, int, int] = (8, 8, 16)) -> Problem:
    """Return ``AV[b,h,p,f] = sum_m A[b,h,p,m] V[b,h,m,f]``: batch, heads, queries, keys, head size."""
    inputs = (Tensor("A", axes("B H P M"), bits=bits[0]), Tensor("V", axes("B H M F"), Role.KV, bits[1]))
    ranks = {"B": b, "H": h, "P": p, "M": m, "F": f}
    output = Tensor("AV", axes("B H P F"), bits=bits[2])
    return checked(Problem(name="attention values", ranks=ranks, inputs=inputs, output=output))
