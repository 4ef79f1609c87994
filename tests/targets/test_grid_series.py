"""A user's series: read exactly, refused with the line, averaged by hand."""

from __future__ import annotations

import gzip
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import CodesignError, DataError, UsageError
from codesign.targets.grids import (
    IntensitySeries,
    bridged,
    daily_spread,
    days,
    gaps,
    hour_of_day,
    load_grid,
    mean_by_generation,
    mean_by_load,
    mean_over_hours,
    mix_intensity,
    read_series,
    resample,
    table_file,
)
from codesign.targets.grids.cases import grid_mix
from tests.targets.grid_files import BAD, FLAT, HOURS, START, stamps, write

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "carbon"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the reference data is not beside this checkout")

MIX = "timestamp,WND,SUN,WAT,OIL,NG,COL,NUC,OTH"


@pytest.mark.parametrize("wrong", BAD)
def test_a_wrong_series_is_refused_with_its_place(wrong: str, tmp_path: Path) -> None:
    writer, *words = BAD[wrong]
    path = writer(tmp_path / "series.csv")
    with pytest.raises(DataError) as caught:
        load_grid(path)
    for word in words:
        assert word in str(caught.value)


def test_a_mix_by_hand(tmp_path: Path) -> None:
    rows = ["100,50,24,10,200,300,60,5", "0,0,0,0,1,0,0,0"] * 2
    series = read_series(write(tmp_path / "mix.csv", HOURS[:4], rows, MIX))
    grams = 100 * 11 + 50 * 41 + 24 * 24 + 10 * 650 + 200 * 490 + 300 * 820 + 60 * 12 + 5 * 230
    np.testing.assert_allclose(series.values, [grams / 749, 490.0] * 2, rtol=1e-14)
    assert mean_over_hours(series).value == pytest.approx((grams / 749 + 490.0) / 2, rel=1e-14)
    assert mean_by_generation(series).value == pytest.approx((grams + 490) / 750, rel=1e-14)
    assert (mean_by_generation(series).over, mean_over_hours(series).over) == ("generation", "hours")
    other = read_series(write(tmp_path / "mix.csv", HOURS[:4], rows, MIX), factors="codecarbon,other=475")
    assert other.values[1] == 743.0
    with pytest.raises(UsageError, match="other"):
        read_series(str(tmp_path / "mix.csv"), factors="codecarbon")


@given(st.lists(st.floats(0.0, 1e5), min_size=2, max_size=8), st.floats(0.1, 1e3))
def test_a_mix_lies_between_its_fuels_and_knows_no_unit_of_power(megawatts: list[float], scale: float) -> None:
    factors = dict(
        zip(
            ("wind", "solar", "hydro", "petroleum", "gas", "coal", "nuclear", "other"),
            (11, 41, 24, 650, 490, 820, 12, 230),
            strict=True,
        )
    )
    mix = {fuel: np.array([mw + 1.0]) for fuel, mw in zip(factors, megawatts, strict=False)}
    value = float(mix_intensity(mix, factors)[0])
    used = [factors[fuel] for fuel in mix]
    assert min(used) - 1e-9 <= value <= max(used) + 1e-9
    assert float(mix_intensity({f: mw * scale for f, mw in mix.items()}, factors)[0]) == pytest.approx(value, rel=1e-9)


def test_missing_hours_are_counted_and_skipped(tmp_path: Path) -> None:
    values = [str(100 + place) for place in range(48)]
    values[10] = ""
    times = [time for place, time in enumerate(HOURS) if place not in (20, 21)]
    kept = [value for place, value in enumerate(values) if place not in (20, 21)]
    series = read_series(write(tmp_path / "gaps.csv", times, kept))
    assert (series.hours, series.missing_hours) == (45.0, 3.0)
    assert gaps(series) == ((10, 1), (20, 2))
    known = [100 + place for place in range(48) if place not in (10, 20, 21)]
    assert mean_over_hours(series).value == pytest.approx(sum(known) / 45)
    assert mean_over_hours(series).missing_hours == 3.0
    with pytest.raises(DataError, match="2022-01-01T10:00Z: 1 hours are missing"):
        bridged(series)
    with pytest.raises(DataError, match="2022-01-01T20:00Z: 2 hours are missing"):
        bridged(series, 1)
    np.testing.assert_allclose(bridged(series, 2).values, 100.0 + np.arange(48))
    assert "3 missing hours" in bridged(series, 2).notes[-1]
    assert (
        read_series(write(tmp_path / "mix.csv", HOURS, ["1,2", "1,"] + ["1,2"] * 46, "timestamp,WND,NG")).missing_hours
        == 1.0
    )


def test_a_gap_at_an_end_has_nothing_to_bridge_to(tmp_path: Path) -> None:
    series = read_series(write(tmp_path / "end.csv", HOURS, ["", *FLAT[1:]]))
    with pytest.raises(DataError, match="at an end"):
        bridged(series, 5)


