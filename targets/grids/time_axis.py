"""From the time column of a series to a regular axis: what is missing, doubled, out of order or of another step.

Time is UTC. Stamps are ISO 8601; an offset (``+01:00``) is converted, a stamp without one is taken as UTC. Local times
with daylight saving repeat an hour in autumn and skip one in spring: the first is refused, the second noted, because
both would shift half of the year by an hour against the load.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError, printable
from codesign.quantity import Array
from codesign.targets.grids.table_file import MOST_ROWS, SHOWN, Table, cells_of, numbers_of

TIME_COLUMNS = ("timestamp", "datetime", "time", "date", "utc", "datetime (utc)", "timestamp (utc)", "time (utc)")
HOUR_COLUMN = "hour"

DAY_S = 86_400
UNLIKELY = 1e-3
"""Chance that scattered gaps alone make a run of equal longer steps: below it the step is said to change."""

_CLOCK_CHANGES = (3, 4, 9, 10, 11)
"""Months in which clocks change."""


class Axis(msgspec.Struct, frozen=True, eq=False):
    """A regular time axis.

    Attributes:
        step_seconds: Length of a slot, s.
        slots: Slots from the first row to the last.
        place: Slot of each row, shape (rows,).
        start: UTC start of slot 0; None where rows only count hours.
        notes: What was found, for people.
    """

    step_seconds: float
    slots: int
    place: NDArray[np.int64]
    start: datetime | None
    notes: tuple[str, ...] = ()

    def spread(self, values: Array) -> Array:
        """Return the ``values`` of rows on all slots, NaN where there is no row."""
        found = np.full(self.slots, np.nan)
        found[self.place] = values
        return found


def axis_of(table: Table, *, year: int | None = None) -> Axis:
    """Return the time axis of a table.

    Args:
        table: With a column of time stamps, or ``hour`` (a count, 0 for the first hour of the year).
        year: Year whose first hour is hour 0, where rows only count hours.

    Raises:
        DataError: no time column, an unreadable stamp, rows out of order, a doubled time, a step that changes.
    """
    column = time_column(table)
    if column.casefold() == HOUR_COLUMN:
        seconds, naive = _counted(table, column), False
        origin = datetime(year, 1, 1, tzinfo=UTC) if year is not None else None
    else:
        seconds, naive = _stamped(table, column)
        origin = datetime(1970, 1, 1, tzinfo=UTC)
    if len(seconds) < 2:
        raise DataError(f"{table.path}: a single row", "a series needs two; give a number for a constant")
    steps = np.diff(seconds)
    _check_order(table, seconds, steps, naive)
    step = _step(table, seconds, steps)
    slots = int(seconds[-1] - seconds[0]) // step + 1
    if slots > MOST_ROWS:
        raise DataError(f"{table.path}: spans {slots:,} steps of {step} s", f"at most {MOST_ROWS:,} are read")
    start = None if origin is None else origin + timedelta(seconds=int(seconds[0]))
    place = (seconds - seconds[0]) // step
    return Axis(float(step), slots, place, start, _spring(table, seconds, steps, step) if naive else ())


def time_column(table: Table) -> str:
    """Return the name of the time column: a known name, else a first column that holds time stamps."""
    known = {name.casefold(): name for name in table.columns}
    for name in (*TIME_COLUMNS, HOUR_COLUMN):
        if name in known:
            return known[name]
    first = next(iter(table.columns))
    if _stamp(table.columns[first][0]) is not None and not table.columns[first][0].isdigit():
        return first
    raise DataError(f"{table.path}: no time column", "expected 'timestamp' (ISO 8601, UTC) or 'hour'")


def _stamp(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _stamped(table: Table, column: str) -> tuple[NDArray[np.int64], bool]:
    """Return seconds since 1970 of each row, and whether the stamps name no offset."""
    cells = cells_of(table, column)
    stamps = [_stamp(cell) for cell in cells]
    found: list[datetime] = []
    for row, stamp in enumerate(stamps):
        if stamp is None:
            raise DataError(
                f"{table.at(row)}: {printable(column, SHOWN)}: found {printable(cells[row], SHOWN)!r}",
                "expected ISO 8601 in UTC, such as 2022-01-01T00:00:00Z",
            )
        found.append(stamp)
    naive = [stamp.tzinfo is None for stamp in found]
    if any(naive) and not all(naive):
        row = naive.index(not naive[0])
        raise DataError(f"{table.at(row)}: stamps with and without an offset in one file", "write all in UTC")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    aware = [stamp.replace(tzinfo=UTC) for stamp in found] if naive[0] else found
    return np.array([(stamp - epoch) // timedelta(seconds=1) for stamp in aware], dtype=np.int64), naive[0]


def _counted(table: Table, column: str) -> NDArray[np.int64]:
    """Return seconds since hour 0 of each row of an hour count."""
    hours = numbers_of(table, column)
    wrong = ~((hours >= 0.0) & (hours <= MOST_ROWS))
    if wrong.any():
        row = int(wrong.argmax())
        found = printable(table.columns[column][row], SHOWN)
        raise DataError(f"{table.at(row)}: {column}: found {found!r}, expected hours counted from 0")
    return np.rint(hours * 3600.0).astype(np.int64)


def _check_order(table: Table, seconds: NDArray[np.int64], steps: NDArray[np.int64], naive: bool) -> None:
    """Refuse rows that repeat a time or go back."""
    back = steps <= 0
    if not back.any():
        return
    row = int(back.argmax()) + 1
    earlier = np.flatnonzero(seconds[:row] == seconds[row])
    local = naive and seconds[row - 1] - seconds[row] < 3600 and _clocks_change(int(seconds[row]))
    if local:
        later = np.flatnonzero(steps[: row - 1] > np.median(steps)) + 1
        spring = next((r for r in later.tolist() if _clocks_change(int(seconds[r]))), None)
        skipped = f", and one is skipped at line {int(table.lines[spring])}" if spring is not None else ""
        raise DataError(
            f"{table.at(row)}: an hour is repeated where clocks change{skipped}: these are local times",
            "write the stamps in UTC, or with their offset (2022-10-30T02:00:00+01:00)",
        )
    if earlier.size:
        first = int(table.lines[int(earlier[0])])
        raise DataError(f"{table.at(row)}: the same time as line {first}", "keep one row for a time")
    raise DataError(f"{table.at(row)}: earlier than the row before", "sort the rows by time")


def _step(table: Table, seconds: NDArray[np.int64], steps: NDArray[np.int64]) -> int:
    """Return the step of the axis in seconds, refusing one that changes within the file."""
    lengths, counts = np.unique(steps, return_counts=True)
    step = int(lengths[counts == counts.max()].max())
    if DAY_S % step:
        raise DataError(f"{table.path}: rows are {step} s apart", "expected a step that divides a day, such as 1 h")
    shorter = steps % step != 0
    if shorter.any():
        row = int(shorter.argmax()) + 1
        raise _changing(table, row, step, int(steps[row - 1]))
    # longer steps are gaps where they are scattered, and another step where they come in a row
    for length, count in zip(lengths.tolist(), counts.tolist(), strict=True):
        begin, run = _longest_run(steps == length) if length != step else (0, 0)
        if len(steps) * (count / len(steps)) ** run < UNLIKELY and run > 1:
            raise _changing(table, begin + 1, step, length)
    return step


def _changing(table: Table, row: int, step: int, other: int) -> DataError:
    return DataError(
        f"{table.at(row)}: the step changes within the file, from {step / 60:g} to {other / 60:g} min or back",
        "bring all rows to one step: a mean over them would weigh one part more than the other",
    )


def _longest_run(true: NDArray[np.bool_]) -> tuple[int, int]:
    """Return (first place, length) of the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], true, [False])).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    if not begins.size:
        return 0, 0
    longest = int(np.argmax(ends - begins))
    return int(begins[longest]), int(ends[longest] - begins[longest])


def _spring(table: Table, seconds: NDArray[np.int64], steps: NDArray[np.int64], step: int) -> tuple[str, ...]:
    """Return a note where one hour is missing at the time at which clocks change."""
    skips = np.flatnonzero(steps == step + 3600) + 1
    rows = [row for row in skips.tolist() if _clocks_change(int(seconds[row]))]
    if not rows:
        return ()
    line = int(table.lines[rows[0]])
    return (f"line {line}: an hour is skipped where clocks change; if the stamps are local times, write them in UTC",)


def _clocks_change(seconds: int) -> bool:
    """Say whether this is a Sunday before 5 in a month in which clocks change somewhere."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return at.weekday() == 6 and at.hour < 5 and at.month in _CLOCK_CHANGES
