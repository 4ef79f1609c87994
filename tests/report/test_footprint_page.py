"""The page of a footprint in a real browser: drawn, readable narrow and dark, names harmless, controls work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codesign.costmodels.carbon.footprint_spec import FootprintSpec, asked_footprint
from codesign.costmodels.carbon.footprints import footprints
from codesign.report.footprint.write import write_footprint

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def system(name: str, energy: str, grams: str) -> dict[str, Any]:
        parts = [{"kind": "figure", "value": grams, "source": "a test"}]
        return {"name": name, "run": {"energy": energy, "delay": "5 ms"}, "parts": parts}

    spec = {
        "schema": 1, "title": EVIL, "functional_unit": {"name": "runs", "size": 1000}, "grids": ["380 g/kWh", "FRA"],
        "draws": 500, "systems": [system("frugal", "4 J", "100 kg"), system("efficient", "2 J", "300 kg"),
                                  system(EVIL, "5 J", "400 kg")],
    }  # fmt: skip
    asked = asked_footprint(msgspec.convert(spec, FootprintSpec))
    return write_footprint(asked, footprints(asked), tmp_path_factory.mktemp("footprint") / "run")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (380, "light")])
def test_bars_lines_and_tables_are_drawn(show: Callable[..., Any], page_file: Path, width: int, scheme: str) -> None:
    page = show(page_file, width, scheme)
    assert page.locator("h1").inner_text() == EVIL
    assert page.locator("img").count() == 0
    assert page.locator("#bars rect.operational").count() == 6
    assert page.locator("#life-plot path.line").count() == 3
    assert page.locator("#life-plot path.line.never").count() == 1
    assert "efficient is below frugal" in page.locator("#life-note").inner_text()
    assert page.locator("#compared-best tbody tr").count() == 3
    assert page.locator("#figures-body tbody tr").count() >= 10
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0


def test_the_grid_and_the_scale_can_be_chosen(show: Callable[..., Any], page_file: Path) -> None:
    page = show(page_file, 1280, "light")
    before = page.locator("#life-note").inner_text()
    page.locator("#life-controls select").select_option(index=1)
    assert page.locator("#life-note").inner_text() != before, "another grid has other crossovers"
    drawn = page.locator("#life-plot path.line").first.get_attribute("d")
    page.locator("#life-controls input").uncheck()
    assert page.locator("#life-plot path.line").first.get_attribute("d") != drawn
