"""The plan of a demand-response run on the report page, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codesign.report import report
from codesign.search.demand_response.respond import respond

pytestmark = pytest.mark.browser

HOURS = [260.0, 250, 240, 240, 250, 280, 330, 380, 400, 390, 350, 300, 260, 240, 230, 240, 280, 350, 430, 470, 460, 420,
         360, 300]  # fmt: skip


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small study with a hostile name and more workloads than colours."""
    kinds = ["online", "batch"]
    workloads = [
        {"name": f"<img src=x onerror=alert({i})>", "kind": kinds[i % 2], "baseline_mw": 1.0 + i,
         "penalty": {"weight": 1.0}}
        for i in range(12)
    ]  # fmt: skip
    spec = {"grid": {"values": HOURS, "start": "2022-05-31T00:00:00Z"}, "workloads": workloads, "lambdas": [0.3, 1.0]}
    return report(respond(spec, directory=tmp_path_factory.mktemp("plan") / "run").run)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (380, "light")])
def test_the_plan_is_drawn(show: Callable[..., Any], page_file: Path, width: int, scheme: str) -> None:
    page = show(page_file, width, scheme)
    chart = page.locator("#timeline svg.chart")
    assert chart.count() == 1
    fills = chart.locator("path[style*='fill']").evaluate_all("paths => paths.map(p => getComputedStyle(p).fill)")
    assert len(fills) == 10  # nine workloads and the others together
    assert len(set(fills)) == 10
    assert "3 others" in page.locator("#timeline .legend").inner_text()
    assert chart.locator(".was").count() == 1
    assert chart.locator(".limit").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    for wrong in ("NaN", "undefined", "[object"):
        assert wrong not in (chart.inner_html() + page.locator("#timeline").inner_text())


def test_hover_and_keys_read_an_hour(show: Callable[..., Any], page_file: Path) -> None:
    page = show(page_file)
    chart = page.locator("#timeline svg.chart")
    chart.scroll_into_view_if_needed()
    chart.hover(position={"x": 200, "y": 250})
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert "UTC" in tip.inner_text()
    assert "gCO2e/kWh" in tip.inner_text()
    page.mouse.move(5, 5)
    assert tip.is_hidden()
    chart.focus()
    page.keyboard.press("ArrowRight")
    assert "2022-05-31 00:00 UTC" in tip.inner_text()
    page.keyboard.press("ArrowRight")
    assert "01:00" in tip.inner_text()
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_choosing_another_point_shows_its_plan(show: Callable[..., Any], page_file: Path) -> None:
    page = show(page_file)
    before = page.locator("#timeline svg.chart").inner_html()
    rows = page.locator("#table tbody tr:not(.picked)")
    rows.first.click()
    assert page.locator("#timeline svg.chart").inner_html() != before
    assert "codesign explain" not in page.content().split("</script>")[-1]
    assert "codesign explain" not in page.locator("#card").inner_text()
    assert "tCO2e" in page.locator("#card").inner_text()


def test_a_run_without_plans_has_no_panel(show: Callable[..., Any], make_run: Callable[..., Path]) -> None:
    assert show(report(make_run(trials=20))).locator("#timeline").is_hidden()
