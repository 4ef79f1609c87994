"""Series that tests write: good ones, and the ways in which series go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

START = datetime(2022, 1, 1, tzinfo=UTC)


def stamps(
    count: int, step_minutes: float = 60.0, start: datetime = START, form: str = "%Y-%m-%dT%H:%M:%SZ"
) -> list[str]:
    return [(start + timedelta(minutes=step_minutes * place)).strftime(form) for place in range(count)]


def write(path: Path, times: Iterable[str], values: Iterable[object], head: str = "timestamp,avg_ci_g_per_kwh") -> str:
    rows = [f"{time},{value}" for time, value in zip(times, values, strict=True)]
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return str(path)


def _naive_local_year() -> list[str]:
    """Berlin wall clock of March to November 2022: an hour skipped on 27 March, one repeated on 30 October."""
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("Europe/Berlin")
    start = datetime(2022, 3, 26, tzinfo=UTC)
    return [(start + timedelta(hours=h)).astimezone(zone).strftime("%Y-%m-%d %H:%M") for h in range(24 * 225)]


def _lines(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def _replaced(values: list[str], place: int, value: str) -> list[str]:
    return [*values[:place], value, *values[place + 1 :]]


HOURS = stamps(48)
FLAT = ["300"] * 48

BAD: dict[str, tuple[Callable[[Path], str], str, str]] = {
    "doubled": (lambda p: write(p, _replaced(HOURS, 5, HOURS[4]), FLAT), ":7:", "same time as line 6"),
    "doubled later": (lambda p: write(p, _replaced(HOURS, 9, HOURS[4]), FLAT), ":11:", "same time as line 6"),
    "backwards": (lambda p: write(p, HOURS[::-1], FLAT), ":3:", "earlier than the row before"),
    "daylight saving": (
        lambda p: write(p, (times := _naive_local_year()), ["300"] * len(times)), "line 27", "these are local times",
    ),
    "step changes": (
        lambda p: write(p, [*stamps(24, 30), *stamps(48, 15, START + timedelta(hours=12))], ["300"] * 72),
        "", "the step changes within the file",
    ),
    "step shortens": (
        lambda p: write(p, [*stamps(40), *stamps(20, 30, START + timedelta(hours=40))], ["300"] * 60),
        ":43:", "the step changes within the file",
    ),
    "odd step": (lambda p: write(p, stamps(48, 50), FLAT), "3000 s apart", "divides a day"),
    "kilograms": (lambda p: write(p, HOURS, ["0.3"] * 48), "kg/kWh", "multiply by 1000"),
    "milligrams": (lambda p: write(p, HOURS, _replaced(FLAT, 3, "300000")), ":5:", "above 2500"),
    "nan": (lambda p: write(p, HOURS, _replaced(FLAT, 3, "NaN")), ":5:", "not a finite number"),
    "infinite": (lambda p: write(p, HOURS, _replaced(FLAT, 3, "inf")), ":5:", "not a finite number"),
    "words": (lambda p: write(p, HOURS, _replaced(FLAT, 3, "n/a")), ":5:", "expected a number"),
    "negative": (lambda p: write(p, HOURS, _replaced(FLAT, 3, "-1")), ":5:", "negative"),
    "filled with zero": (lambda p: write(p, HOURS, _replaced(FLAT, 3, "0")), ":5:", "is zero"),
    "negative generation": (
        lambda p: write(p, HOURS, ["1,2"] * 3 + ["1,-2"] + ["1,2"] * 44, "timestamp,WND,NG"), ":5:", "negative",
    ),
    "no generation": (
        lambda p: write(p, HOURS, ["1,2"] * 3 + ["0,0"] + ["1,2"] * 44, "timestamp,WND,NG"),
        ":5:", "nothing is generated",
    ),
    "one fuel twice": (lambda p: write(p, HOURS, ["1,2"] * 48, "timestamp,WND,wind"), "wind", "two columns"),
    "mostly missing": (lambda p: write(p, HOURS, [""] * 30 + ["300"] * 18), "30 hours", "less than half"),
    "no value": (lambda p: write(p, HOURS, [""] * 48), "no value", "at least half"),
    "no time": (lambda p: write(p, ["x"] * 48, FLAT, "zone,avg_ci_g_per_kwh"), "no time column", "timestamp"),
    "other dates": (lambda p: write(p, stamps(48, form="%d/%m/%Y %H:%M"), FLAT), ":2:", "ISO 8601"),
    "mixed offsets": (lambda p: write(p, _replaced(HOURS, 3, HOURS[3][:-1]), FLAT), ":5:", "with and without"),
    "no intensity": (lambda p: write(p, HOURS, FLAT, "timestamp,price"), "avg_ci_g_per_kwh", "--column"),
    "one row": (lambda p: write(p, HOURS[:1], FLAT[:1]), "single row", "two"),
    "no row": (lambda p: write(p, [], []), "no rows", "header"),
    "too long": (
        lambda p: write(p, ["2022-01-01", "2022-01-02", "2022-01-03", "9999-01-01"], FLAT[:4]), "spans", "at most",
    ),
    "ragged": (lambda p: write(p, HOURS, _replaced(FLAT, 3, "300,1")), ":5:", "3 cells, expected 2"),
    "semicolons": (lambda p: _lines(p, "timestamp;ci", "2022-01-01;300"), "';'", "commas"),
    "two columns of one name": (lambda p: _lines(p, "timestamp,ci,ci", "2022-01-01,1,2"), "'ci'", "rename"),
}  # fmt: skip
"""What is wrong -> (writer, two texts that the message has to hold)."""
