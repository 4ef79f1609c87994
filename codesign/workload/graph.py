"""Groups, blocks, phases, workloads: how operators run.

A *group* is what runs as one kernel: tensors made and used only inside it never touch memory. A *block*
repeats identical groups (the layers of a model), a *phase* sweeps a rank (decode grows the context), a
*workload* is the phases of one run and the functional units it delivers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec
import numpy as np

from codesign.workload.einsum import (
    PERSISTENT,
    Einsum,
    Extent,
    Lookup,
    Op,
    Role,
    Tensor,
    op_inputs,
    op_output,
    op_ranks,
)


class Group(msgspec.Struct, frozen=True, eq=False):
    """Operators that run as one kernel.

    ``family`` (gemm, conv, attention, moe, vector, collective, ...) selects the efficiency that the cost
    model assumes; a group on another ``stream`` than "main" runs beside the main groups before it.
    """

    name: str
    ops: tuple[Op, ...]
    family: str = "vector"
    launches: int = 1
    stream: str = "main"

    def flops(self) -> Extent:
        """Return the FLOP of all operators."""
        return sum((op.flops() for op in self.ops if isinstance(op, Einsum)), start=0)

    def produced(self) -> frozenset[str]:
        """Return the names of the tensors made here."""
        return frozenset(t.name for t in map(op_output, self.ops) if t is not None)

    def consumed(self) -> frozenset[str]:
        """Return the names of the tensors used here."""
        return frozenset(t.name for op in self.ops for t in op_inputs(op))

    def memory_views(self, internal: frozenset[str] = frozenset()) -> Iterator[tuple[Tensor, Op, bool]]:
        """Yield (tensor, operator, is_write) for each view that touches memory, each name read once.

        ``internal`` names tensors that stay inside their group; persistent roles never do.
        """
        made, read = set[str](), set[str]()
        for op in self.ops:
            for t in op_inputs(op):
                if t.name not in read and (t.role in PERSISTENT or t.name not in made):
                    read.add(t.name)
                    yield t, op, False
            output = op_output(op)
            if output is not None:
                made.add(output.name)
                if output.role in PERSISTENT or output.name not in internal:
                    yield output, op, True

    def traffic(self, internal: frozenset[str] = frozenset(), tier: str | None = None) -> Extent:
        """Return the bytes that move between memory and the kernel (of one ``tier``, or of all)."""
        moved: Extent = 0
        for t, op, is_write in self.memory_views(internal):
            if tier is not None and t.tier != tier:
                continue
            gathers = isinstance(op, Lookup) and not is_write
            moved = moved + (op.gathered() if gathers and isinstance(op, Lookup) else t.traffic(op_ranks(op)))
        return moved


class Block(msgspec.Struct, frozen=True, eq=False):
    """``repeat`` identical copies of a sequence of groups."""

    name: str
    groups: tuple[Group, ...]
    repeat: Extent = 1


class Sweep(msgspec.Struct, frozen=True, eq=False):
    """A rank that takes ``start, start + 1, ...`` over ``count`` steps."""

    rank: str
    start: Extent
    count: Extent


class Phase(msgspec.Struct, frozen=True, eq=False):
    """A sequence of blocks, run once, or once per step of a sweep."""

    name: str
    blocks: tuple[Block, ...]
    steps: Sweep | None = None
    samples: bool = True
    """Whether running the phase ends in a host-visible result (its first token, its image)."""

    def internal(self) -> frozenset[str]:
        """Return the tensors that stay inside one group: made and used there, and used nowhere else."""
        users: Counter[str] = Counter()
        homes: dict[str, set[int]] = {}
        index = 0
        for block in self.blocks:
            for group in block.groups:
                index += 1
                for name in group.consumed():
                    users[name] += 1
                    homes.setdefault(name, set()).add(index)
        index, inside = 0, set[str]()
        for block in self.blocks:
            for group in block.groups:
                index += 1
                inside |= {name for name in group.produced() if homes.get(name) == {index}}
        return frozenset(inside)

    def groups(self) -> Iterator[tuple[Block, Group]]:
        """Yield every group with its block."""
        for block in self.blocks:
            for group in block.groups:
                yield block, group

    def flops(self) -> Extent:
        """Return the FLOP of one step (at the sweep's start)."""
        return sum((group.flops() * block.repeat for block, group in self.groups()), start=0)


class Workload(msgspec.Struct, frozen=True, eq=False):
    """What is computed: phases in order, and how many functional units one run delivers.

    ``units`` maps a functional unit (``"output token"``, ``"request"``, ``"image"``, ``"training step"``)
    to its count per run; counts may be arrays over design points.
    """

    name: str
    phases: tuple[Phase, ...]
    units: Mapping[str, Extent] = msgspec.field(default_factory=dict)

    def phase(self, name: str) -> Phase:
        """Return the phase called ``name``."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(f"{self.name} has no phase {name!r}; it has {', '.join(p.name for p in self.phases)}")

    def footprint(self, *roles: Role, tier: str = "device") -> Extent:
        """Return the bytes of the distinct tensors of ``roles`` in ``tier``, each at its largest view.

        A tensor of a repeated block exists once per repeat; two blocks that use one name share it (tied weights).
        """
        largest: dict[str, Extent] = {}
        for phase in self.phases:
            for name, size in phase_footprints(phase, roles, tier).items():
                largest[name] = np.maximum(largest[name], size) if name in largest else size
        return sum(largest.values(), start=0)

    def elements(self, *roles: Role) -> Extent:
        """Return the number of elements of the distinct tensors of ``roles`` (of weights: the parameter count)."""
        seen: dict[str, Extent] = {}
        for phase in self.phases:
            for block, group in phase.groups():
                for t, op, _ in group.memory_views():
                    if t.role in roles and t.name not in seen:
                        seen[t.name] = t.elements(op_ranks(op)) * block.repeat
        return sum(seen.values(), start=0)


def phase_footprints(phase: Phase, roles: tuple[Role, ...], tier: str = "device") -> dict[str, Extent]:
    """Return the bytes of each distinct tensor of ``roles`` in ``phase`` and ``tier``, at the end of its sweep."""
    sizes: dict[str, Extent] = {}
    for block, group in phase.groups():
        for t, op, _ in group.memory_views():
            if t.role not in roles or t.tier != tier:
                continue
            ranks = op_ranks(op)
            if phase.steps is not None and phase.steps.rank in ranks:
                ranks = {**ranks, phase.steps.rank: phase.steps.start + phase.steps.count - 1}
            size = t.footprint(ranks) * block.repeat
            sizes[t.name] = np.maximum(sizes[t.name], size) if t.name in sizes else size
    return sizes
