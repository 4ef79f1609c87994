"""Measured operators that a user brings, as CSV: ``op, dtype, latency_ms`` and the shape columns of each operator.

A column ``device`` is heeded where there is one: what another device took says nothing of this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from codesign.costmodels.operators.asked import Asked
from codesign.costmodels.operators.calibration import OperatorsCalibrated, calibrate_rows
from codesign.costmodels.operators.queries import read_operators
from codesign.errors import CodesignError, DataError, printable
from codesign.targets import Target, load_target
from codesign.targets.loader import normal

if TYPE_CHECKING:
    import polars as pl

NEEDED = ("op", "dtype", "latency_ms")


def holds_operators(path: Path) -> bool:
    """Return whether ``path`` is a CSV with a column ``op``; everything else holds measurements of whole models."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as stream:
        head = stream.readline(65_536)
    return "op" in [name.strip().strip('"') for name in head.lstrip("\ufeff").strip().split(",")]


def calibrate_files(paths: Sequence[Path], target: Target) -> OperatorsCalibrated:
    """Return the operator models of ``target`` moved to the rows of ``paths``.

    Raises:
        DataError: a file cannot be read, lacks a column, or holds no row of ``target``.
    """
    import polars as pl

    frames, elsewhere = [], 0
    for path in paths:
        frame = read_operators(path, NEEDED)
        here = _here(frame, target).to_numpy() if "device" in frame.columns else np.ones(len(frame), bool)
        kept = frame.filter(here)
        for _ in Asked(kept, path.name, np.flatnonzero(here), target).groups():
            pass  # what is wrong is named by its file and row, before files come together
        elsewhere += len(frame) - len(kept)
        if not len(kept) and len(frame):
            others = ", ".join(printable(name, 40) for name in frame["device"].fill_null("").unique().sort()[:4])
            raise DataError(f"{path.name}: no row is of {target.id}", f"its devices: {others}")
        frames.append(kept)
    rows = pl.concat(frames, how="diagonal")
    found = calibrate_rows(rows, target, f"measured by the user: {', '.join(path.name for path in paths)}")
    left_out = {**found.left_out, **({"of other devices": elsewhere} if elsewhere else {})}
    return msgspec.structs.replace(found, left_out=left_out)


def _here(frame: pl.DataFrame, target: Target) -> pl.Series:
    """Return the mask of rows of ``target``: by its id, its aliases, or no device at all."""
    names = frame["device"].fill_null("")
    same = [name for name in names.unique().to_list() if not name.strip() or _is(name, target)]
    return names.is_in(same)


def _is(name: str, target: Target) -> bool:
    if normal(name) in {normal(known) for known in (target.id, target.name, *target.aliases)}:
        return True
    try:
        return load_target(name).id == target.id
    except CodesignError:  # a device that nobody knows is another one
        return False
