"""The vocabulary of what is computed: extended Einsums in groups, blocks, phases; meshes; edits.

This package imports nothing of ours but errors, so every other package may speak it.
"""

from codesign.workload.differentiate import backward, differentiate, optimizer
from codesign.workload.einsum import (
    MULTIPLY_ADD,
    PERSISTENT,
    Axis,
    Collective,
    Compute,
    Einsum,
    Extent,
    Host,
    Lookup,
    Op,
    Role,
    Tensor,
    Transfer,
    axes,
    op_inputs,
    op_output,
    op_ranks,
    tensor,
    vector,
)
from codesign.workload.graph import Block, Group, Phase, Sweep, Workload
from codesign.workload.liveness import peak_activations, peak_memory
from codesign.workload.mesh import TRANSFORMER_PLAN, Mesh, Plan, shard
from codesign.workload.sweep import at, quadrature

__all__ = [
    "MULTIPLY_ADD",
    "PERSISTENT",
    "TRANSFORMER_PLAN",
    "Axis",
    "Block",
    "Collective",
    "Compute",
    "Einsum",
    "Extent",
    "Group",
    "Host",
    "Lookup",
    "Mesh",
    "Op",
    "Phase",
    "Plan",
    "Role",
    "Sweep",
    "Tensor",
    "Transfer",
    "Workload",
    "at",
    "axes",
    "backward",
    "differentiate",
    "op_inputs",
    "op_output",
    "op_ranks",
    "optimizer",
    "peak_activations",
    "peak_memory",
    "quadrature",
    "shard",
    "tensor",
    "vector",
]
