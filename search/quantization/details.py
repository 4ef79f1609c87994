"""What a report shows of one plan, and the files of a run: sensitivity, the selected plan, its recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.costmodels.explain import group_rows
from codesign.search.problem import Breakdown, Command, Details, Grid, Item
from codesign.search.quantization.plan_file import plan_text
from codesign.search.quantization.recipe import recipe_text, unmapped
from codesign.search.quantization.sensitivity import table
from codesign.workload.quantization import QuantizationPlan, effective_bits

if TYPE_CHECKING:
    from codesign.search.quantization.problem import QuantizationProblem

TOLERANCE = {"error": 0.01, "perplexity": 0.02, "mse": 0.02}
"""What a selected plan may lose: a share of the samples, else a share of the original's."""

LOSS_TOLERANCE = 0.05
"""Share of the original's loss that a selected plan may add."""


def details(problem: QuantizationProblem, plan: QuantizationPlan) -> Details:
    """Return the details of a plan."""
    priced = problem.pricer.priced(plan)
    memory = tuple(Item(name, float(np.max(size))) for name, size in priced.memory.items() if float(np.max(size)) > 0)
    kernels = tuple(Item(row.group, row.seconds) for row in group_rows(priced.phases[0])[:12])
    stored = tuple(Item(name, stored_bytes(problem, plan, name)) for name in problem.laboratory.layers)
    left = unmapped(plan)
    notes = tuple(f"not in the recipe: {name}: {reason}" for name, reason in left.items())
    return Details(
        breakdowns=(
            Breakdown("Weights of the layers, scales included", "B", stored),
            Breakdown("Memory of the device", "B", memory),
            Breakdown("Device time by kernel", "s", kernels),
        ),
        commands=(
            Command("plan file (codesign.load_plan, codesign.apply_plan)", plan_text(plan)),
            Command("recipe for llm-compressor", recipe_text(plan), notes),
        ),
        notes=priced.estimate.notes,
        grids=(bit_picture(problem, plan), sensitivity_picture(problem)),
    )


def stored_bytes(problem: QuantizationProblem, plan: QuantizationPlan, layer: str) -> float:
    """Return the bytes of a layer's weight with its scales and zero points."""
    scheme, simulator = plan.layers[layer], problem.laboratory.simulator
    elements = simulator.elements(layer)
    groups = scheme.groups(elements, simulator.channels(layer))
    return float(elements * effective_bits(scheme.weight_bits, groups, elements, scheme.symmetric) / 8.0)


def bit_picture(problem: QuantizationProblem, plan: QuantizationPlan) -> Grid:
    """Return the bits of weights and activations of every layer, and of its cache where it fills one."""
    layers = problem.laboratory.layers
    columns = ["weights", "activations", *(["cache"] if plan.kv_layers else [])]
    rows = [
        [plan.layers[name].weight_bits, plan.layers[name].activation_bits,
         *([plan.kv_bits if name in plan.kv_layers else None] if plan.kv_layers else [])]
        for name in layers
    ]  # fmt: skip
    return Grid("Bits of every layer", "bit", layers, tuple(columns), tuple(map(tuple, rows)))


def sensitivity_picture(problem: QuantizationProblem) -> Grid:
    """Return the loss that each layer alone adds at each width."""
    rows = problem.plans.rows
    columns = tuple(dict.fromkeys((row.part, row.bits) for row in rows))
    layers = problem.laboratory.layers
    added = {(row.layer, row.part, row.bits): row.added for row in rows}
    unit = "squared error" if problem.task.measure == "mse" else "nat"
    return Grid(
        "Sensitivity: loss added by one layer alone (search split)", unit, layers,
        tuple(f"{part} {bits}" for part, bits in columns),
        tuple(tuple(added.get((layer, part, bits)) for part, bits in columns) for layer in layers),
    )  # fmt: skip


def run_files(problem: QuantizationProblem, trials: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Return the derived files of a run."""
    files = {"sensitivity.csv": table(problem.plans.rows, problem.task.measure)}
    row = selected(problem, trials)
    if row is not None:
        names = [parameter.name for parameter in problem.plans.box.parameters]
        plan = problem.plans.plan({name: trials[name][row] for name in names})
        files |= {"plan.yaml": plan_text(plan), "recipe.yaml": recipe_text(plan)}
    return files


def selected(problem: QuantizationProblem, trials: Mapping[str, Sequence[Any]]) -> int | None:
    """Return the row of the front with the fewest bits a weight among those that lose little, twice.

    Little is a percentage point of error (2 % of perplexity or squared error) and 5 % of the loss, which is finer than
    a count of errors: on the split that the search saw, and again on the selection split, where luck does not repeat.
    None where no plan qualifies.
    """
    measure, original = problem.task.measure, problem.laboratory.original
    fit = [trials["front"][row] and trials["status"][row] == "ok" for row in range(len(trials["status"]))]
    for split, prefix in (("search", ""), ("selection", "selection_")):
        here = original[split]
        allowed = here.value + TOLERANCE[measure] * (1.0 if measure == "error" else here.value)
        most = here.loss * (1.0 + LOSS_TOLERANCE)
        values, losses = trials[f"{prefix}{measure}"], trials[f"{prefix}loss"]
        fit = [ok and values[row] <= allowed and losses[row] <= most for row, ok in enumerate(fit)]
    rows = [row for row, ok in enumerate(fit) if ok]
    bits, narrow = trials["weight_bits"], trials["activation_bits"]
    return min(rows, key=lambda row: (bits[row], narrow[row], row)) if rows else None