@given(st.lists(st.booleans(), min_size=40, max_size=200), st.integers(0, 2**32 - 1))
def test_scattered_gaps_are_no_change_of_step(keep: list[bool], seed: int) -> None:
    from codesign.targets.grids.table_file import Table
    from codesign.targets.grids.time_axis import _step

    random = np.random.default_rng(seed)
    place = np.flatnonzero(random.random(5000) > 0.05).astype(np.int64) * 3600
    table = Table("x", {}, np.arange(len(place)))
    assert _step(table, place, np.diff(place)) == 3600


def test_times_may_be_written_in_several_ways(tmp_path: Path) -> None:
    values = [str(100 + place) for place in range(48)]
    utc = read_series(write(tmp_path / "a.csv", HOURS, values))
    zone = [(START + timedelta(hours=h)).astimezone().isoformat() for h in range(48)]
    offset = [f"{(START + timedelta(hours=h + 1)).strftime('%Y-%m-%dT%H:%M:%S')}+01:00" for h in range(48)]
    plain = stamps(48, form="%Y-%m-%d %H:%M")
    for times in (zone, offset, plain):
        found = read_series(write(tmp_path / "b.csv", times, values))
        assert (found.start, found.step_seconds) == (utc.start, 3600.0)
        np.testing.assert_array_equal(found.values, utc.values)
    counted = read_series(write(tmp_path / "c.csv", map(str, range(48)), values, "hour,avg_ci_g_per_kwh"))
    assert counted.start is None
    dated = read_series(str(tmp_path / "c.csv"), year=2022)
    assert dated.start == START
    named = read_series(write(tmp_path / "d.csv", HOURS, values, "Time,carbon"), column="carbon", kind="marginal")
    np.testing.assert_array_equal(named.values, utc.values)
    with pytest.raises(DataError, match="did you mean carbon"):
        read_series(str(tmp_path / "d.csv"), column="carbom")


def test_an_hour_skipped_in_spring_is_noted(tmp_path: Path) -> None:
    times = [
        time
        for time in stamps(48, start=datetime(2022, 3, 26, tzinfo=UTC), form="%Y-%m-%d %H:%M")
        if "27 02" not in time
    ]
    series = read_series(write(tmp_path / "spring.csv", times, ["300"] * 47))
    assert series.missing_hours == 1.0
    assert "clocks change" in series.notes[0]


def test_a_year_of_a_longer_series(tmp_path: Path) -> None:
    times = stamps(48, start=datetime(2021, 12, 31, tzinfo=UTC))
    path = write(tmp_path / "years.csv", times, ["100"] * 24 + ["300"] * 24)
    assert load_grid(path).intensity.value == 200.0
    assert load_grid(path).year is None
    assert load_grid(path, year=2022).intensity.value == 300.0
    assert load_grid(path, year=2021).year == 2021
    with pytest.raises(DataError, match="2021 to 2022"):
        load_grid(path, year=2023)


def test_a_column_that_is_not_its_mix_is_noted(tmp_path: Path) -> None:
    head = "timestamp,WND,NG,avg_ci_g_per_kwh"
    series = read_series(write(tmp_path / "both.csv", HOURS, ["1,1,260"] * 48, head))
    assert (series.values == 260.0).all()
    assert "differ by" in series.notes[0]
    assert not read_series(write(tmp_path / "both.csv", HOURS, ["1,1,250.5"] * 48, head)).notes
    assert (read_series(str(tmp_path / "both.csv"), factors="act").values == 250.5).all()
    unused = read_series(write(tmp_path / "more.csv", HOURS, ["1,1,3"] * 48, "timestamp,WND,NG,tide"))
    assert any("tide" in note for note in unused.notes)


def test_a_packed_series_and_its_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Path(write(tmp_path / "plain.csv", HOURS, FLAT))
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(load_grid(str(packed)).series.values, np.full(48, 300.0))  # type: ignore[union-attr]
    packed.write_bytes(gzip.compress(plain.read_bytes())[:-20])
    with pytest.raises(DataError, match="damaged"):
        load_grid(str(packed))
    packed.write_bytes(b"not packed")
    with pytest.raises(DataError, match="not a gzip file"):
        load_grid(str(packed))
    monkeypatch.setattr(table_file, "LARGEST_BYTES", 10_000)
    packed.write_bytes(gzip.compress(b" " * 1_000_000))
    with pytest.raises(DataError, match="unpacks to more than 10,000"):
        load_grid(str(packed))
    plain.write_bytes(b"x" * 10_001)
    with pytest.raises(DataError, match="10,001 bytes"):
        load_grid(str(plain))
    plain.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        load_grid(str(plain))
    monkeypatch.setattr(table_file, "MOST_ROWS", 10)
    with pytest.raises(DataError, match="10 rows"):
        load_grid(write(plain, HOURS, FLAT))


