"""A table of operators as rows of families, checked: every spelling known, every shape possible, errors by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from codesign.costmodels.operators.device import Device, device_of
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.formats import Format, format_of
from codesign.costmodels.operators.routing import SKEW_EXPERTS, skew_of
from codesign.costmodels.operators.shape_limits import LARGEST, faults, whole_number
from codesign.costmodels.operators.spellings import OPERATORS, Operator
from codesign.costmodels.operators.stacks import BY_KERNEL, stack_named
from codesign.costmodels.operators.tables import Rows
from codesign.errors import DataError, UsageError, nearest, printable
from codesign.quantity import Array
from codesign.targets import Target, load_target

if TYPE_CHECKING:
    import polars as pl

MAY_BE_ZERO = frozenset({"cached", "window", "padding", "kv_heads"})
"""Shape columns that may be 0 or left out; what 0 means of each is settled before shapes are checked."""


class Group(NamedTuple):
    """The rows of one operator.

    Attributes:
        family: Of the operator.
        measured: Whether operators of its name were, or others stand for it.
        rows: Its rows; their seconds are 1 where none were asked for.
        targets: Of the devices of ``rows``, in the same order.
        at: Positions of the rows in the table.
    """

    family: str
    measured: bool
    rows: Rows
    targets: tuple[Target, ...]
    at: Any


class Asked:
    """The rows of a table as operators, checked.

    Args:
        frame: Columns of text.
        name: Of the table, for messages.
        rows: Positions of its rows in a longer one, for messages.
        target: What all rows run on; None where a column says it.
        overlay: Path of a calibration overlay of a target.
    """

    def __init__(
        self, frame: pl.DataFrame, name: str, rows: Any = None, target: Target | None = None, overlay: str | None = None
    ) -> None:
        self._frame, self._name, self._target, self._overlay = frame, name, target, overlay
        self._rows = np.arange(len(frame)) if rows is None else rows

    def groups(self) -> Iterator[Group]:
        """Yield the rows of each operator asked for."""
        names, place = np.unique(self.column("op"), return_inverse=True)
        targets, device = self.targets()
        devices = [self._device(target, device, at) for at, target in enumerate(targets)]
        formats, form = self.each("dtype", format_of)
        for number, spelt in enumerate(names.tolist()):
            at = np.flatnonzero(place == number)
            operator = OPERATORS.get(spelt.strip().lower())
            if operator is None:
                raise self.wrong(at[0], "op", spelt, nearest(spelt, OPERATORS))
            shapes = self._shapes(spelt.strip().lower(), operator, at, [formats[f] for f in form[at].tolist()])
            stacks, stack = self._stacks(operator.family)
            rows = Rows(
                operator.family, shapes, tuple(devices), device[at], tuple(formats), form[at], stacks, stack[at],
                np.ones(len(at)), np.zeros(len(at), bool), {},
            )  # fmt: skip
            self._supported(rows, at)
            yield Group(operator.family, operator.measured, rows, tuple(targets), at)

    def targets(self) -> tuple[list[Target], Any]:
        """Return the distinct targets, and which of them each row runs on."""
        if self._target is not None:
            return [self._target], np.zeros(len(self._frame), np.int64)
        return self.each("device", lambda text: load_target(text, overlay=self._overlay))

    def _device(self, target: Target, device: Any, number: int) -> Device:
        try:
            return device_of(target)
        except UsageError as error:
            row = int(np.flatnonzero(device == number)[0])
            raise self.wrong(row, "device", target.id, f"{error.message}; {error.hint}") from None

    def _supported(self, rows: Rows, at: Any) -> None:
        for place in np.unique(rows.device * len(rows.formats) + rows.form, return_index=True)[1].tolist():
            try:
                rows.devices[rows.device[place]].peak(rows.formats[rows.form[place]])
            except UsageError as error:
                raise self.wrong(at[place], "dtype", rows.formats[rows.form[place]].name, str(error)) from None

    def column(self, column: str) -> Any:
        """Return a column of text; what is empty is the empty text."""
        return self._frame[column].fill_null("").to_numpy().astype(str)

    def each(self, column: str, known: Any) -> tuple[list[Any], Any]:
        """Return what each distinct text of a column means, and its position for each row."""
        texts, first, place = np.unique(self.column(column), return_index=True, return_inverse=True)
        found = []
        for text, row in zip(texts.tolist(), first.tolist(), strict=True):
            try:
                found.append(known(text))
            except UsageError as error:
                raise self.wrong(row, column, text, f"{error.message}; {error.hint}") from None
        return found, place

    def _stacks(self, family: str) -> tuple[tuple[str, ...], Any]:
        """Return the distinct stacks, and which of them each row runs on; none is named where no framework is."""
        nothing = np.array([""]), np.zeros(len(self._frame), np.int64)
        frameworks, place = self._texts("framework") or nothing
        kernels, sort = (self._texts("kernel_source") if family in BY_KERNEL else None) or nothing
        pairs, place = np.unique(place * len(kernels) + sort, return_inverse=True)
        each = [divmod(pair, len(kernels)) for pair in pairs.tolist()]
        names, of_pair = np.unique([stack_named(frameworks[f], kernels[k]) for f, k in each], return_inverse=True)
        return tuple(names.tolist()), of_pair[place]

    def _texts(self, column: str) -> tuple[Any, Any] | None:
        """Return the distinct texts of a column and which of them each row has; None where there is no such column."""
        if column not in self._frame.columns:
            return None
        texts, place = np.unique(self.column(column), return_inverse=True)
        return texts, place

    def _shapes(self, spelt: str, operator: Operator, at: Any, forms: list[Format]) -> dict[str, Array]:
        shapes = {name: np.full(len(at), value) for name, value in operator.fixed.items()}
        defaults = FAMILIES[operator.family].shape
        for ours, theirs in operator.columns.items():
            default = 0.0 if ours in MAY_BE_ZERO else defaults.get(ours)
            shapes[ours] = self.numbers(theirs, at, default, zero=ours in MAY_BE_ZERO)
        if operator.family == "decode" and "step" in self._frame.columns:
            shapes["cached"] = shapes["cached"] + self.numbers("step", at, 0.0, zero=True)
        if operator.family in ("prefill", "decode"):
            shapes["kv_heads"] = np.where(shapes["kv_heads"] > 0.0, shapes["kv_heads"], shapes["heads"])
            named = self._meant("kv_cache_dtype", at, lambda text: format_of(text).weight if text.strip() else 0.0, 0.0)
            shapes["kv_bytes"] = np.where(named > 0.0, named, [form.weight for form in forms])
        if operator.family == "moe":
            shapes["skew"] = self._meant("distribution", at, skew_of, SKEW_EXPERTS)
        self._fitting(operator, shapes, at)
        return shapes

    def _meant(self, column: str, at: Any, meaning: Callable[[str], float], missing: float) -> Array:
        """Return the numbers that the texts of a column mean for the rows ``at``; ``missing`` without the column."""
        if column not in self._frame.columns:
            return np.full(len(at), missing)
        texts, first, place = np.unique(self.column(column)[at], return_index=True, return_inverse=True)
        found = []
        for text, row in zip(texts.tolist(), at[first].tolist(), strict=True):
            try:
                found.append(meaning(text))
            except UsageError as error:
                raise self.wrong(row, column, text, error.hint) from None
        return np.array(found)[place]

    def _fitting(self, operator: Operator, shapes: dict[str, Array], at: Any) -> None:
        """Refuse shapes whose extents do not fit together."""
        for fault in faults(operator.family, shapes):
            row = int(np.flatnonzero(fault.rows)[0])
            column = operator.columns.get(fault.column, fault.column)
            raise self.wrong(at[row], column, f"{shapes[fault.column][row]:.12g}", fault.expected)

    def numbers(self, column: str, at: Any, default: float | None, *, zero: bool = False) -> Array:
        """Return a shape column, checked: whole numbers from 1, or 0 where ``zero``, below 2^31."""
        if column not in self._frame.columns:
            if default is None:
                raise DataError(f"{self._name}: column {column!r} is missing", "name shapes as in --help")
            return np.full(len(at), default)
        text = self._frame[column][at].str.strip_chars()
        values = text.cast(float, strict=False).to_numpy().astype(np.float64)
        empty = (text.is_null() | (text == "")).fill_null(True).to_numpy()
        values = np.where(empty, np.nan if default is None else default, values)
        within = (values >= (0.0 if zero else 1.0)) & (values < LARGEST)
        right = np.isfinite(values) & within & (values == np.floor(values))
        if not right.all():
            row = int(np.flatnonzero(~right)[0])
            raise self.wrong(at[row], column, text[row] or "", whole_number(0.0 if zero else 1.0))
        return values

    def wrong(self, row: int, column: str, value: str, expected: str) -> DataError:
        """Return the error of a row; ``expected`` is the hint."""
        shown = printable(value, 60)
        return DataError(f"{self._name}: row {int(self._rows[row]) + 1}, {column} is {shown!r}", expected)
