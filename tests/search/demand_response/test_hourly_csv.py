"""Hourly CSV files: columns, windows, gaps, bounds."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from codesign.errors import DataError
from codesign.search.demand_response import hourly_csv
from codesign.search.demand_response.hourly_csv import read_hourly

DAY = [f"2022-01-01T{hour:02}:00:00Z" for hour in range(24)]


def written(path: Path, rows: list[str], head: str = "timestamp,ci") -> Path:
    text = "\n".join([head, *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_reads_a_window(tmp_path: Path, name: str) -> None:
    file = written(tmp_path / name, [f"{time},{hour}" for hour, time in enumerate(DAY)])
    found = read_hourly(file, "ci", 5, 3)
    assert found.values.tolist() == [5, 6, 7]
    assert found.start == DAY[5]
    assert len(read_hourly(file, "ci", 20, 24).values) == 4


def test_whole_hours_and_no_times_at_all_are_fine(tmp_path: Path) -> None:
    assert read_hourly(written(tmp_path / "a.csv", ["0,1", "1,2"], "hour,ci"), "ci").values.tolist() == [1, 2]
    assert np.array_equal(read_hourly(written(tmp_path / "b.csv", ["1", "2"], "ci"), "ci").values, [1, 2])


def hours(*skipped: int) -> list[str]:
    return [f"{time},{hour}" for hour, time in enumerate(DAY) if hour not in skipped]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (hours(7), "2:00:00 after the row before"),
        ([*hours()[:3], hours()[2]], "0:00:00 after the row before"),
        ([*hours()[:2], f"{DAY[2]},"], "found '', expected a number"),
        ([*hours()[:2], f"{DAY[2]},nan"], "found 'nan'"),
        ([*hours()[:2], f"{DAY[2]},inf"], "found 'inf'"),
        ([*hours()[:2], DAY[2]], "found '', expected a number"),
        ([*hours()[:2], "soon,4"], "expected an ISO 8601 time"),
        ([*hours()[:2], "2022-01-01T02:00:00,4"], "states its zone otherwise"),
        (["2022-01-01T00:00:00Z,1", "2022-01-01T00:30:00Z,1"], "0:30:00 after the row before"),
        (['"' + "x" * 200_000 + '",1'], "not a CSV file"),
    ],
)
def test_gaps_are_errors_that_name_the_row(tmp_path: Path, rows: list[str], said: str) -> None:
    with pytest.raises(DataError) as caught:
        read_hourly(written(tmp_path / "a.csv", rows), "ci")
    assert said in caught.value.message
    assert "a.csv:" in caught.value.message


def test_a_gap_after_the_hours_studied_does_not_matter(tmp_path: Path) -> None:
    assert len(read_hourly(written(tmp_path / "a.csv", hours(20)), "ci", 0, 12).values) == 12


def test_no_such_column_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'cj'") as caught:
        read_hourly(written(tmp_path / "a.csv", []), "cj")
    assert "ci" in caught.value.hint


def test_decompression_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = tmp_path / "a.csv.gz"
    bomb.write_bytes(gzip.compress(b"ci\n" + b"1\n" * 600_000))
    monkeypatch.setattr(hourly_csv, "MOST_BYTES", 1_000_000)
    with pytest.raises(DataError, match="more than 1,000,000 bytes"):
        read_hourly(bomb, "ci")
    monkeypatch.undo()
    with pytest.raises(DataError, match="more than 200,000 rows"):
        read_hourly(bomb, "ci", 300_000, 24)


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08\x00garbage", b"not gzip at all", b""])
def test_damaged_files_are_one_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.csv.gz"
    file.write_bytes(content)
    with pytest.raises(DataError):
        read_hourly(file, "ci")
    with pytest.raises(DataError, match="cannot be read"):
        read_hourly(tmp_path / "none.csv", "ci")
