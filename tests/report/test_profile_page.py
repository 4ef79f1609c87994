"""The page of a profile in a browser: every section, what is missing, names as text, paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from codesign.report.profile import ProfileView, profile_page
from codesign.report.profile.view import (
    Chain,
    Copies,
    Fusion,
    Kind,
    Lane,
    Metric,
    Part,
    Split,
    Sweep,
)
from codesign.testing.synthetic_profile import synthetic_profile
from codesign.testing.synthetic_run import HOSTILE
from tests.report.profile_pages import (
    CORNER,
    EVIL,
    EVIL_SHOWN,
    LONG,
    PIXELS,
    TEXTS,
    Event,
    Open,
    click,
    forty_seconds,
    key,
    settled,
    timeline_of,
    two_kernels,
    until,
    uses,
)

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (420, "light")])
def test_draws_every_section(shown: Open, width: int, scheme: str) -> None:
    page = shown(synthetic_profile(20_000), width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    sections = page.locator("main > section")
    assert sections.count() == 9
    for i in range(9):
        assert sections.nth(i).is_visible()
        assert len(sections.nth(i).inner_text()) > 40
    text = page.locator("body").inner_text()
    assert not re.search(r"NaN|undefined|\[object|Infinity", text)
    inks = page.evaluate(
        """() => {
      const data = (PIXELS)(), counts = {};
      for (let i = 0; i < data.length; i += 4) {
        const ink = data.slice(i, i + 3).join();
        counts[ink] = (counts[ink] || 0) + 1;
      }
      return counts;
    }""".replace("PIXELS", PIXELS)
    )
    paper = "255,255,255" if scheme == "light" else "20,23,27"
    assert paper in inks
    assert sum(inks.values()) - inks[paper] > 0.3 * sum(inks.values()), "most of the canvas is blank"
    assert sum(count > 20 for count in inks.values()) > 8
    assert page.locator("svg.chart").count() == 3
    assert page.locator("#latency rect.bin").count() > 5
    assert page.locator("#sweep rect.band").count() == 2
    assert page.locator("#splits .split-bar .part").count() == 5
    assert "3.9 ms – 4.4 ms" in page.locator("#figures").inner_text()


def test_colours_follow_the_scheme(small: Any) -> None:
    assert small.evaluate(CORNER) == [255, 255, 255]
    small.emulate_media(color_scheme="dark")
    until(small, f"{CORNER}[0] === 20")


def test_a_table_marks_in_the_timeline(shown: Open) -> None:
    page = shown(ProfileView(title="", timeline=two_kernels(), kernels=uses("gemm<float>", "elsewhere")))
    assert page.locator("#kernels .mark").count() == 1, "only what the timeline holds"
    page.click("#kernels .mark")
    assert page.input_value("#find") == "gemm<float>"
    assert page.locator("#found").inner_text() == "1 found"


def test_tables_sort(shown: Open) -> None:
    names = [f"kernel_{i:02d}" for i in range(20)]
    page = shown(ProfileView(title="", kernels=uses(*names)))

    def first_column() -> list[str]:
        return list(page.locator("#kernels tbody tr td:first-child").all_inner_texts())

    assert first_column() == names[::-1][:15], "most time first"
    page.click("#kernels [data-sort=count]")
    assert first_column() == names[:15]
    assert page.locator("#kernels th[aria-sort=descending]").inner_text().startswith("count")
    page.click("#kernels [data-sort=count]")
    assert first_column() == names[::-1][:15]
    page.click("#kernels [data-sort=name]")
    assert first_column() == names[:15]
    assert page.evaluate("document.activeElement.dataset.sort") == "name", "the keyboard stays where it was"
    page.click("text=Show all 20 rows")
    assert first_column() == names


def test_missing_values_come_last_either_way(shown: Open) -> None:
    copies = tuple(Copies(direction=d, count=1, bytes=b, time=5.0) for d, b in (("a", 0), ("b", 7), ("c", 9)))
    page = shown(ProfileView(title="", copies=copies))
    for _ in range(2):
        page.click("#copies [data-sort=bytes]")
        assert page.locator("#copies tbody tr td:first-child").last.inner_text() == "a"


def test_chains_open_below_their_row(shown: Open) -> None:
    chain = Chain(
        kernels=("first<a>", "same<b>", "same<b>", HOSTILE), occurrences=3, score=1.0, launches_saved=9, ideal_ratio=2.0
    )
    page = shown(ProfileView(title="", fusion=Fusion(chains=(chain,), host_bound=False)))
    assert "first → same → same → " in page.locator("#fusion .opener").inner_text()
    assert "not host-bound" in page.locator("#fusion .warning").inner_text()
    page.focus("#fusion .opener")
    page.keyboard.press("Enter")
    items = page.locator("#fusion ol li").all_inner_texts()
    assert items == ["first<a>", "same<b> × 2", HOSTILE]
    assert page.locator("#fusion ol li").evaluate_all("list => list.map(item => item.value)") == [1, 2, 4]
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    page.keyboard.press("Enter")
    assert page.locator("#fusion ol").count() == 0


def test_names_are_text_everywhere(shown: Open) -> None:
    name, text = EVIL, EVIL_SHOWN
    part, metric = Part(name, 1.0), Metric(name=name, value=name, source=name, note=name, group=name)
    chain = Chain(kernels=(name, "b"), occurrences=1, score=1.0, launches_saved=1, ideal_ratio=2.0, where=name)
    rows = (Lane(name), Lane(name, True))
    view = ProfileView(
        title=name,
        source=name.replace("/", "|"),
        devices=(name,),
        verdict=name,
        reason=name,
        warnings=(name,),
        facts=((name, name),),
        metrics=(metric,),
        timeline=msgspec.structs.replace(two_kernels(name, name), rows=rows),
        splits=(Split(title=name, parts=(part,), note=name),),
        kernels=uses(name),
        operators=uses(name),
        copies=(Copies(direction=name, count=1, bytes=1, time=1.0),),
        fusion=Fusion(chains=(chain,), launch_floor=1.0, floor_source=name),
    )
    page = shown(view)  # a script that ran would open a dialog, and the fixture fails on it
    assert page.title() == text
    assert page.locator("script").count() == 2
    assert page.locator("img").count() == 0
    for place in ("#title", "#summary", "#verdict", "#warnings", "#figures", "#splits", "#kernels", "#operators"):
        assert text.replace("/", "|") in page.locator(place).text_content().replace("/", "|"), place
    for place in ("#copies", "#fusion", "#timeline-text", "#facts"):
        assert text in page.locator(place).text_content(), place
    page.locator("#timeline-plot").scroll_into_view_if_needed()
    assert click(page, "kernel").startswith(text)
    assert page.locator("#tip strong").inner_text() == text
    page.click("#event button:text-is('Mark all of this name')")
    assert page.locator("#found").inner_text() == "2 found"
    page.evaluate(TEXTS)
    key(page, "+")
    settled(page)
    written = page.evaluate("window.texts")
    assert text in written, "the label of a row"


def without(*names: str) -> ProfileView:
    """Return a profile of every section, less some."""
    view = synthetic_profile(2_000)
    empty = {"metrics": (), "facts": (), "splits": (), "copies": (), "warnings": ()}
    return msgspec.structs.replace(view, **{name: empty.get(name) for name in names})


def processor_only() -> ProfileView:
    """Return what a processor gives: no kernel, no launch, operators and a sweep of the compute share."""
    view = without("timeline", "launch_latency", "kernels", "copies", "fusion", "coverage", "splits")
    events: list[Event] = [(0, "aten::add", Kind.OPERATOR, i * 9_000, 5_000, -1) for i in range(50)]
    share = np.array([0.1, 0.3, 0.6, np.nan])
    sweep = Sweep(
        batches=np.array([1, 2, 4, 8]),
        latency=np.array([1e6, 1e6, 2e6, 4e6]),
        indicator=share,
        indicator_low=share * 0.9,
        indicator_high=share * 1.1,
        indicator_name="compute share",
        threshold=0.5,
    )
    return msgspec.structs.replace(view, timeline=timeline_of((Lane("Thread 1"),), events), sweep=sweep)


def long_names() -> ProfileView:
    """Return a profile whose every text has 5,000 characters."""
    kernels = (LONG, "x" * 5_000)
    chain = Chain(kernels=kernels, occurrences=1, score=1.0, launches_saved=1, ideal_ratio=2.0, where=LONG)
    return ProfileView(
        title=LONG,
        source=LONG,
        devices=(LONG,),
        reason=LONG,
        warnings=("x" * 5_000,),
        facts=(("x" * 5_000, LONG),),
        metrics=(Metric(name="x" * 5_000, value=LONG, note=LONG[:600], group="x" * 5_000),),
        timeline=msgspec.structs.replace(two_kernels(LONG, "x" * 5_000), rows=(Lane(LONG), Lane(LONG, True))),
        splits=(Split(title=LONG, parts=(Part("x" * 5_000, 1.0), Part("", 2.0))),),
        kernels=uses(LONG, "x" * 5_000, ""),
        copies=(Copies(direction="x" * 5_000, count=1, bytes=1, time=1.0),),
        fusion=Fusion(chains=(chain,)),
    )


def single(duration: int) -> ProfileView:
    """Return one event."""
    event: Event = (0, "aten::add", Kind.OPERATOR, 5_000, duration, -1)
    return ProfileView(title="one", timeline=timeline_of((Lane("Thread 1"),), [event]))


PARTIAL: dict[str, tuple[Callable[[], ProfileView], str]] = {
    "processor only": (processor_only, "figures timeline sweep operators"),
    "no operators": (lambda: without("operators"), "figures timeline latency splits sweep kernels copies fusion"),
    "no timeline": (lambda: without("timeline"), "figures latency splits sweep kernels operators copies fusion"),
    "nothing": (lambda: ProfileView(title="nothing"), ""),
    "one event": (lambda: single(1_500), "timeline"),
    "one event of no length": (lambda: single(0), "timeline"),
    "facts alone": (lambda: ProfileView(title="facts", facts=(("torch", "2.13"),)), "figures"),
    "one batch": (
        lambda: ProfileView(title="", sweep=Sweep(batches=np.array([4]), latency=np.array([5e6]))),
        "sweep",
    ),
    "only negative latencies": (lambda: ProfileView(title="", launch_latency=np.array([-5, -7])), "latency"),
    "forty seconds": (forty_seconds, "timeline"),
    "long names": (long_names, "figures timeline splits kernels copies fusion"),
}


@pytest.mark.parametrize("case", PARTIAL)
def test_what_has_no_data_has_no_heading(shown: Open, case: str) -> None:
    make, sections = PARTIAL[case]
    page = shown(make(), 420)
    visible = page.locator("main > section:visible").evaluate_all("list => list.map(section => section.id)")
    assert visible == sections.split()
    for name in visible:
        section = page.locator("#" + name)
        assert len(section.inner_text()) > len(section.locator("h2").inner_text()) + 5, f"{name} is empty"
    assert page.locator("#nothing").is_visible() == (not visible)
    assert not re.search(r"NaN|undefined|\[object|Infinity", page.locator("body").inner_text())
    assert page.locator("table:visible").count() == page.locator("table:visible:has(tbody tr)").count()
    assert page.evaluate("document.documentElement.scrollHeight") < 4_500, "one name takes over the page"
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420, "the page scrolls sideways"


def test_long_names_leave_room_beside_them(shown: Open) -> None:
    page = shown(long_names())
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280, "the page scrolls sideways"
    assert page.locator("#facts-body dd").evaluate("node => node.clientWidth") > 300
    for table in page.locator("table").all():
        box = table.bounding_box()
        assert box["width"] <= 1240, table.inner_text()[:40]


def test_a_processor_has_no_launches_in_its_words(shown: Open) -> None:
    page = shown(processor_only())
    text = page.locator("#timeline").inner_text()
    assert "launch" not in text.lower()
    assert "50 events" in text
    assert page.locator("#skip").get_attribute("href") == "#sweep"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "sweep"


def test_print_fits_the_paper_and_hides_controls(shown: Open) -> None:
    page = shown(synthetic_profile(2_000), 1280, "dark")
    page.emulate_media(media="print")
    page.evaluate("() => { window.later = setTimeout; window.setTimeout = () => 0; }")  # printing tells of no new width
    page.set_viewport_size({"width": 718, "height": 900})
    assert not page.locator("#timeline-controls").is_visible()
    assert not page.locator("#timeline-keys").is_visible()
    assert page.locator("#kernels table").is_visible()
    for place in ("#events", "#marks", "svg.chart", "table"):
        for box in (shape.bounding_box() for shape in page.locator(place).all() if shape.is_visible()):
            assert box["x"] + box["width"] <= 718, place
    page.evaluate("() => { window.setTimeout = window.later; }")
    assert page.evaluate(CORNER) == [255, 255, 255], "ink on white paper, whatever the scheme"
    assert not page.locator("#marks").is_visible(), "what it clears would cover the events on paper"
    black = f"({PIXELS})().reduce((sum, v, i, all) => sum + (i % 4 === 0 && !(v || all[i + 1] || all[i + 2])), 0)"
    before = page.evaluate(black)
    key(page, "n")
    settled(page)
    assert page.evaluate(black) > before + 20, "the mark of the picked event is on the events instead"


def test_printing_waits_for_nothing(tmp_path: Path, window: Open) -> None:
    path = tmp_path / "profile.html"
    path.write_text(profile_page(synthetic_profile(2_000)), encoding="utf-8")
    page = window(1280, "light")
    page.add_init_script("window.requestAnimationFrame = () => 0")  # a tool that prints as soon as the file is loaded
    page.goto(path.as_uri())
    assert page.locator("main > section:visible").count() < 9
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("main > section:visible").count() == 9
    page.close()


def test_page_without_data_is_small_and_shut() -> None:
    page = profile_page(ProfileView(title="empty"))
    assert len(page.encode()) <= 100_000
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "script-src": "'unsafe-inline'",
        "img-src": "data:",
    }
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
