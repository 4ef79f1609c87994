"""Measured runs of whole models as the operators they consist of, from a table of operators and repeats.

A view (``getitem``) takes no kernel; what else only moves data is priced as elementwise over its largest tensor, with
two operands where as many tensors of that size go in.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from codesign.costmodels.operators.device import Device, device_of
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.spellings import OPERATORS
from codesign.costmodels.operators.tables import Indices, Rows
from codesign.costmodels.operators.vector_kinds import BINARY, UNARY
from codesign.quantity import Array
from codesign.targets import load_target

PEERS = ("roofline", "neusight", "habitat", "li")
VIEW = "getitem"

Shape = dict[str, float]


class Used(NamedTuple):
    """One operator of a run: its shape, position of its device, times it runs, position of the run."""

    shape: Shape
    device: int
    repeats: float
    run: int


class Part(NamedTuple):
    """The operators of one family in all runs; columns of shape (n,)."""

    rows: Rows
    repeats: Array
    run: Indices


class Runs(NamedTuple):
    """Measured runs: name, device and seconds of each, seconds that peers predict, and their operators by family."""

    names: list[str]
    devices: list[str]
    seconds: Array
    peers: dict[str, Array]
    parts: dict[str, Part]


def read_runs(path: Path) -> Runs:
    """Return the runs in a table of operators; milliseconds there, seconds here."""
    table = pl.read_parquet(path)
    totals = [(pl.col(f"{peer}_ms") * pl.col("mult")).sum().alias(peer) for peer in PEERS]
    runs = table.group_by("device", "run", maintain_order=True).agg(pl.col("run_fw_ms").first(), *totals)
    place = {key: number for number, key in enumerate(runs.select("device", "run").iter_rows())}
    names = sorted(set(runs["device"]))
    devices = tuple(device_of(load_target(name)) for name in names)
    found: dict[str, list[Used]] = {"gemm": [], "vector": []}
    columns = table.select("device", "run", "OpName", "FwOps", "mult")
    for device, run, operator, operators, repeats in columns.iter_rows():
        for name, extents in ast.literal_eval(operators):
            asked = kernel(operator, name, extents)
            if asked is not None:
                found[asked[0]].append(Used(asked[1], names.index(device), repeats, place[device, run]))
    return Runs(
        runs["run"].to_list(), [devices[names.index(name)].id for name in runs["device"]],
        runs["run_fw_ms"].to_numpy() * 1e-3, {peer: runs[peer].to_numpy() * 1e-3 for peer in PEERS},
        {family: _part(family, used, devices) for family, used in found.items()},
    )  # fmt: skip


def kernel(operator: str, name: str, extents: Sequence[Sequence[int]] | Sequence[int]) -> tuple[str, Shape] | None:
    """Return the family and shape of an operator; None where it takes no kernel.

    Args:
        operator: Its name in the model.
        name: Its name among kernels; ``MEM`` where it only moves data.
        extents: Of its shape, or of each of its tensors where it only moves data.
    """
    spelt = name.lower().removeprefix("vec")
    if spelt == "mem":
        if operator == VIEW:
            return None
        tensors = [extent for extent in extents if isinstance(extent, Sequence)]
        largest = max(float(np.prod(extent)) for extent in tensors)
        full = [extent for extent in tensors if float(np.prod(extent)) == largest]
        shape = {"rows": largest / max(full[0][-1], 1), "length": float(full[0][-1])}
        return "vector", {**shape, "kind": BINARY if len(full) > 2 else UNARY}
    named = OPERATORS[spelt]
    given = ("B", "H") if named.family == "vector" else ("B", "M", "N", "K")
    known = dict(zip(given[-len(extents) :], extents, strict=True))
    shapes = {ours: float(known.get(theirs, 1)) for ours, theirs in named.columns.items()}  # type: ignore[arg-type]
    return named.family, {**shapes, **named.fixed}


def _part(family: str, used: Sequence[Used], devices: tuple[Device, ...]) -> Part:
    count = len(used)
    rows = Rows(
        family, {name: np.array([one.shape[name] for one in used]) for name in used[0].shape}, devices,
        np.array([one.device for one in used]), (format_of("fp32"),), np.zeros(count, np.int64), ("pytorch",),
        np.zeros(count, np.int64), np.ones(count), np.zeros(count, bool), {},
    )  # fmt: skip
    return Part(rows, np.array([one.repeats for one in used]), np.array([one.run for one in used]))
