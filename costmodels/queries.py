"""Many designs at once: a CSV of designs in, the same rows with their prices out.

Columns are named as the options of ``estimate``: ``model`` and ``target`` are required, the rest take the
command's defaults. Cells of options that have none may be empty. ``grid`` takes numbers or names. Rows that share a
structure are priced in one array computation; a row that cannot run is kept, with ``feasible`` false and the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from codesign.costmodels.api import NUMERIC, PLACES, STRUCTURAL, split
from codesign.costmodels.design import price_design
from codesign.costmodels.impact import Site
from codesign.costmodels.siting import check_site, site_at
from codesign.errors import CodesignError, DataError, nearest
from codesign.models import load_model
from codesign.targets import load_target
from codesign.workload.structure import by_structure

if TYPE_CHECKING:
    import polars

CHUNK = 65536
"""Rows priced at a time: memory stays bounded whatever the file's length."""

KEYS = ("model", "target", *STRUCTURAL)
TEXT = frozenset({"model", "target", "dtype", "kv_dtype", "execution", "mode", "framework"})
KNOWN = ("id", *KEYS, *(name for name in NUMERIC if name != "rate"), "grid")
OPTIONAL = ("kv_dtype", "framework", "chunk", "concurrency", "rounds", "gather")
"""Columns whose cells may be empty: options without a default."""

SPREAD = "grid_sigma"
"""Key of rows whose grids are known equally well: their intensities are numbers of one array computation."""


def price_file(path: str, defaults: Mapping[str, Any], overlay: str | None = None) -> Iterator[polars.DataFrame]:
    """Yield the priced rows of the CSV at ``path``, chunk by chunk.

    Raises:
        DataError: the file cannot be read, or a column is missing, unknown or of the wrong type.
    """
    frame = _read(path)
    unknown = [name for name in frame.columns if name not in KNOWN]
    if unknown:
        raise DataError(f"{path}: unknown column {unknown[0]!r}", nearest(unknown[0], KNOWN))
    place = site_at({name: defaults[name] for name in PLACES if defaults.get(name) is not None})
    check_site(place)
    for name in ("model", "target"):
        if name not in frame.columns and defaults.get(name) is None:
            raise DataError(f"{path}: column {name!r} is missing", f"add it, or give --{name}")
    for start in range(0, len(frame), CHUNK):
        yield _priced(frame.slice(start, CHUNK), path, start, defaults, overlay, place)


def _read(path: str) -> polars.DataFrame:
    import polars as pl

    if not Path(path).is_file():
        raise DataError(f"{path}: no such file")
    try:
        frame = pl.read_csv(path, infer_schema_length=None)
    except Exception as error:  # polars raises many kinds for broken files
        raise DataError(f"{path}: cannot be read as CSV: {str(error).splitlines()[0]}") from None
    if frame.is_empty():
        raise DataError(f"{path}: no rows", "a header line and at least one design")
    return frame


def _priced(
    frame: polars.DataFrame, path: str, start: int, defaults: Mapping[str, Any], overlay: str | None, place: Site
) -> polars.DataFrame:
    import polars as pl

    count = len(frame)
    columns: dict[str, NDArray[Any]] = {}
    for name in KNOWN[1:-1]:
        if name in frame.columns:
            columns[name] = _column(frame, name, path, start)
        elif defaults.get(name) is not None:
            columns[name] = np.full(count, defaults[name])
    if "grid" in frame.columns:
        columns["grid"], columns[SPREAD] = _grids(frame, path, start)
    results: dict[str, NDArray[Any]] = {
        "feasible": np.zeros(count, np.bool_),
        "reason": np.full(count, "", dtype=object),
    }
    stated = {name: ~_empty(columns[name]) for name in OPTIONAL if name in columns}
    keys = [name for name in (*KEYS, SPREAD) if name in columns]
    # rows that give a number are priced apart from those that leave it out
    given = {f"{name}?": values for name, values in stated.items() if name not in keys}
    for structure, index in by_structure({**columns, **given}, [*keys, *given]):
        spread = structure.pop(SPREAD, place.grid_sigma)
        for name in given:
            structure.pop(name)
        absent = {name for name, values in stated.items() if not values[index[0]]}
        structure = {name: value for name, value in structure.items() if name not in absent}
        kept = [name for name in columns if name not in keys and name not in absent]
        numbers = {name: columns[name][index] for name in kept}
        _price_structure(structure, numbers, index, results, overlay, replace(place, grid_sigma=spread))
    texts = pl.Series("reason", results.pop("reason").tolist(), dtype=pl.String)
    return frame.with_columns([*(pl.Series(name, values) for name, values in results.items()), texts])


