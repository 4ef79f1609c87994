"""The backward pass and the optimizer, derived from the forward pass.

For an Einsum ``O = A * B`` the gradients are the same Einsum with operands swapped: ``dA = dO * B`` and
``dB = A * dO`` over the same iteration space. Elementwise operators read their inputs and the output's
gradient once and write the inputs' gradients.
"""

from __future__ import annotations

import msgspec

from codesign.workload.einsum import (
    Compute,
    Einsum,
    Extent,
    Lookup,
    Op,
    Role,
    Tensor,
    op_ranks,
    tensor,
    vector,
)
from codesign.workload.graph import Block, Group, Phase, Workload

ADAM_FLOPS = 12.0
"""FLOP per parameter of one Adam step with bias correction (Kingma and Ba, 2015, algorithm 1)."""


def gradient_of(t: Tensor) -> Tensor:
    """Return the gradient tensor of ``t``: of a weight it persists, of an activation it is one."""
    role = Role.GRADIENT if t.role is Role.WEIGHT else Role.ACTIVATION
    return msgspec.structs.replace(t, name=f"d.{t.name}", role=role, touched=1)


def backward_ops(op: Op) -> list[Op]:
    """Return the operators that carry the gradient of ``op`` to its inputs."""
    if isinstance(op, Lookup):
        grad = tensor(f"d.{op.output.name}", "", bits=op.output.bits)
        grad = msgspec.structs.replace(grad, axes=op.output.axes)
        into = msgspec.structs.replace(op.output, name=f"d.{op.table.name}.rows", role=Role.GRADIENT)
        # only the rows looked up take part: the table's own rank is not iterated
        ranks = {rank: op.ranks[rank] for axis in op.output.axes for rank, _ in axis.terms}
        return [Einsum(f"{op.name}.d", ranks, (grad,), into, vector(flops=1.0))]
    if not isinstance(op, Einsum):
        return [op]
    grad = gradient_of(op.output)
    if op.compute.unit != "tensor":
        wanted = [t for t in op.inputs if t.role is not Role.INDEX]
        read = (grad, *wanted)
        return [Einsum(f"{op.name}.d.{t.name}", op.ranks, read, gradient_of(t), op.compute, op.density) for t in wanted]
    swapped: list[Op] = []
    for index, t in enumerate(op.inputs):
        if t.role is Role.INDEX:
            continue
        others = tuple(other for other_index, other in enumerate(op.inputs) if other_index != index)
        swapped.append(
            Einsum(f"{op.name}.d.{t.name}", op.ranks, (grad, *others), gradient_of(t), op.compute, op.density)
        )
    return swapped


def backward(forward: Phase) -> Phase:
    """Return the backward phase of ``forward``: blocks, groups and operators in reverse order."""
    blocks = []
    for block in reversed(forward.blocks):
        groups = []
        for group in reversed(block.groups):
            ops = [derived for op in reversed(group.ops) for derived in backward_ops(op)]
            matrix = [op for op in ops if isinstance(op, Einsum) and op.compute.unit == "tensor"]
            if group.family in ("gemm", "conv") and len(matrix) == len(ops):
                groups += [Group(op.name, (op,), group.family) for op in matrix]
            elif ops:
                groups.append(Group(f"{group.name}.d", tuple(ops), group.family))
        blocks.append(Block(f"{block.name}.d", tuple(groups), block.repeat))
    return Phase("backward", tuple(blocks), samples=False)


def optimizer(forward: Phase, master_bits: Extent = 32, moments: int = 2, moment_bits: Extent = 32) -> Phase:
    """Return one Adam step over every weight of ``forward``, fused per block."""
    blocks, seen = [], set[str]()
    for block, group in forward.groups():
        ops: list[Op] = []
        for t, op, _ in group.memory_views():
            if t.role is not Role.WEIGHT or t.name in seen:
                continue
            seen.add(t.name)
            ranks = {"p": t.elements(op_ranks(op))}
            state = tuple(tensor(f"{t.name}.moment{i}", "p", Role.OPTIMIZER, moment_bits) for i in range(moments))
            master = tensor(f"{t.name}.master", "p", Role.OPTIMIZER, master_bits)
            grad = tensor(f"d.{t.name}", "p", Role.GRADIENT, t.bits)
            step = Compute("vector", "fp32", ADAM_FLOPS)
            new = tensor(t.name, "p", Role.WEIGHT, t.bits)
            ops.append(Einsum(f"{t.name}.adam", ranks, (grad, master, *state), new, step))
            # the state is read by the step and written back: one more pass of each
            ops += [Einsum(f"{s.name}.store", ranks, (), s, vector(flops=0.0)) for s in (master, *state)]
        if ops:
            blocks.append(
                Block(f"{block.name}.adam", (Group(f"{group.name}.adam", tuple(ops), "vector"),), block.repeat)
            )
    return Phase("optimizer", tuple(blocks), samples=False)


def differentiate(workload: Workload, forward: str = "forward") -> Workload:
    """Return the training step of ``workload``: forward, backward, optimizer."""
    phase = workload.phase(forward)
    units = {"training step": 1, **workload.units}
    return Workload(workload.name, (phase, backward(phase), optimizer(phase)), units)
