"""The HTML report in a real browser, every request but the file itself refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codesign.report import report

pytestmark = pytest.mark.browser

Make = Callable[..., Path]
CASES = [
    {"trials": 2, "objectives": 2},
    {"trials": 200, "objectives": 1},
    {"trials": 200, "objectives": 3},
    {"trials": 2000, "objectives": 4},
    {"trials": 10_000, "objectives": 3},
    {"trials": 300, "objectives": 2, "hostile": True},
    {"trials": 300, "objectives": 2, "baseline": False},
]


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (380, "light")])
def test_draws(make_run: Make, show: Callable[..., Any], options: dict[str, Any], width: int, scheme: str) -> None:
    page = show(report(make_run(**options)), width, scheme)
    colours = page.evaluate(
        "new Set([...document.querySelectorAll('svg *')].map(n => getComputedStyle(n).stroke)).size"
    )
    assert colours > 3
    assert page.locator("#front-marks > *").count() >= 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    assert not page.locator("text=[object").count()
    assert not page.locator("text=NaN").count()
    assert not page.locator("text=undefined").count()
    picture = page.screenshot()
    assert len(picture) > 15_000, "a blank page compresses to less"


def test_sorting(make_run: Make, show: Callable[..., Any]) -> None:
    page = show(report(make_run(trials=500)))

    def column() -> list[float]:
        rows = page.locator("#table tbody tr").evaluate_all("rows => rows.map(r => Number(r.dataset.row))")
        data = page.evaluate(
            "JSON.parse(document.getElementById('data').textContent).columns.find(c => c.name === 'energy')"
        )
        values = data.get("v") or [data["l"][i] for i in data.get("i", [])]
        return [values[r] for r in rows]

    if page.locator("#table-controls input").count() > 1:
        page.locator("#table-controls input").first.uncheck()
    page.click("[data-sort=energy]")
    assert column() == sorted(column())
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("energy")
    page.click("[data-sort=energy]")
    assert column() == sorted(column(), reverse=True)


def test_hover_click_and_keyboard(make_run: Make, show: Callable[..., Any]) -> None:
    page = show(report(make_run(trials=200)))
    mark = page.locator("#front-marks > *").nth(3)
    mark.hover(force=True)
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert all(word in tip.inner_text() for word in ("latency", "target", "batch"))
    name = tip.locator("strong").inner_text().strip()
    mark.click(force=True)
    assert page.locator("#card-h").inner_text() == f"Point {name}"
    assert "vllm serve" in page.locator("#card").inner_text()
    assert f"{name}'" in page.locator("#card pre").last.inner_text()
    assert page.locator("tr.picked").count() == 1
    page.mouse.move(5, 5)
    page.focus("#scatter-svg")
    page.keyboard.press("ArrowRight")
    walked = tip.locator("strong").inner_text().strip()
    page.keyboard.press("Enter")
    assert page.locator("#card-h").inner_text() == f"Point {walked}"
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_brush_filters_scatter_and_table(make_run: Make, show: Callable[..., Any]) -> None:
    page = show(report(make_run(trials=400)))
    before = page.locator("#table tbody tr").count()
    axis = page.locator("[data-axis=latency] .brushable")
    axis.scroll_into_view_if_needed()
    box = axis.bounding_box()
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + box["height"] * 0.7)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] * 0.95, steps=4)
    page.mouse.up()
    assert 0 < page.locator("#table tbody tr").count() < before
    assert page.locator("#front-marks .off").count() > 0
    assert "latency" in page.locator("#parallel-controls").inner_text()
    page.click("#clear-brushes")
    assert page.locator("#table tbody tr").count() == before
    page.focus("[data-axis=latency]")
    for _ in range(12):
        page.keyboard.press("ArrowUp")
    assert page.locator("#table tbody tr").count() < before
    page.keyboard.press("Delete")
    assert page.locator("#table tbody tr").count() == before


def test_axes_can_be_chosen_and_limits_show(make_run: Make, show: Callable[..., Any]) -> None:
    page = show(report(make_run(trials=400, objectives=5)))
    page.locator("#scatter-controls select").nth(1).select_option("latency")
    assert page.locator("#scatter-svg .limit").count() == 1
    assert "latency" in page.locator("#scatter-svg").get_attribute("aria-label")
    page.locator("#scatter-controls label:has-text('infeasible') input").check()
    assert page.locator("#scatter-svg .bad").count() == 1


def test_print_style_hides_controls(make_run: Make, show: Callable[..., Any]) -> None:
    page = show(report(make_run()))
    page.emulate_media(media="print")
    assert not page.locator("#scatter-controls").is_visible()
    assert page.locator("#table").is_visible()