def _column(frame: polars.DataFrame, name: str, path: str, start: int) -> NDArray[Any]:
    values = frame[name]
    if name in OPTIONAL and values.null_count():
        values = values.cast(str).fill_null("") if name in TEXT else values.cast(float).fill_null(np.nan)
    if values.null_count():
        row = start + 2 + int(values.is_null().arg_max() or 0)
        raise DataError(f"{path}:{row}: {name} is empty", "give a value in every row, or leave the column out")
    if name in TEXT:
        return values.cast(str).to_numpy().astype(str)
    if not values.dtype.is_numeric():
        place = int(values.cast(float, strict=False).is_null().arg_max() or 0)
        raise DataError(
            f"{path}:{start + 2 + place}: {name}: found {values[place]!r}, expected a number",
            "write plain numbers without units",
        )
    return values.to_numpy()


def _empty(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(values) if values.dtype.kind == "f" else values == "")


def _grids(frame: polars.DataFrame, path: str, start: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the intensity and the log standard deviation of each row's grid; each distinct grid is looked up once."""
    names = frame["grid"]
    if names.null_count():
        row = start + 2 + int(names.is_null().arg_max() or 0)
        raise DataError(f"{path}:{row}: grid is empty", "give a value in every row, or leave the column out")
    distinct, place = np.unique(names.to_numpy().astype(str), return_inverse=True)
    found = []
    for position, name in enumerate(distinct.tolist()):
        try:
            found.append(site_at({"grid": name}))
        except CodesignError as error:
            row = start + 2 + int((place == position).argmax())
            raise DataError(f"{path}:{row}: {error.message}", error.hint) from None
    intensities, spreads = np.array([site.grid for site in found]), np.array([site.grid_sigma for site in found])
    return intensities[place], np.round(spreads, 9)[place]


def _price_structure(
    structure: dict[str, Any],
    numbers: dict[str, NDArray[Any]],
    index: NDArray[np.intp],
    results: dict[str, NDArray[Any]],
    overlay: str | None,
    place: Site,
) -> None:
    count = len(results["feasible"])
    try:
        model = load_model(structure["model"])
        target = load_target(structure["target"], overlay=overlay)
        options = {k: v for k, v in structure.items() if k not in ("model", "target")}
        site = replace(place, grid=numbers["grid"]) if "grid" in numbers else place
        sizes = {name: values for name, values in numbers.items() if name != "grid"}
        whole, load, site = split(model, {**options, **sizes, "site": site})
        estimate = price_design(model, target, whole, load, site).estimate
    except CodesignError as error:
        if len(index) == 1 or not numbers:
            results["reason"][index] = str(error)
            return
        # one bad row must not cost its neighbours: halve until it stands alone
        middle = len(index) // 2
        for half in (slice(None, middle), slice(middle, None)):
            part = {name: values[half] for name, values in numbers.items()}
            _price_structure(structure, part, index[half], results, overlay, place)
        return
    shape = (len(index),)
    for name, column in estimate.columns.items():
        low, high = estimate.interval(name)
        for key, values in ((name, column.value), (f"{name}_low", low), (f"{name}_high", high)):
            if key not in results:
                results[key] = np.full(count, np.nan)
            results[key][index] = np.broadcast_to(values, shape)
    results["feasible"][index] = np.broadcast_to(estimate.feasible, shape)
    results["reason"][index] = np.array(estimate.reasons, dtype=object)[np.broadcast_to(estimate.reason, shape)]
