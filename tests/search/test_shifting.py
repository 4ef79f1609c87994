"""Shifting jobs: against a plain loop over windows, its invariants, and the published shape of its case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import CodesignError, DataError, UsageError
from codesign.search.demand_response import shifting
from codesign.search.demand_response.shift_cases import shift_jobs
from codesign.search.demand_response.shifting import Jobs, noisy_forecasts, shift
from tests.targets.grid_files import HOURS, write

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "carbon"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the reference data is not beside this checkout")


def jobs_of(rows: list[tuple[int, int, int]]) -> Jobs:
    start, length, slack = np.array(rows, dtype=np.int64).T
    return Jobs(start, length, slack)


def by_loops(truth: np.ndarray, forecast: np.ndarray, rows: list[tuple[int, int, int]]) -> tuple[float, float]:
    """Return the saved shares, one job and one window at a time."""
    at_once = windows = slots = 0.0
    for start, length, slack in rows:
        end = min(start + length + slack, len(truth))
        length = min(length, end - start)
        best = min(range(start, end - length + 1), key=lambda s: (round(float(forecast[s : s + length].sum()), 9), s))
        cleanest = sorted(range(start, end), key=lambda s: (forecast[s], s))[:length]
        at_once += float(truth[start : start + length].sum())
        windows += float(truth[best : best + length].sum())
        slots += float(sum(truth[s] for s in cleanest))
    return 1.0 - windows / at_once, 1.0 - slots / at_once


@st.composite
def questions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int, int]]]:
    count = draw(st.integers(5, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = random.uniform(10.0, 500.0, count)
    forecast = truth + random.normal(0.0, 40.0, count)
    job = st.tuples(st.integers(0, count - 1), st.integers(1, 20), st.integers(0, 30))
    return truth, forecast, draw(st.lists(job, min_size=1, max_size=12))


@given(questions())
def test_arrays_give_what_loops_give(question: tuple[np.ndarray, np.ndarray, list[tuple[int, int, int]]]) -> None:
    truth, forecast, rows = question
    found = shift(truth, np.stack([truth, forecast]), jobs_of(rows))
    for place, seen in enumerate((truth, forecast)):
        expected = by_loops(truth, seen, rows)
        assert (found.contiguous[place], found.interruptible[place]) == pytest.approx(expected, abs=1e-9)


@given(questions())
def test_invariants(question: tuple[np.ndarray, np.ndarray, list[tuple[int, int, int]]]) -> None:
    truth, _, rows = question
    jobs = jobs_of(rows)
    perfect = shift(truth, truth[None], jobs)
    assert -1e-9 <= perfect.contiguous[0] <= perfect.interruptible[0] + 1e-9
    longer = shift(truth, truth[None], Jobs(jobs.start, jobs.length, jobs.slack + 3))
    inside = jobs.start + jobs.length <= len(truth)
    if inside.all():
        assert longer.interruptible[0] >= perfect.interruptible[0] - 1e-9
        assert longer.contiguous[0] >= perfect.contiguous[0] - 1e-9
    bound = shift(truth, truth[None], Jobs(jobs.start, jobs.length, np.zeros_like(jobs.slack)))
    assert (bound.contiguous[0], bound.interruptible[0]) == pytest.approx((0.0, 0.0), abs=1e-12)
    flat = np.full_like(truth, 300.0)
    found = shift(flat, np.stack([flat, truth]), jobs)
    np.testing.assert_allclose([found.contiguous, found.interruptible], 0.0, atol=1e-12)


def test_small_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    truth = random.uniform(10, 500, 400)
    jobs = Jobs(random.integers(0, 400, 90), random.integers(1, 30, 90), random.integers(0, 50, 90))
    whole = shift(truth, truth[None], jobs)
    monkeypatch.setattr(shifting, "CELLS", 100)
    parts = shift(truth, truth[None], jobs)
    np.testing.assert_allclose(parts.interruptible, whole.interruptible, rtol=1e-12)
    np.testing.assert_allclose(parts.contiguous, whole.contiguous, rtol=1e-12)


def test_forecasts_are_those_of_their_seed() -> None:
    truth = np.linspace(100.0, 500.0, 1000)
    found = noisy_forecasts(truth, 0.05, 3)
    np.testing.assert_array_equal(found[2], truth + np.random.default_rng(2).normal(0.0, 0.05 * 300.0, 1000))
    np.testing.assert_array_equal(noisy_forecasts(truth, 0.0, 2), np.stack([truth, truth]))
    assert (found - truth).std() == pytest.approx(15.0, rel=0.1)


def test_wrong_questions_are_refused() -> None:
    truth = np.full(10, 300.0)
    for rows, words in (([(0, 0, 1)], "no length"), ([(0, 1, -1)], "negative"), ([(10, 1, 1)], "outside")):
        with pytest.raises(UsageError, match=words):
            shift(truth, truth[None], jobs_of(rows))
    with pytest.raises(UsageError, match="missing"):
        shift(np.where(truth > 0, np.nan, truth), truth[None], jobs_of([(0, 1, 1)]))
    with pytest.raises(UsageError, match="shape"):
        shift(truth, truth, jobs_of([(0, 1, 1)]))
    for error, seeds in ((-0.1, 1), (np.nan, 1), (0.1, 0), (0.1, 10**9)):
        with pytest.raises(UsageError):
            noisy_forecasts(truth, error, seeds)


def case(folder: Path, **changes: object) -> dict[str, object]:
    """Write a series of two days with a clean night, two forecasts and two jobs; return inputs of a case."""
    rows = [f"{200 if hour % 24 < 6 else 400},{400 - hour},{hour}" for hour in range(48)]
    write(folder / "series.csv", HOURS, rows, "timestamp,ci,early,late")
    (folder / "jobs.csv").write_text("start_slot,length_slots,slack_slots\n10,4,20\n99,1,1\n")
    return {"series": "series.csv", "column": "ci", "jobs": "jobs.csv", **changes}


def test_the_case_by_hand(tmp_path: Path) -> None:
    found = shift_jobs(case(tmp_path, forecast_error=0.0, forecast_seeds=2), tmp_path)
    assert found["jobs"] == 1  # the other starts after the end
    assert found["saved_pct_contiguous"] == found["saved_pct_interruptible_perfect"] == pytest.approx(50.0)
    late, early = (shift_jobs(case(tmp_path, forecast_columns=[name]), tmp_path) for name in ("late", "early"))
    # the forecast "late" grows with time and keeps jobs where they are; "early" sends them to the end: 30..33 is day
    assert (late["saved_pct_contiguous"], early["saved_pct_contiguous"]) == (0.0, 0.0)
    both = shift_jobs(case(tmp_path, forecast_columns=["ci", "late"]), tmp_path)
    assert both["saved_pct_contiguous"] == pytest.approx(25.0)
    halves = shift_jobs(case(tmp_path, forecast_columns=["ci"], slots_per_hour=2), tmp_path)
    assert halves["jobs"] == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "one of two places"), ({"forecast_error": 0.1}, "belong together"),
        ({"forecast_eror": 0.1}, "forecast_error"),
        ({"forecast_columns": ["ci"], "forecast_error": 0.1, "forecast_seeds": 1}, "one of two places"),
        ({"forecast_columns": ["cj"]}, "did you mean ci"), ({"forecast_columns": ["ci"], "column": "cx"}, "ci"),
        ({"forecast_columns": ["ci"], "jobs": "none.csv"}, "No such file"),
        ({"forecast_columns": ["ci"], "slots_per_hour": 0}, "1 to 60"),
        ({"forecast_columns": ["ci"], "drop_jobs_starting_after_end": False}, "outside"),
    ],
)  # fmt: skip
def test_wrong_cases_are_refused(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(CodesignError) as caught:
        shift_jobs(case(tmp_path, **changes), tmp_path)
    assert words in str(caught.value)


def test_gaps_are_bridged_only_as_far_as_asked(tmp_path: Path) -> None:
    inputs = case(tmp_path, forecast_columns=["ci"])
    lines = (tmp_path / "series.csv").read_text().splitlines()
    (tmp_path / "series.csv").write_text("\n".join(lines[:30] + lines[32:]))
    with pytest.raises(DataError, match="2 hours are missing"):
        shift_jobs(inputs, tmp_path)
    assert shift_jobs({**inputs, "max_gap_hours": 2}, tmp_path)["jobs"] == 1


@pytest.mark.parametrize("row", ["-1,1,1", "1,0,1", "1,1,-1", "1.5,1,1", "x,1,1", "1,99999999,1"])
def test_jobs_that_are_none_are_refused_with_their_line(row: str, tmp_path: Path) -> None:
    inputs = case(tmp_path, forecast_columns=["ci"])
    (tmp_path / "jobs.csv").write_text(f"start_slot,length_slots,slack_slots\n1,1,1\n{row}\n")
    with pytest.raises(DataError, match=r"jobs\.csv:3:"):
        shift_jobs(inputs, tmp_path)


@needs_data
def test_the_reference_of_texas() -> None:
    written = yaml.safe_load((DATA / "worked_examples.yaml").read_text(encoding="utf-8"))
    reference = next(entry for entry in written["cases"] if entry["id"] == "E8")
    found = shift_jobs(reference["inputs"], DATA)
    for name, expected in reference["expected"].items():
        assert found[name] == pytest.approx(expected, abs=1e-5 if name != "jobs" else 0)
