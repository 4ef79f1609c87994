"""Many operators at once: a table of operators in, the same rows with latency, interval, power and source out.

Columns are ``id``, ``op``, ``device``, ``dtype``, if known ``framework``, and the shape columns of each operator, named
as in public tables of measured kernels. Every spelling of a device, dtype or operator in those tables is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.costmodels.efficiency import table
from codesign.costmodels.operators import physics
from codesign.costmodels.operators.device import Device, device_of
from codesign.costmodels.operators.experts import EXPERTS
from codesign.costmodels.operators.families import FAMILIES, SKEW_EXPERTS
from codesign.costmodels.operators.fit import predict
from codesign.costmodels.operators.formats import Format, format_of
from codesign.costmodels.operators.model_file import OperatorModel, read_model
from codesign.costmodels.operators.spellings import OPERATORS, SKEW, Operator
from codesign.costmodels.operators.tables import UNDERCUT, Rows
from codesign.errors import DataError, UsageError, nearest, printable
from codesign.quantity import Array, Method
from codesign.targets import load_target

if TYPE_CHECKING:
    import polars as pl

CHUNK = 65_536
"""Rows predicted at a time."""

ANALYTICAL_HALF = float(np.log(3.0))
"""Half width of the logarithmic interval where nothing was measured of a family and format (assumed)."""

LARGEST = float(2**31)
"""Extents from here on are taken for mistakes."""


MAY_BE_ZERO = frozenset({"cached", "window", "padding", "kv_heads"})
RESULTS = ("latency_ms", "low_ms", "high_ms", "power_w", "source")


@cache
def shipped_model() -> OperatorModel:
    """Return the model that comes with the package."""
    with as_file(files("codesign.costmodels.operators").joinpath("operators.npz")) as path:
        return read_model(path)


def predict_file(path: Path | str, model: OperatorModel | None = None) -> Iterator[pl.DataFrame]:
    """Yield the rows of a CSV with ``RESULTS`` beside them, chunk by chunk.

    Raises:
        DataError: it cannot be read, or a row names something unknown or impossible.
    """
    import polars as pl

    path = Path(path)
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except OSError as error:
        raise DataError(f"cannot read {path.name}: {(error.strerror or str(error)).lower()}") from None
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path.name} cannot be read as CSV: {str(error).splitlines()[0]}") from None
    for name in ("op", "device", "dtype"):
        if name not in frame.columns:
            raise DataError(f"{path.name}: column {name!r} is missing", f"it has {', '.join(frame.columns)}")
    for begin in range(0, len(frame), CHUNK):
        yield predict_frame(frame.slice(begin, CHUNK), model or shipped_model(), path.name, begin)


def predict_frame(frame: pl.DataFrame, model: OperatorModel, name: str = "table", begin: int = 0) -> pl.DataFrame:
    """Return ``frame`` with ``RESULTS`` beside it; ``begin`` is the position of its first row, for messages."""
    import polars as pl

    asked = _Asked(frame, name, begin)
    numbers = np.full((len(RESULTS) - 1, len(frame)), np.nan)
    source = np.empty(len(frame), object)
    for operator, rows, at in asked.groups():
        numbers[:, at], source[at] = _predicted(operator.family, rows, model)
    numbers[:3] *= 1e3
    found = {column: pl.Series(values) for column, values in zip(RESULTS, numbers, strict=False)}
    return frame.with_columns(**found, source=pl.Series(source.tolist(), dtype=pl.Utf8))


def _predicted(family: str, rows: Rows, model: OperatorModel) -> tuple[Array, Any]:
    """Return latency, low and high in s and power in W, shape (4, n), and the source of each row."""
    seconds, half = np.empty(len(rows)), np.empty(len(rows))
    source = np.empty(len(rows), object)
    on = rows.columns
    work = FAMILIES[family].work(rows.shapes, on)
    for form in np.unique(rows.form).tolist():
        at = np.flatnonzero(rows.form == form)
        expert = next(
            (e for e in EXPERTS
             if e.family == family and rows.formats[form].name in e.serves and e.name in model.families),
            None,
        )  # fmt: skip
        if expert is None:
            some = rows.take(at)
            seconds[at] = physics.seconds(physics.PRIOR, FAMILIES[family].work(some.shapes, some.columns), some.columns)
            half[at], source[at] = ANALYTICAL_HALF, Method.ANALYTICAL.value
            continue
        seconds[at] = predict(model.families[expert.name], rows.take(at))
        for number in np.unique(rows.device[at]).tolist():
            of_device = at[rows.device[at] == number]
            half[of_device], source[of_device] = _tier(model, expert.name, rows.devices[number])
    power = table().power
    busy = np.minimum(power.active_share + power.flop_share * work.flops / physics.rate(work, on) / seconds, 1.0)
    least = physics.least(work, on)
    low = np.minimum(np.maximum(seconds * np.exp(-half), least / UNDERCUT), seconds)
    return np.stack([seconds, low, seconds * np.exp(half), busy * on.power]), source


def _tier(model: OperatorModel, expert: str, device: Device) -> tuple[float, str]:
    """Return half width of the logarithmic interval and source of an expert on a device."""
    fitted = model.card.experts[expert]
    if device.id in fitted.devices:
        return fitted.halves.get("seen", ANALYTICAL_HALF), Method.INTERPOLATED.value
    if device.architecture in fitted.architectures:
        return fitted.halves.get("unseen", ANALYTICAL_HALF), Method.SAME_FAMILY.value
    return fitted.halves.get("worst", ANALYTICAL_HALF), Method.NEW_FAMILY.value


class _Asked:
    """The rows of a table as operators, checked."""

    def __init__(self, frame: pl.DataFrame, name: str, begin: int) -> None:
        self._frame, self._name, self._begin = frame, name, begin

    def groups(self) -> Iterator[tuple[Operator, Rows, Any]]:
        """Yield each operator asked for, its rows and their positions."""
        names, place = np.unique(self._column("op"), return_inverse=True)
        devices, device = self._each("device", lambda text: device_of(load_target(text)))
        formats, form = self._each("dtype", format_of)
        stacks, stack = self._stacks()
        for number, spelt in enumerate(names.tolist()):
            at = np.flatnonzero(place == number)
            operator = OPERATORS.get(spelt.strip().lower())
            if operator is None:
                raise self._wrong(at[0], "op", spelt, nearest(spelt, OPERATORS))
            shapes = self._shapes(spelt.strip().lower(), operator, at, [formats[f] for f in form[at].tolist()])
            rows = Rows(
                operator.family, shapes, tuple(devices), device[at], tuple(formats), form[at], stacks, stack[at],
                np.ones(len(at)), np.zeros(len(at), bool), {},
            )  # fmt: skip
            self._supported(rows, at)
            yield operator, rows, at

    def _supported(self, rows: Rows, at: Any) -> None:
        for place in np.unique(rows.device * len(rows.formats) + rows.form, return_index=True)[1].tolist():
            try:
                rows.devices[rows.device[place]].peak(rows.formats[rows.form[place]])
            except UsageError as error:
                raise self._wrong(at[place], "dtype", rows.formats[rows.form[place]].name, str(error)) from None

    def _column(self, column: str) -> Any:
        return self._frame[column].fill_null("").to_numpy().astype(str)

    def _each(self, column: str, known: Any) -> tuple[list[Any], Any]:
        """Return what each distinct text of a column means, and its position for each row."""
        texts, first, place = np.unique(self._column(column), return_index=True, return_inverse=True)
        found = []
        for text, row in zip(texts.tolist(), first.tolist(), strict=True):
            try:
                found.append(known(text))
            except UsageError as error:
                raise self._wrong(row, column, text, f"{error.message}; {error.hint}") from None
        return found, place

    def _stacks(self) -> tuple[tuple[str, ...], Any]:
        if "framework" not in self._frame.columns:
            return ("",), np.zeros(len(self._frame), np.int64)
        names = [text.partition("/")[0] for text in self._column("framework").tolist()]
        texts, place = np.unique(names, return_inverse=True)
        return tuple(texts.tolist()), place

    def _shapes(self, spelt: str, operator: Operator, at: Any, forms: list[Format]) -> dict[str, Array]:
        shapes = {name: np.full(len(at), value) for name, value in operator.fixed.items()}
        defaults = FAMILIES[operator.family].shape
        for ours, theirs in operator.columns.items():
            default = 0.0 if ours in MAY_BE_ZERO else defaults.get(ours)
            shapes[ours] = self._numbers(theirs, at, default, zero=ours in MAY_BE_ZERO)
        if operator.family == "decode" and "step" in self._frame.columns:
            shapes["cached"] = shapes["cached"] + self._numbers("step", at, 0.0, zero=True)
        if operator.family in ("prefill", "decode"):
            shapes["kv_heads"] = np.where(shapes["kv_heads"] > 0.0, shapes["kv_heads"], shapes["heads"])
            given = self._column("kv_cache_dtype")[at] if "kv_cache_dtype" in self._frame.columns else [""] * len(at)
            shapes["kv_bytes"] = np.array(
                [format_of(text).weight if text else form.weight for text, form in zip(given, forms, strict=True)]
            )
        if operator.family == "moe":
            skew = self._frame["distribution"].str.extract(SKEW) if (
                "distribution" in self._frame.columns) else None  # fmt: skip
            shapes["skew"] = np.full(len(at), SKEW_EXPERTS) if skew is None else (
                skew.cast(float).fill_null(SKEW_EXPERTS).to_numpy()[at])  # fmt: skip
        return shapes

    def _numbers(self, column: str, at: Any, default: float | None, *, zero: bool) -> Array:
        """Return a shape column, checked: whole numbers from 1, or 0 where ``zero``, below 2^31."""
        if column not in self._frame.columns:
            if default is None:
                raise DataError(f"{self._name}: column {column!r} is missing", "name shapes as in --help")
            return np.full(len(at), default)
        text = self._frame[column][at]
        values = text.cast(float, strict=False).to_numpy().astype(np.float64)
        empty = (text.is_null() | (text == "")).fill_null(True).to_numpy()
        values = np.where(empty, np.nan if default is None else default, values)
        within = (values >= (0.0 if zero else 1.0)) & (values < LARGEST)
        right = np.isfinite(values) & within & (values == np.floor(values))
        if not right.all():
            row = int(np.flatnonzero(~right)[0])
            expected = f"expected a whole number from {0 if zero else 1} to {int(LARGEST) - 1:,}"
            raise self._wrong(at[row], column, str(text[row]), expected)
        return values

    def _wrong(self, row: int, column: str, value: str, expected: str) -> DataError:
        shown = printable(value, 60)
        return DataError(f"{self._name}: row {self._begin + int(row) + 1}, {column} is {shown!r}", expected)
