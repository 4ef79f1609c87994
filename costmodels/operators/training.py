"""From tables of measured kernels to a scored model of every expert they cover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from codesign.costmodels.operators.device import known_devices
from codesign.costmodels.operators.distillation import distilled
from codesign.costmodels.operators.experts import EXPERTS
from codesign.costmodels.operators.fit import FamilyModel, fit_family, rows_of
from codesign.costmodels.operators.model_file import OperatorModel, model_of
from codesign.costmodels.operators.power import fit_power
from codesign.costmodels.operators.protocols import LeftOut, Seen, leave_one_out, new_shapes
from codesign.costmodels.operators.tables import Rows, read_tables

LEAST_DEVICES = 3
"""Devices of a vendor from which its rows are used: fewer tell nothing of others, and mislead about other vendors'."""


class Training(msgspec.Struct, frozen=True, eq=False):
    """A fitted model, and how each of its experts does on devices left out, and on new shapes of devices seen."""

    model: OperatorModel
    scores: tuple[LeftOut, ...]
    seen: tuple[Seen, ...]


def train(
    folder: Path | str, *, score: bool = True, seed: int = 0, progress: Callable[[str], None] | None = None
) -> Training:
    """Return the experts fitted on the tables in ``folder``.

    Args:
        folder: With tables in the schemas of ``tables``.
        score: Leave each device out in turn; that takes several fits a device.
        seed: Of all that is drawn.
        progress: Called with a few words before each part.

    Raises:
        DataError: there is no table, or one lacks a column.
    """
    say = progress or (lambda text: None)
    say("reading tables")
    tables = {name: _of_vendors(rows) for name, rows in read_tables(Path(folder)).items()}
    sources = {name: {"rows": len(rows), **rows.quarantined} for name, rows in tables.items()}
    families: dict[str, FamilyModel] = {}
    scores: list[LeftOut] = []
    seen: list[Seen] = []
    for expert in EXPERTS:
        rows = rows_of(expert, tables)
        if rows is None or not len(rows):
            continue
        say(f"{expert.name}: fitting {len(rows):,} rows")
        families[expert.name] = distilled(fit_family(expert, rows, seed), rows, known_devices(), seed)
        devices = [rows.devices[number].id for number in np.unique(rows.device).tolist()]
        if score and len(devices) > 1:
            say(f"{expert.name}: leaving out each of {len(devices)} devices")
            scores += leave_one_out(expert, rows, devices, seed)
            seen.append(new_shapes(expert, rows, seed))
    say("power: fitting what was recorded")
    power = fit_power(tables, seed)
    model = model_of(families, seed, sources, {found.expert: _halves(found, scores) for found in seen}, power)
    return Training(model, tuple(scores), tuple(seen))


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