@given(st.text(max_size=400))
def test_any_text_is_a_series_or_an_error_for_people(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        load_grid(str(path))
    except CodesignError as error:
        assert error.message  # noqa: PT017


intensities = st.lists(st.floats(1.0, 2000.0), min_size=24, max_size=24 * 4)


@given(intensities, st.lists(st.floats(0.1, 10.0), min_size=24, max_size=24))
def test_means(values: list[float], load: list[float]) -> None:
    array = np.array(values)
    series = IntensitySeries(array, 3600.0, START, array * 2.0)
    assert mean_over_hours(series).value == pytest.approx(array.mean())
    assert mean_by_load(series, np.ones(24)).value == pytest.approx(array.mean())
    weights = np.resize(load, len(values))
    assert mean_by_load(series, load).value == pytest.approx((array * weights).sum() / weights.sum())
    assert mean_by_load(series, np.array(load) * 7.0).value == pytest.approx(mean_by_load(series, load).value)
    assert mean_by_generation(series).value >= array.mean() * (1 - 1e-12)  # more is generated in dirty hours here


def test_loads_that_do_not_fit_are_refused() -> None:
    series = IntensitySeries(np.full(48, 300.0), 3600.0, START)
    for load in (np.ones(5), -np.ones(48), np.full(48, np.nan), np.zeros(48)):
        with pytest.raises(UsageError):
            mean_by_load(series, load)
    with pytest.raises(UsageError, match="no generation"):
        mean_by_generation(series)


def test_the_daily_spread_by_hand() -> None:
    day = np.concatenate([np.full(12, 100.0), np.full(12, 300.0)])
    flat = np.full(24, 50.0)
    series = IntensitySeries(np.concatenate([day, flat, day[:5]]), 3600.0, START)
    assert daily_spread(series) == pytest.approx((200.0 / 200.0 + 0.0) / 2)
    holed = IntensitySeries(np.concatenate([day, np.where(np.arange(24) == 3, np.nan, flat)]), 3600.0, START)
    assert daily_spread(holed) == pytest.approx(1.0)
    assert daily_spread(IntensitySeries(day[:20], 3600.0, START)) is None


@given(st.integers(-12, 14))
def test_the_profile_puts_each_hour_in_its_place(offset: int) -> None:
    series = IntensitySeries(np.tile(np.arange(24.0) + 1.0, 3), 3600.0, START)
    profile = hour_of_day(series, offset)
    np.testing.assert_array_equal(profile.mean, np.roll(np.arange(24.0) + 1.0, offset))
    np.testing.assert_array_equal(profile.low, profile.high)


@given(intensities, st.sampled_from([1, 2, 4, 12]))
def test_slots_keep_the_mean(values: list[float], parts: int) -> None:
    series = IntensitySeries(np.array(values), 3600.0, START)
    finer = resample(series, 3600.0 / parts)
    np.testing.assert_array_equal(finer.values, np.repeat(values, parts))
    assert finer.hours == pytest.approx(series.hours)
    np.testing.assert_allclose(resample(finer, 3600.0).values, values)
    day = resample(series, 86_400.0)
    assert day.values[0] == pytest.approx(np.mean(values[:24]))


def test_days_are_cut_out() -> None:
    series = load_grid("ERCO").series
    assert series is not None
    one = days(series, 150)
    np.testing.assert_array_equal(one.values, series.values[3600:3624])
    assert one.start == datetime(2022, 5, 31, tzinfo=UTC)
    with pytest.raises(UsageError, match="0 to 364"):
        days(series, 365)
    with pytest.raises(UsageError, match="divide"):
        resample(series, 1000.0)


@needs_data
@pytest.mark.parametrize("case", ["D15a", "D15b", "D15c", "D15d", "D15e"])
def test_published_years(case: str) -> None:
    written = yaml.safe_load((DATA / "worked_examples.yaml").read_text(encoding="utf-8"))
    cases = {entry["id"]: entry for entry in written["cases"]}
    found = grid_mix(cases[case]["inputs"], DATA)
    for name, expected in cases[case]["expected"].items():
        assert found[name] == pytest.approx(expected, rel=1e-9)
    path = str(DATA / cases[case]["inputs"]["file"])
    np.testing.assert_allclose(read_series(path, factors="grid_mix").values, read_series(path).values, rtol=1e-9)


def test_the_case_of_a_mix(tmp_path: Path) -> None:
    write(tmp_path / "mix.csv", HOURS, ["1,1"] * 24 + ["1,3"] * 23 + [","], "timestamp,WND,NG")
    found = grid_mix({"file": "mix.csv"}, tmp_path)
    low, high = (11 + 490) / 2, (11 + 3 * 490) / 4
    assert (found["hours"], found["missing_hours"]) == (47.0, 1.0)
    assert found["mean_g_per_kwh"] == pytest.approx((24 * low + 23 * high) / 47)
    assert (found["min_g_per_kwh"], found["max_g_per_kwh"]) == (low, high)
    assert not any(math.isnan(value) for value in found.values() if value is not None)
    for inputs, words in (({"file": "no.csv"}, "no such file"), ({"flie": "mix.csv"}, "file"), ({}, "file")):
        with pytest.raises(DataError, match=words):
            grid_mix(inputs, tmp_path)
