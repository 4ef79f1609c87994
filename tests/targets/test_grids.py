"""Grids by name: what is shipped, how it is found, what is refused."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import CodesignError, UsageError
from codesign.quantity import Z90
from codesign.targets.grids import (
    daily_spread,
    fuel_factors,
    list_facilities,
    list_grids,
    load_facility,
    load_grid,
    mean_by_generation,
    mean_over_hours,
)
from codesign.targets.grids.build import hourly_bytes
from codesign.targets.grids.catalog import data_path, hourly
from codesign.targets.grids.fuels import fuel_of, fuels

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "carbon"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the reference data is not beside this checkout")

PUBLISHED = {"USA": 369.473, "FRA": 56.039, "DEU": 380.95, "GBR": 237.589, "CHN": 582.317, "IND": 713.441,
             "SWE": 40.695, "POL": 661.926, "TWN": 642.378}  # fmt: skip

YEAR_2022 = {  # mean, lowest, highest, daily spread, mean by generation
    "ERCO": (347.20, 110.75, 516.69, 0.373, 353.05),
    "NYIS": (272.77, 154.45, 375.73, 0.178, 276.80),
    "AZPS": (575.04, 251.22, 749.20, 0.260, 577.35),
    "BPAT": (54.71, 22.18, 113.70, 0.248, 51.79),
    "SOCO": (423.20, 323.52, 511.10, 0.115, 425.62),
}
"""Computed from the generation mix of the US Energy Information Administration, g/kWh."""


@pytest.mark.parametrize(("iso3", "value"), PUBLISHED.items())
def test_country_means_and_their_year(iso3: str, value: float) -> None:
    grid = load_grid(iso3)
    assert (grid.intensity.value, grid.year, grid.kind) == (value, 2023, "average")
    assert "Our World in Data" in grid.source
    assert "CC BY 4.0" in grid.licence


@pytest.mark.parametrize("area", YEAR_2022)
def test_shipped_series_hold_their_figures(area: str) -> None:
    mean, low, high, spread, weighted = YEAR_2022[area]
    series = load_grid(area).series
    assert series is not None
    assert (series.hours, series.missing_hours) == (8760.0, 0.0)
    found = (mean_over_hours(series).value, series.known.min(), series.known.max(), mean_by_generation(series).value)
    np.testing.assert_allclose(found, (mean, low, high, weighted), atol=0.0101)
    assert daily_spread(series) == pytest.approx(spread, abs=5.1e-4)


def test_what_is_shipped_is_small_and_whole() -> None:
    sorts = [entry.sort for entry in list_grids()]
    assert (sorts.count("country"), sorts.count("cloud region"), sorts.count("hourly")) == (213, 40, 5)
    assert len({entry.id for entry in list_grids()}) == len(sorts)
    assert all(0.0 <= entry.intensity < 2500.0 for entry in list_grids())
    shipped = [file for file in data_path().iterdir() if file.name.endswith((".npz", ".yaml"))]
    assert sum(len(file.read_bytes()) for file in shipped) < 150_000


@pytest.mark.parametrize("entry", list_grids(), ids=lambda entry: entry.id)
def test_every_grid_is_found_by_its_id_and_name(entry) -> None:  # type: ignore[no-untyped-def]
    for text in (
        entry.id,
        entry.id.lower(),
        entry.name if entry.sort != "cloud region" else entry.id.partition(":")[2],
    ):
        found = load_grid(text)
        assert (found.id, found.intensity.value, found.year) == (entry.id, entry.intensity, entry.year)
        assert found.intensity.low <= found.intensity.value <= found.intensity.high


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("us", "USA"), ("united states", "USA"), ("UK", "GBR"), ("Côte d'Ivoire", "CIV"), ("türkiye", "TUR"),
        ("texas", "ERCO"), ("New York", "NYIS"), ("us-central1", "gcp:us-central1"),
        ("GCP:US-CENTRAL1", "gcp:us-central1"),
        ("NO", "NOR"), ("georgia", "GEO"), ("me-cenrtal1", "gcp:me-central1"),
    ],
)  # fmt: skip
def test_other_names(text: str, identity: str) -> None:
    assert load_grid(text).id == identity


def test_a_name_that_two_have_is_refused_or_noted() -> None:
    with pytest.raises(UsageError, match=r"ambiguous.*KOR, PRK"):
        load_grid("Korea")
    assert "SOCO" in load_grid("Georgia").notes[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frnace", "France"), ("us-centrl1", "gcp:us-central1"), ("ERCOO", "ERCO"), ("zzzz", "213 countries"),
        ("", "empty"), ("0.369", "0.369 kg/kWh"), ("-4", "0 to 2500"), ("2501", "0 to 2500"), ("nan", "not kg"),
        ("inf", "not kg"), ("1e999", "not kg"), ("12 kg/kWh", "12000"),
        ("5 g", "unknown unit"), ("1,5", "unknown unit"),
        ("400 furlongs", "unknown unit"), ("٣٠٠", "unknown grid"), ("x" * 5000, "too long"),
        ("nowhere.csv", "No such file"),
    ],
)  # fmt: skip
def test_what_is_no_grid_says_what_to_do(text: str, words: str) -> None:
    with pytest.raises(CodesignError) as caught:
        load_grid(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("400", 400.0), (400, 400.0), (400.5, 400.5), ("0", 0.0), ("369 g/kWh", 369.0), ("369.473 gCO2e/kWh", 369.473),
        ("0.4 kg/kWh", 400.0), ("0.4 kgCO2e/kWh", 400.0), ("0.4 tCO2/MWh", 400.0), ("400 kg/MWh", 400.0),
        ("1000 lb/MWh", 453.59237), ("1.5 g CO2e / kWh", 1.5), ("1_000", 1000.0), ("4e2", 400.0),
    ],
)  # fmt: skip
def test_typed_numbers(text: str | float, value: float) -> None:
    grid = load_grid(text)
    assert grid.intensity.value == pytest.approx(value, rel=1e-12)
    assert not grid.named
    assert "assumed" in grid.range_source
    assert "as given" in grid.line()


@given(st.floats(2.0, 2500.0))
def test_a_typed_number_comes_back_with_its_range(value: float) -> None:
    grid = load_grid(repr(value))
    assert grid.intensity.value == value
    assert grid.intensity.low == pytest.approx(0.9 * value)
    assert grid.sigma == pytest.approx(math.log(1.1 / 0.9) / (2 * Z90))


@given(st.text(max_size=30))
def test_any_text_is_a_grid_or_an_error_for_people(text: str) -> None:
    try:
        load_grid(text)
    except CodesignError as error:
        assert error.message  # noqa: PT017


def test_a_year_that_is_not_shipped_is_refused() -> None:
    assert load_grid("FRA", year=2023).year == 2023
    for text, year in (("FRA", 2022), ("ERCO", 2023), ("gcp:us-west1", 2022)):
        with pytest.raises(UsageError, match=str(year)):
            load_grid(text, year=year)
    with pytest.raises(UsageError, match="average only"):
        load_grid("FRA", kind="marginal")
    assert load_grid("300", kind="marginal", year=2024).line().endswith("taken as marginal")


def test_a_mean_that_the_source_rounds_to_zero_keeps_an_upper_end() -> None:
    zero = [entry.id for entry in list_grids() if entry.intensity == 0.0]
    assert zero == ["CAF"]
    assert load_grid("CAF").intensity.high > 20.0


def test_factor_sets_are_amended_in_their_text() -> None:
    assert fuel_factors()["coal"] == 820.0
    assert fuel_factors("codecarbon")["coal"] == 995.0
    assert fuel_factors("codecarbon, OTH=475")["other"] == 475.0
    for text, words in (
        ("acts", "act"),
        ("act,wind=-1", "0 to 2500"),
        ("act,wnd2=3", "unknown fuel"),
        ("act,wind=x", "wind"),
    ):
        with pytest.raises(UsageError, match=words):
            fuel_factors(text)


def test_facilities() -> None:
    assert load_facility("google").pue == 1.10
    assert (load_facility("industry average").pue, load_facility("industry average", year=2022).pue) == (1.58, 1.55)
    with pytest.raises(UsageError, match="google"):
        load_facility("gogle")
    assert all(1.0 <= facility.pue < 2.0 and facility.source for facility in list_facilities())


@needs_data
def test_the_array_file_is_rebuilt_to_the_byte() -> None:
    assert hourly_bytes(DATA) == data_path().joinpath(hourly().file).read_bytes()


@needs_data
def test_tables_are_those_of_their_sources() -> None:
    with (DATA / "country_ci.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            grid = load_grid(row["iso3"])
            assert (grid.name, grid.year, grid.intensity.value) == (
                row["country"],
                int(row["year"]),
                float(row["ci_g_per_kwh"]),
            )
    with (DATA / "cloud_region_ci.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert load_grid(
                f"{row['provider']}:{row['region']}" if "cenr" not in row["region"] else row["region"]
            ).intensity.value == float(row["ci_g_per_kwh"])
    with (DATA / "fuel_ci.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        fuel = fuel_of(row["fuel"]) or row["fuel"]
        assert fuels().sets[row["set"]].factors[fuel] == float(row["ci_g_per_kwh"])
    assert sum(len(known.factors) for known in fuels().sets.values()) == len(rows)
    with (DATA / "pue.csv").open(encoding="utf-8") as file:
        assert [float(row["pue"]) for row in csv.DictReader(file)] == [facility.pue for facility in list_facilities()]
