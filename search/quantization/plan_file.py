"""Plans as YAML files: what a search writes and ``apply_plan`` reads back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from codesign.errors import DataError
from codesign.run.directory import write_file
from codesign.strict_yaml import decode_yaml, read_text
from codesign.workload.quantization import QuantizationPlan

HEAD = "# Bits of every layer; read it back with codesign.load_plan, apply it with codesign.apply_plan.\n"


def plan_text(plan: QuantizationPlan) -> str:
    """Return a plan as YAML."""
    return HEAD + yaml.safe_dump(msgspec.to_builtins(plan), sort_keys=False)


def save_plan(plan: QuantizationPlan, path: Path | str) -> None:
    """Write a plan to a YAML file."""
    write_file(Path(path), plan_text(plan))


def load_plan(path: Path | str) -> QuantizationPlan:
    """Return the plan of a YAML or JSON file.

    Raises:
        DataError: it is missing, no plan, or states a width or range that cannot be; file, field and value are named.
    """
    plan: QuantizationPlan = decode_yaml(read_text(path), QuantizationPlan, str(path))
    for name, scheme in plan.layers.items():
        if scheme.granularity == "group" and scheme.group_size < 1:
            raise DataError(f"{path}: layers.{name}.group_size is {scheme.group_size}", "expected at least 1")
        if scheme.activation_range is not None and not scheme.activation_range[0] < scheme.activation_range[1]:
            low, high = scheme.activation_range
            raise DataError(f"{path}: layers.{name}.activation_range is {low} to {high}", "expected lowest < highest")
    return plan
