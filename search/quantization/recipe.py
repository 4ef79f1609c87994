"""A plan as a recipe of llm-compressor, as far as its schemes exist there.

Its ``QuantizationModifier`` takes integers of 4 or 8 bits for weights, by tensor, channel or group, and of 8 bits or
none for input activations; a cache of 8 bits. What a plan asks beyond that is listed with its reason and left out.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from codesign.workload.quantization import LayerScheme, QuantizationPlan

WEIGHT_BITS = (4, 8)
ACTIVATION_BITS = (8, 16, 32)
KV_BITS = 8


def unmapped(plan: QuantizationPlan) -> dict[str, str]:
    """Return layer -> why a recipe cannot quantise it as the plan says; those that the plan keeps are left out."""
    found = {}
    for name, scheme in plan.layers.items():
        if not _kept(scheme) and scheme.weight_bits not in WEIGHT_BITS:
            found[name] = f"weights of {scheme.weight_bits} bits: 4 and 8 exist there"
        elif not _kept(scheme) and scheme.activation_bits not in ACTIVATION_BITS:
            found[name] = f"activations of {scheme.activation_bits} bits: 8 exist there"
    if plan.kv_bits < 16 and plan.kv_bits != KV_BITS:
        found["kv cache"] = f"{plan.kv_bits} bits: {KV_BITS} exist there"
    return found


def recipe_text(plan: QuantizationPlan) -> str:
    """Return the recipe as YAML; comments name what does not map. Without anything that maps only comments remain."""
    left = unmapped(plan)
    lines = [f"# not in this recipe: {name}: {reason}" for name, reason in left.items()]
    head = "".join(f"{line}\n" for line in ["# for llm-compressor: oneshot(model=..., recipe=THIS FILE)", *lines])
    content = recipe(plan)
    return head + (yaml.safe_dump(content, sort_keys=False) if content else "# no layer maps to a scheme\n")


def recipe(plan: QuantizationPlan) -> dict[str, Any] | None:
    """Return the recipe as plain data, or None where no layer maps."""
    left = unmapped(plan)
    groups: dict[str, dict[str, Any]] = {}
    members: dict[str, list[str]] = {}
    for name, scheme in plan.layers.items():
        if name in left or _kept(scheme):
            continue
        group = _group(scheme)
        members.setdefault(repr(group), []).append(f"re:^{re.escape(name)}$")
        groups[repr(group)] = group
    cached = plan.kv_bits == KV_BITS and bool(plan.kv_layers)
    if not groups and not cached:
        return None
    modifier: dict[str, Any] = {
        "ignore": [name for name, scheme in plan.layers.items() if name in left or _kept(scheme)],
        "config_groups": {
            f"group_{place}": {"targets": members[key], **group} for place, (key, group) in enumerate(groups.items())
        },
    }
    if cached:
        modifier["kv_cache_scheme"] = {
            "num_bits": KV_BITS, "type": "int", "strategy": "tensor", "dynamic": False, "symmetric": True,
        }  # fmt: skip
    return {"quant_stage": {"quant_modifiers": {"QuantizationModifier": modifier}}}


def _kept(scheme: LayerScheme) -> bool:
    """Return whether a plan leaves a layer in floating point."""
    return scheme.weight_bits >= 16 and scheme.activation_bits >= 16


def _group(scheme: LayerScheme) -> dict[str, Any]:
    weights: dict[str, Any] = {
        "num_bits": int(scheme.weight_bits), "type": "int", "symmetric": scheme.symmetric,
        "strategy": scheme.granularity, "dynamic": False,
    }  # fmt: skip
    if scheme.granularity == "group":
        weights["group_size"] = scheme.group_size
    group: dict[str, Any] = {"weights": weights}
    if scheme.activation_bits == 8:
        group["input_activations"] = {
            "num_bits": 8, "type": "int", "symmetric": False, "strategy": "tensor", "dynamic": False,
        }  # fmt: skip
    return group
