"""How much one layer alone costs at each width, and plans that follow from it.

Every layer is quantised alone, its weights or its activations, at every width, and the loss on the search split is
compared with the original's. Taking the losses as additive [1]_, a path from the original downwards lowers, at every
step, the one width whose added loss for a saved bit is least. Points of that path seed the search.

.. [1] Cai et al., ZeroQ: A Novel Zero Shot Quantization Framework, arXiv:2001.00281, section 3.2: the Pareto frontier
   of mixed precision under additive sensitivities.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codesign.search.quantization.laboratory import Laboratory
from codesign.workload.quantization import QuantizationPlan

PARTS = ("weights", "activations")

Widths = dict[tuple[str, str], int]
"""(layer, part) -> bits."""


@dataclass(frozen=True, slots=True)
class Row:
    """One layer alone at one width: its quality on the search split and the loss added to the original's.

    ``added`` is in nats of cross-entropy, or squared error.
    """

    layer: str
    part: str
    bits: int
    quality: float
    added: float


def sensitivity(laboratory: Laboratory, widths: Mapping[str, Sequence[int]]) -> tuple[Row, ...]:
    """Return the rows of every layer, part and width below 32 (``widths`` gives those of each part)."""
    base = laboratory.original["search"].loss
    rows = []
    for layer in laboratory.layers:
        for part in PARTS:
            if part == "activations" and layer not in laboratory.called:
                continue
            for bits in widths[part]:
                if bits == 32:
                    continue
                weight, activation = (bits, 32) if part == "weights" else (32, bits)
                plan = QuantizationPlan({layer: laboratory.scheme(layer, weight, activation)})
                found = laboratory.quality(plan)
                rows.append(Row(layer, part, bits, found.value, found.loss - base))
    return tuple(rows)


def path(laboratory: Laboratory, rows: Sequence[Row], widths: Mapping[str, Sequence[int]]) -> list[Widths]:
    """Return the plans from the original to the narrowest, one width lower at each step.

    A bit of a layer's weights counts by the layer's share of all weights, a bit of its activations as one of as many.
    """
    added = {(row.layer, row.part, row.bits): row.added for row in rows}
    here: Widths = {(row.layer, row.part): 32 for row in rows}
    sizes = {layer: laboratory.simulator.elements(layer) for layer in laboratory.layers}
    total = sum(sizes.values())
    share = {(layer, part): sizes[layer] / total if part == "weights" else 1.0 / len(sizes) for layer, part in here}
    steps = [dict(here)]
    while True:
        offers = []
        for (layer, part), bits in here.items():
            lower = [width for width in widths[part] if width < bits]
            if lower:
                before = added.get((layer, part, bits), 0.0)
                # a gain on so few samples is luck: it counts as no loss
                cost = max(0.0, added[layer, part, lower[0]] - before)
                offers.append((cost / ((bits - lower[0]) * share[layer, part]), layer, part, lower[0]))
        if not offers:
            return steps
        _, layer, part, bits = min(offers)
        here[layer, part] = bits
        steps.append(dict(here))


def table(rows: Sequence[Row], measure: str) -> str:
    """Return the rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["layer", "part", "bits", measure, "added_loss"])
    writer.writerows([row.layer, row.part, row.bits, f"{row.quality:.6g}", f"{row.added:.6g}"] for row in rows)
    return text.getvalue()
