"""From tables of measured kernels to a scored model of every expert they cover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from math import comb
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.operators.device import known_devices
from codesign.costmodels.operators.distillation import distilled
from codesign.costmodels.operators.experts import EXPERTS, Expert
from codesign.costmodels.operators.family_model import FamilyModel
from codesign.costmodels.operators.fit import fit_family, rows_of
from codesign.costmodels.operators.model_file import OperatorModel, model_of
from codesign.costmodels.operators.power import fit_power
from codesign.costmodels.operators.protocols import MOST_FOR_PAIRS, LeftOut, Seen, leave_one_out, new_shapes
from codesign.costmodels.operators.tables import Rows, read_tables

LEAST_DEVICES = 3
"""Devices of a vendor from which its rows are used: fewer tell nothing of others, and mislead about other vendors'."""


class Training(msgspec.Struct, frozen=True, eq=False):
    """A fitted model, and how each of its experts does on devices left out, and on new shapes of devices seen."""

    model: OperatorModel
    scores: tuple[LeftOut, ...]
    seen: tuple[Seen, ...]


class Fit(NamedTuple):
    """What one expert became, and its scores; None and empty where the tables hold nothing of it."""

    model: FamilyModel | None
    scores: tuple[LeftOut, ...] = ()
    seen: tuple[Seen, ...] = ()


def train(
    folder: Path | str,
    *,
    score: bool = True,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Training:
    """Return the experts fitted on the tables in ``folder``; the number of workers changes nothing but the time.

    Args:
        folder: With tables in the schemas of ``tables``.
        score: Leave each device out in turn; that takes several fits a device.
        seed: Of all that is drawn.
        workers: Processes that fit experts beside each other.
        progress: Called with a few words where a part is done.

    Raises:
        DataError: there is no table, or one lacks a column.
    """
    say = progress or (lambda text: None)
    say("reading tables")
    tables = _tables(Path(folder))
    sources = {name: {"rows": len(rows), **rows.quarantined} for name, rows in tables.items()}
    found: dict[str, Fit] = {}
    if workers > 1:
        # a process of its own for each expert: what reads tables again gives back what it took
        with ProcessPoolExecutor(workers, get_context("spawn"), max_tasks_per_child=1) as pool:
            # the longest first, so that none is left alone in the end
            names = [e.name for e in sorted(EXPERTS, key=lambda e: -_effort(e, tables))]
            asked = {pool.submit(_fit_from, str(folder), name, score, seed): name for name in names}
            for future in as_completed(asked):
                found[asked[future]] = future.result()
                say(f"{asked[future]}: done")
    else:
        for expert in EXPERTS:
            found[expert.name] = _fit(expert, tables, score, seed)
            say(f"{expert.name}: done")
    families = {e.name: fit.model for e in EXPERTS if (fit := found[e.name]).model is not None}
    scores = [one for expert in EXPERTS for one in found[expert.name].scores]
    seen = [one for expert in EXPERTS for one in found[expert.name].seen]
    say("power: fitting what was recorded")
    power = fit_power(tables, seed)
    model = model_of(families, seed, sources, {one.expert: _halves(one, scores) for one in seen}, power)
    return Training(model, tuple(scores), tuple(seen))


def _effort(expert: Expert, tables: Mapping[str, Rows]) -> float:
    """Return about how long the fits of ``expert`` take beside those of others: rows times fits that leave two out."""
    rows = rows_of(expert, tables)
    if rows is None or not len(rows):
        return 0.0
    count = np.bincount(rows.device)
    devices = int((count > 0).sum())
    return float(np.minimum(count, MOST_FOR_PAIRS).sum()) * comb(devices, 2)


def _tables(folder: Path) -> dict[str, Rows]:
    return {name: _of_vendors(rows) for name, rows in read_tables(folder).items()}


def _fit_from(folder: str, name: str, score: bool, seed: int) -> Fit:
    """Return the fit of the expert called ``name``, in a process of its own, on one thread."""
    import sklearn.ensemble  # noqa: F401 - limits reach only the libraries that are loaded by then
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    expert = next(expert for expert in EXPERTS if expert.name == name)
    with threadpool_limits(1):
        return _fit(expert, _tables(Path(folder)), score, seed)


def _fit(expert: Expert, tables: Mapping[str, Rows], score: bool, seed: int) -> Fit:
    rows = rows_of(expert, tables)
    if rows is None or not len(rows):
        return Fit(None)
    model = distilled(fit_family(expert, rows, seed), rows, known_devices(), seed)
    devices = [rows.devices[number].id for number in np.unique(rows.device).tolist()]
    if not score or len(devices) < 2:
        return Fit(model)
    return Fit(model, tuple(leave_one_out(expert, rows, devices, seed)), (new_shapes(expert, rows, seed),))


def _halves(seen: Seen, scores: list[LeftOut]) -> dict[str, float]:
    """Return half widths of intervals: of all formats, and of each that was left out with two devices or more."""
    mine = [score for score in scores if score.expert == seen.expert]
    of_devices: dict[str, list[float]] = {}
    of_forms: dict[str, list[float]] = {}
    for score in mine:
        of_devices.setdefault(score.device, []).append(score.half)
        of_forms.setdefault(score.form, []).append(score.half)
    means = [float(np.mean(of_device)) for of_device in of_devices.values()]
    found = {"seen": seen.half, **_unseen("", means)}
    for form, halves in of_forms.items():
        if len(halves) > 1:
            found |= _unseen(f" {form}", halves)
    return found


def _unseen(form: str, halves: list[float]) -> dict[str, float]:
    """Return half widths for a device that was not measured: a few tell little of how far off another may be."""
    return {f"unseen{form}": float((np.mean(halves) + np.max(halves)) / 2.0), f"worst{form}": float(np.max(halves))}


def _of_vendors(rows: Rows) -> Rows:
    """Return the rows of vendors with enough devices; the others are counted as left out."""
    used = np.unique(rows.device).tolist()
    count = Counter(rows.devices[number].vendor for number in used)
    few = [number for number in used if count[rows.devices[number].vendor] < LEAST_DEVICES]
    mask = np.isin(rows.device, few)
    if not mask.any():
        return rows
    left = {**rows.quarantined, f"of a vendor with fewer than {LEAST_DEVICES} devices": int(mask.sum())}
    return msgspec.structs.replace(rows.take(~mask), quarantined=left)
