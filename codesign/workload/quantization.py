"""Per-layer quantization: what a plan says, and what it does to a workload.

A plan gives every layer the bits of its weights and of its input activations, the granularity of its scales, and a
language model the bits of its cache. ``quantize`` writes the effective storage bits (scales and zero points included)
and the compute dtype of every layer into a workload. Widths up to 8 bits are integers on a uniform grid; 16 is bf16;
32 leaves the numbers as they are.

A scale takes 16 bits, a zero point as many as a weight; integers of both operands compute at the narrowest type of the
target that holds them [1]_. Between layers numbers travel at their own width: an activation is stored narrow only where
every reader takes it narrow.

.. [1] Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
   arXiv:1712.05877, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Literal

import msgspec
import numpy as np

from codesign.errors import UsageError, nearest
from codesign.workload.edits import map_groups, map_tensors
from codesign.workload.einsum import Compute, Einsum, Extent, Op, Role, Tensor, op_inputs, op_output
from codesign.workload.graph import Group, Workload

WIDTHS = (32, 16, 8, 6, 4, 3, 2)
"""Bits that a plan may give to weights, activations and caches."""

INTEGER = 8
"""Widths up to this are integers with a scale."""

SCALE_BITS = 16

DTYPES = ("fp32", "bf16", "fp16", "int8")
"""Compute dtypes that a plan may use where no target says which it has."""

LADDER = ((4, "int4"), (8, "int8"), (16, "bf16"), (16, "fp16"), (32, "fp32"))
"""Widths that a compute dtype holds, narrowest first."""

Width = Literal[32, 16, 8, 6, 4, 3, 2]
Granularity = Literal["tensor", "channel", "group"]


class LayerScheme(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one layer is quantised.

    Attributes:
        weight_bits: Bits of a weight.
        activation_bits: Bits of an input activation.
        granularity: Weights that share a scale: all, those of an output channel, or ``group_size`` of a channel.
        group_size: Weights of a group; 0 without groups.
        symmetric: Whether weights have no zero point.
        activation_range: Calibrated (lowest, highest) input that integers represent.
    """

    weight_bits: Width = 32
    activation_bits: Width = 32
    granularity: Granularity = "channel"
    group_size: int = 0
    symmetric: bool = True
    activation_range: tuple[float, float] | None = None

    def groups(self, elements: int, channels: int) -> int:
        """Return the number of scales of a weight of ``elements`` in ``channels`` output channels."""
        if self.granularity == "tensor":
            return 1
        if self.granularity == "channel":
            return channels
        if self.group_size < 1:
            raise UsageError(f"group_size is {self.group_size}", "granularity group needs a group_size of at least 1")
        return channels * -(-(elements // channels) // self.group_size)


class QuantizationPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quantised model: its layers by name; layers not named stay as they are.

    Attributes:
        layers: Module name -> scheme.
        kv_bits: Bits of cached keys and values.
        kv_layers: Modules whose outputs are cached.
        model: What the plan is for, as the user wrote it.
    """

    layers: Mapping[str, LayerScheme]
    kv_bits: Width = 32
    kv_layers: tuple[str, ...] = ()
    model: str = ""


class LayerBits(msgspec.Struct, frozen=True, eq=False):
    """Storage and compute of one layer over design points: effective bits are arrays, the dtype is structural."""

    weight_bits: Extent
    activation_bits: Extent
    compute: str


class Stored(msgspec.Struct, frozen=True):
    """The weight of a layer in a workload: its elements and output channels."""

    elements: int
    channels: int


def effective_bits(bits: Any, groups: Any, elements: int, symmetric: Any = True) -> Any:
    """Return the bits that an element takes with its share of scales and zero points; arrays broadcast."""
    zero_point = np.where(symmetric, 0, bits)
    shared = np.where(np.asarray(bits) <= INTEGER, groups * (SCALE_BITS + zero_point) / elements, 0.0)
    return bits + shared if np.ndim(shared) else bits + float(shared)


def compute_of(weight_bits: int, activation_bits: int, dtypes: Sequence[str]) -> str:
    """Return the narrowest of ``dtypes`` that holds both operands.

    Raises:
        UsageError: none does.
    """
    widest = max(weight_bits, activation_bits)
    for width, name in LADDER:
        if width >= widest and name in dtypes:
            return name
    raise UsageError(f"no compute dtype holds {widest} bits", f"the target has {', '.join(dtypes)}")


def stored_layers(workload: Workload) -> dict[str, Stored]:
    """Return the layers of a workload: name -> weight, a product or convolution that reads a stored weight."""
    found: dict[str, Stored] = {}
    for phase in workload.phases:
        for _, group in phase.groups():
            for op in group.ops:
                weight = _weight(op)
                if weight is None or not isinstance(op, Einsum):
                    continue
                out = {rank for axis in op.output.axes for rank, _ in axis.terms}
                channels = prod(int(op.ranks[rank]) for a in weight.axes for rank, _ in a.terms if rank in out)
                found.setdefault(layer_name(weight), Stored(int(weight.elements(op.ranks)), channels))
    return found


def layer_name(weight: Tensor) -> str:
    """Return the layer that holds a weight: its name without what follows the module's."""
    return weight.name.removesuffix(".weight")


def _weight(op: Op) -> Tensor | None:
    """Return the stored weight of a product on the tensor unit, if it has one."""
    if not isinstance(op, Einsum) or op.compute.unit != "tensor":
        return None
    return next((t for t in op.inputs if t.role is Role.WEIGHT), None)


def quantize(workload: Workload, plan: QuantizationPlan, dtypes: Sequence[str] = DTYPES) -> Workload:
    """Return ``workload`` as ``plan`` stores and computes it.

    Args:
        workload: A captured module, or any workload whose layers the plan names (weights without ``.weight``).
        plan: Bits of every layer.
        dtypes: Compute dtypes that are there, such as those of a target.

    Raises:
        UsageError: the plan names a layer that the workload lacks, or needs a dtype that is not there.
    """
    known = stored_layers(workload)
    layers = {}
    for name, scheme in plan.layers.items():
        if name not in known:
            raise UsageError(f"the plan names a layer {name!r} that {workload.name} lacks", nearest(name, known))
        here = known[name]
        groups = scheme.groups(here.elements, here.channels)
        layers[name] = LayerBits(
            effective_bits(scheme.weight_bits, groups, here.elements, scheme.symmetric),
            scheme.activation_bits,
            compute_of(scheme.weight_bits, scheme.activation_bits, dtypes),
        )
    row = next((known[name].channels for name in plan.kv_layers if name in known), 1)
    kv_bits = effective_bits(plan.kv_bits, 1, row, symmetric=False) if plan.kv_bits < 32 else None
    return store(workload, layers, kv_bits, plan.kv_layers)


def store(
    workload: Workload, layers: Mapping[str, LayerBits], kv_bits: Extent | None = None, kv_layers: Sequence[str] = ()
) -> Workload:
    """Return ``workload`` with these bits; ``kv_bits`` None leaves caches as they are. Arrays are over points.

    Caches are tensors of the role KV, state held by the module that holds one of ``kv_layers``, and what those layers
    write.
    """
    readers = _activation_bits(workload, layers)
    makers = _makers(workload, kv_layers) if kv_bits is not None else frozenset[str]()
    holders = {name.rpartition(".")[0] for name in kv_layers}

    def bits_of(t: Tensor) -> Extent:
        cached = t.role is Role.KV or (t.role is Role.STATE and t.name.rpartition(".")[0] in holders)
        if kv_bits is not None and (t.name in makers or cached):
            return kv_bits
        if t.role is Role.WEIGHT:
            layer = layers.get(layer_name(t))
            return t.bits if layer is None else layer.weight_bits
        return readers.get(t.name, t.bits)

    def computed(group: Group) -> Group:
        weight = next((w for w in map(_weight, group.ops) if w is not None and layer_name(w) in layers), None)
        if weight is None:
            return group
        dtype = layers[layer_name(weight)].compute
        ops = tuple(
            msgspec.structs.replace(op, compute=Compute("tensor", dtype, op.compute.flops))
            if isinstance(op, Einsum) and op.compute.unit == "tensor"
            else op
            for op in group.ops
        )
        return msgspec.structs.replace(group, ops=ops)

    retyped = map_tensors(workload, lambda t: True, lambda t: msgspec.structs.replace(t, bits=bits_of(t)))
    return map_groups(retyped, computed)


def _activation_bits(workload: Workload, layers: Mapping[str, LayerBits]) -> dict[str, Extent]:
    """Return tensor -> bits of the activations that quantised layers read: the widest of all their readers."""
    found: dict[str, Any] = {}
    narrowed: set[str] = set()
    for phase in workload.phases:
        for _, group in phase.groups():
            for op in group.ops:
                weight = _weight(op)
                layer = layers.get(layer_name(weight)) if weight is not None else None
                for t in op_inputs(op):
                    if t.role is not Role.ACTIVATION:
                        continue
                    bits = t.bits if layer is None else np.minimum(layer.activation_bits, t.bits)
                    found[t.name] = np.maximum(found[t.name], bits) if t.name in found else bits
                    if layer is not None:
                        narrowed.add(t.name)
    return {name: found[name] for name in narrowed}


def _makers(workload: Workload, names: Sequence[str]) -> frozenset[str]:
    """Return the tensors that the groups of these layers write."""
    made: set[str] = set()
    for phase in workload.phases:
        for _, group in phase.groups():
            weight = next((w for w in map(_weight, group.ops) if w is not None), None)
            if weight is not None and layer_name(weight) in names:
                last = op_output(group.ops[-1])
                made |= {last.name} if last is not None else set()
    return frozenset(made)
