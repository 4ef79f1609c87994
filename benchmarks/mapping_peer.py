"""ZigZag's best mapping of a case, and what it costs by our model.

ZigZag (zigzag-dse 3.9.1, with ``six``) is not installed with codesign: put it on PYTHONPATH. Its input files are those
of ``--zigzag FOLDER``: ``hardware/`` and ``bench/``.
"""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.accelerator import Costs, Mappings, Problem, Slots, evaluate
from codesign.costmodels.accelerator.mapping import Holding, Slot
from codesign.targets.spatial import Architecture, Fanout, Storage

WORKLOADS = {"conv2_1": "resnet18_conv2_1", "gemm1024": "gemm1024", "bert_qk": "bert_qk_1024"}
NAMES = {"OY": "P", "OX": "Q", "FY": "R", "FX": "S"}
MATRIX = {"B": "M", "K": "N", "C": "K", "G": "B"}
OPERANDS = {"I": "input", "W": "weight", "O": "output"}


class Peer(NamedTuple):
    """What ZigZag found: pJ, cycles, seconds, and the costs of the same mapping by our model."""

    energy_pj: float
    cycles: float
    seconds: float
    ours: Costs | None


def run_peer(folder: Path, case: str, problem: Problem, design: Architecture) -> Peer:
    """Run LOMA for EDP on one case."""
    logging.disable(logging.CRITICAL)
    from zigzag.api import get_hardware_performance_zigzag

    kind = "conv" if case == "conv2_1" else "gemm"
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        energy, cycles, found = get_hardware_performance_zigzag(
            str(folder / f"bench/workload_{WORKLOADS[case]}.yaml"), str(folder / f"hardware/{design.id}.yaml"),
            str(folder / f"bench/map_{design.id}_{kind}.yaml"), opt="EDP", temporal_mapping_search_engine="loma",
            dump_folder=scratch, loma_show_progress_bar=False,
        )  # fmt: skip
        seconds = time.perf_counter() - began
    evaluation = found[0][1][0][0]
    return Peer(float(energy), float(cycles), seconds, repriced(evaluation, problem, design))


def repriced(evaluation: Any, problem: Problem, design: Architecture) -> Costs | None:
    """Return what ZigZag's mapping costs by our model; None where a register tile reaches across a buffer's cut.

    Its loops are one sequence; each operand's levels cut it somewhere. The array stands behind the innermost cut of the
    levels above it. Spatial factors round up.
    """
    rename = NAMES | ({} if "P" in problem.ranks else MATRIX)
    merged = {
        OPERANDS[str(operand)]: [[(rename.get(str(dim), str(dim)), size) for dim, size in level] for level in loops]
        for operand, loops in evaluation.temporal_mapping.mapping_dic_origin.items()
    }
    sequence = [loop for level in reversed(merged["input"]) for loop in reversed(level)]
    spread = {
        (rename.get(str(dim), str(dim)), size)
        for loops in evaluation.spatial_mapping.mapping_dict_origin.values() for level in loops for dim, size in level
    }  # fmt: skip
    spine = design.spine()
    behind = [node.name for node in spine.nodes[[isinstance(one, Fanout) for one in spine.nodes].index(True) :]]
    outside: dict[tuple[str, str], int] = {}
    for operand, loops in merged.items():
        homes = [node.name for node in spine.storages if not node.keeps or operand in node.keeps]
        left = len(sequence)
        for home, level in zip(reversed(homes), loops, strict=True):
            left -= len(level)
            outside[operand, home] = left
    upper = max((cut for (_, home), cut in outside.items() if home not in behind), default=0)
    if any(cut < upper for (_, home), cut in outside.items() if home in behind):
        return None
    return _priced(problem, design, sequence, spread, outside, upper)


def _priced(
    problem: Problem, design: Architecture, sequence: list[tuple[str, int]], spread: set[tuple[str, float]],
    outside: dict[tuple[str, str], int], upper: int,
) -> Costs:  # fmt: skip
    """Return the costs of a sequence of loops with an array behind the first ``upper`` of them."""
    nodes = design.spine().nodes
    at = next(place for place, node in enumerate(nodes) if isinstance(node, Fanout))
    above = [node for node in nodes[:at] if isinstance(node, Storage)]
    below = [node for node in nodes[at + 1 :] if isinstance(node, Storage)]
    # an empty slot for every level, then one slot a loop: cuts may stand between any two loops
    slots = [*(Slot(node.name) for node in above), *[Slot(above[-1].name)] * upper]
    first = len(above)
    array = len(slots)
    slots += [Slot(nodes[at].name, "x"), Slot(nodes[at].name, "y")]
    inner = len(slots) + len(below)
    last = below[-1].name if below else above[-1].name
    slots += [*(Slot(node.name) for node in below), *[Slot(last)] * (len(sequence) - upper)]
    ranks = tuple(problem.ranks)
    factors = np.ones((len(slots), len(ranks), 1), dtype=np.int64)
    for place, (rank, bound) in enumerate(sequence):
        factors[first + place if place < upper else inner + place - upper, ranks.index(rank), 0] = bound
    for rank, bound in spread:
        side = array if factors[array].prod() == 1 else array + 1
        factors[side, ranks.index(rank), 0] = int(np.ceil(bound - 1e-9))
    holdings = []
    for tensor in problem.tensors:
        operand = problem.operand(tensor)
        chain = []
        for node in (*above, *below):
            if (operand, node.name) in outside:
                cut = outside[operand, node.name]
                place = 0 if node is above[0] else first + cut if node in above else inner + cut - upper
                chain.append(Holding(node.name, place))
        holdings.append(tuple(chain))
    skeleton = Slots(design.spine().compute.name, ranks, tuple(slots), tuple(holdings))
    temporal = len(skeleton.temporal)
    orders = np.tile(np.arange(len(ranks))[None, :, None], (temporal, 1, 1))
    return evaluate(problem, design, Mappings(skeleton, factors, orders))
