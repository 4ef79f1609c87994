"""Cascades and their mappings in files of our own form.

A cascade::

    schema: 1
    ranks: {P: 64, D: 32, M: 128, N: 32}
    einsums:
      - {name: up, inputs: {X: [P, D], W: [D, M]}, output: {A: [P, M]}}
      - {name: down, inputs: {A: [P, M], V: [M, N]}, output: {O: [P, N]}}

A mapping: loops that all Einsums share, tensors that stay on the chip, and a nest of each Einsum as of ``files``::

    schema: 1
    shared: [P4]
    stay: {A: buffer}
    einsums:
      up: {nest: [{level: DRAM, loops: [M8]}, ...]}
      down: {nest: [...]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from codesign.costmodels.accelerator.cascade import Cascade
from codesign.costmodels.accelerator.cascade_problem import CascadeProblem, from_cascade
from codesign.costmodels.accelerator.files import (
    WrittenMapping,
    WrittenNode,
    check_schema,
    read_axis,
    read_loop,
    read_mapping,
)
from codesign.costmodels.accelerator.fusion import Fusion
from codesign.costmodels.accelerator.mapping import Mappings
from codesign.costmodels.accelerator.problem import relevant
from codesign.errors import DataError, UsageError, nearest
from codesign.strict_yaml import decode_yaml
from codesign.targets.spatial import Architecture
from codesign.workload import Einsum, Role, Tensor


class WrittenEinsum(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An Einsum as a file writes it."""

    name: str
    inputs: dict[str, list[str]]
    output: dict[str, list[str]]
    operation: str = "mac"


class WrittenCascade(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cascade as a file writes it."""

    schema: int
    ranks: dict[str, int]
    einsums: list[WrittenEinsum]
    name: str = "cascade"
    bits: dict[str, int] = {}
    weights: list[str] = []


class WrittenPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mapping of one Einsum as a file writes it."""

    nest: list[WrittenNode]
    unit: str = ""


class WrittenFused(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mapping of a cascade as a file writes it."""

    schema: int
    einsums: dict[str, WrittenPart]
    shared: list[str] = []
    stay: dict[str, str] = {}


def parse_cascade_file(text: str, name: str) -> CascadeProblem:
    """Return the cascade that the YAML ``text`` describes; ``name`` is the file named in errors.

    Raises:
        DataError: naming file, field, found and expected.
    """
    written = decode_yaml(text, WrittenCascade, name)
    check_schema(written.schema, name)
    if not written.einsums:
        raise DataError(f"{name}: einsums: found none", "a cascade has at least one")
    labels = {label for one in written.einsums for label in (*one.inputs, *one.output)}
    for key in (*written.bits, *written.weights):
        if key not in labels:
            raise DataError(f"{name}: no tensor {key!r}", nearest(key, labels))
    for key, bits in written.bits.items():
        if not 1 <= bits <= 4096:
            raise DataError(f"{name}: bits.{key}: found {bits}, expected 1 to 4096")
    einsums = [_einsum(written, one, f"{name}: einsums[{at}]") for at, one in enumerate(written.einsums)]
    operations = {one.name: one.operation for one in written.einsums}
    try:
        return from_cascade(Cascade(written.name, tuple(einsums)), operations)
    except UsageError as error:
        raise DataError(f"{name}: {error.message}", error.hint) from None
    except DataError as error:
        raise DataError(f"{name}: {error.message}", error.hint) from None


def _einsum(written: WrittenCascade, one: WrittenEinsum, place: str) -> Einsum:
    if len(one.output) != 1:
        raise DataError(f"{place}: output: found {len(one.output)} tensors, expected one")

    def tensor(label: str, axes: list[str]) -> Tensor:
        role = Role.WEIGHT if label in written.weights else Role.ACTIVATION
        return Tensor(label, tuple(read_axis(axis, f"{place}: {label}") for axis in axes), role,
                      written.bits.get(label, 8))  # fmt: skip

    inputs = tuple(tensor(label, axes) for label, axes in one.inputs.items())
    (output,) = (tensor(label, axes) for label, axes in one.output.items())
    used = frozenset[str]().union(*(relevant(view) for view in (*inputs, output)))
    for rank in sorted(used - set(written.ranks)):
        raise DataError(f"{place}: rank {rank!r} has no extent", nearest(rank, written.ranks))
    return Einsum(one.name, {rank: extent for rank, extent in written.ranks.items() if rank in used}, inputs, output)


def parse_fused_file(text: str, name: str, cascade: CascadeProblem, architecture: Architecture) -> list[Mappings]:
    """Return the mapping that the YAML ``text`` describes: for each Einsum a batch of one.

    Raises:
        DataError: unknown Einsums, levels, arrays, ranks or tensors; loops that cannot be read.
    """
    written = decode_yaml(text, WrittenFused, name)
    check_schema(written.schema, name)
    names = [problem.name for problem in cascade.problems]
    for einsum in (*written.einsums, *(one for one in names if one not in written.einsums)):
        if einsum not in names:
            raise DataError(f"{name}: einsums: no Einsum {einsum!r}", nearest(einsum, names))
        if einsum not in written.einsums:
            raise DataError(f"{name}: einsums: {einsum} has no mapping", f"the cascade has {', '.join(names)}")
    for tensor in written.stay:
        if tensor not in cascade.producers:
            hint = nearest(tensor, cascade.producers)
            raise DataError(f"{name}: stay: the cascade makes no tensor {tensor!r}", hint)
    shared = tuple(read_loop(loop, f"{name}: shared") for loop in written.shared)
    _check_shared(shared, cascade, name)
    try:
        return [
            read_mapping(
                WrittenMapping(1, part.nest, part.unit), f"{name}: einsums.{einsum}", cascade.problems[at],
                architecture, fusion_of(cascade, at, shared, written.stay),
            )
            for at, (einsum, part) in enumerate((one, written.einsums[one]) for one in names)
        ]  # fmt: skip
    except UsageError as error:
        raise DataError(f"{name}: {error.message}", error.hint) from None


def _check_shared(shared: Sequence[tuple[str, int]], cascade: CascadeProblem, name: str) -> None:
    ranks = {rank for problem in cascade.problems for rank in problem.ranks}
    for rank, bound in shared:
        if rank not in ranks:
            raise DataError(f"{name}: shared: unknown rank {rank!r}", nearest(rank, ranks))
        if bound < 1:
            raise DataError(f"{name}: shared: bound {bound} of {rank}, expected 1 or more")


def fusion_of(
    cascade: CascadeProblem, einsum: int, shared: tuple[tuple[str, int], ...], stay: Mapping[str, str]
) -> Fusion:
    """Return what an Einsum of a cascade shares.

    Args:
        cascade: The Einsums.
        einsum: Index of the Einsum.
        shared: Loops around all Einsums, outermost first.
        stay: Tensor -> the level where it stays.
    """
    names = cascade.tensors[einsum]
    stays = {view: stay[tensor] for view, tensor in names.items() if tensor in stay}
    ranks = {}
    for tensor in cascade.problems[einsum].tensors:
        if tensor.name in stays:
            # a reader of the last generation lacks its rank, and runs outside of that loop
            ranks[tensor.name] = relevant(cascade.written(names[tensor.name])) & frozenset(
                cascade.problems[einsum].ranks
            )
    return Fusion(shared, stays, ranks)
