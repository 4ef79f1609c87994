"""The timeline of a profile in a browser: zoom, move, pick, find, labels, and 200,000 events."""

from __future__ import annotations

import re
from statistics import median
from typing import Any

import numpy as np
import pytest

from codesign.report.profile import ProfileView
from codesign.report.profile.view import (
    Kind,
    Lane,
)
from codesign.testing.synthetic_profile import synthetic_profile, synthetic_timeline
from tests.report.profile_pages import (
    FIRST_PAINT_MS,
    FRAME_MS,
    READY_MS,
    SPOTS,
    TEXTS,
    Event,
    Open,
    click,
    forty_seconds,
    key,
    settled,
    spot,
    timeline_of,
    until,
    window_of,
)

pytestmark = pytest.mark.browser


def test_keys_zoom_and_move(small: Any) -> None:
    assert window_of(small) == pytest.approx((0, 100))
    key(small, "+")
    left, width = window_of(small)
    assert width == pytest.approx(100 / 1.5, rel=1e-3)
    assert left == pytest.approx((100 - width) / 2, rel=1e-3), "the middle stays"
    key(small, "ArrowRight")
    assert window_of(small)[0] == pytest.approx(left + width * 0.15, rel=1e-3)
    key(small, "ArrowLeft", "ArrowLeft")
    assert window_of(small)[0] == pytest.approx(left - width * 0.15, rel=1e-3)
    key(small, "-", "-")
    assert window_of(small) == pytest.approx((0, 100)), "never beyond the whole"
    key(small, *["+"] * 40)
    assert window_of(small)[1] <= 0.5, "down to nanoseconds"
    key(small, "0")
    assert window_of(small) == pytest.approx((0, 100))
    small.click("button[title='Zoom in']")
    assert window_of(small)[1] == pytest.approx(50)


def test_wheel_zooms_about_the_pointer(small: Any) -> None:
    place = spot(small, "kernel")
    small.mouse.move(place["x"], place["y"])
    small.mouse.wheel(0, -100)
    small.wait_for_timeout(100)
    assert window_of(small)[1] == pytest.approx(100), "the page scrolls until the timeline is asked for"
    small.keyboard.down("Control")
    small.mouse.wheel(0, -100)
    small.keyboard.up("Control")
    until(small, "parseFloat(document.querySelector('#window div').style.width) < 99")
    small.focus("#timeline-plot")
    before = window_of(small)[1]
    small.mouse.wheel(0, -100)
    until(small, f"parseFloat(document.querySelector('#window div').style.width) < {before} - 1")
    after = spot(small, "kernel")
    assert after["width"] > 1.5 * place["width"]
    assert after["x"] == pytest.approx(place["x"], abs=3), "what is under the pointer stays there"


def test_drag_moves_the_window(small: Any) -> None:
    key(small, "+", "+")
    left, width = window_of(small)
    box, start = small.locator("#timeline-plot").bounding_box(), spot(small, "kernel")
    x, y = start["x"], start["y"]
    small.mouse.move(x, y)
    small.mouse.down()
    small.mouse.move(x - 200, y, steps=5)
    small.mouse.up()
    moved, same = window_of(small)
    assert same == pytest.approx(width)
    assert moved - left == pytest.approx(width * 200 / (box["width"] - 2), rel=0.02)
    assert not small.locator("#event").is_visible(), "a drag picks nothing"


def test_two_fingers_pinch(small: Any) -> None:
    box = small.locator("#timeline-plot").bounding_box()
    y = box["y"] + 60
    touch = small.context.new_cdp_session(small)

    def fingers(kind: str, *xs: float) -> None:
        points = [{"x": x, "y": y, "id": i} for i, x in enumerate(xs)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 500, 700)
    fingers("touchMove", 400, 800)
    fingers("touchEnd")
    assert window_of(small)[1] == pytest.approx(50, rel=0.02)
    assert not small.locator("#event").is_visible()


def test_picking_shows_facts_and_leads_to_the_launch_and_back(small: Any) -> None:
    card = click(small, "kernel")
    for fact in ("gemm<float>", "300.123 µs", "90.456 µs", "Stream 7", "250.123 µs", "cudaLaunchKernel, 60.000 µs"):
        assert fact in card
    key(small, "l")
    card = small.locator("#event").inner_text()
    assert card.startswith("cudaLaunchKernel")
    assert "50.000 µs" in card
    assert "250.123 µs" in card
    key(small, "l")
    assert small.locator("#event strong").inner_text() == "gemm<float>"
    small.click("#event button:text-is('To its launch')")
    assert small.locator("#event strong").inner_text() == "cudaLaunchKernel"
    small.click("#event button:text-is('To its kernel')")
    key(small, "n")
    assert small.locator("#event strong").inner_text() == "softmax<float>"
    key(small, "p", "f")
    assert small.locator("#event strong").inner_text() == "gemm<float>"
    assert window_of(small)[1] < 60, "fit leaves out the rest"
    assert spot(small, "launch")["width"] > 60, "its launch is in view"
    key(small, "Escape")
    assert not small.locator("#event").is_visible()


def test_clicking_beside_every_event_lets_go(small: Any) -> None:
    click(small, "kernel")
    box = small.locator("#timeline-plot").bounding_box()
    small.mouse.click(box["x"] + box["width"] - 5, box["y"] + 8)
    assert not small.locator("#event").is_visible()


def test_hover_tells_and_leaves(small: Any) -> None:
    place = spot(small, "communication")
    small.mouse.move(place["x"], place["y"])
    tip = small.locator("#tip")
    assert tip.is_visible()
    for fact in ("softmax<float>", "communication kernel", "150.000 µs", "cudaGraphLaunch"):
        assert fact in tip.inner_text()
    box = tip.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1280
    small.mouse.move(5, 5)
    assert not tip.is_visible()


def test_find_marks_and_steps_through(small: Any) -> None:
    assert not small.locator("#next").is_visible()
    small.fill("#find", "FLOAT")
    assert small.locator("#found").inner_text() == "2 found"
    assert spot(small, "kernel")
    assert spot(small, "communication")
    assert small.evaluate(SPOTS, "operator") == [], "what is not looked for fades"
    small.click("#next")
    assert small.locator("#event strong").inner_text() == "gemm<float>"
    small.press("#find", "Enter")
    assert small.locator("#event strong").inner_text() == "softmax<float>"
    small.fill("#find", "nowhere")
    assert small.locator("#found").inner_text() == "0 found"
    assert not small.locator("#next").is_visible()
    key(small, "Escape", "Escape")
    assert small.input_value("#find") == ""
    assert spot(small, "operator")


def test_find_marks_what_is_too_narrow_to_stand_alone(shown: Open) -> None:
    view = ProfileView(title="", timeline=synthetic_timeline(50_000))
    page = shown(view)
    assert view.timeline is not None
    wanted = [i for i, name in enumerate(view.timeline.names) if "nccl" in name]
    page.fill("#find", "nccl")
    assert page.locator("#found").inner_text() == f"{np.isin(view.timeline.name, wanted).sum():,} found"
    assert spot(page, "communication")
    assert page.evaluate(SPOTS, "copy") == []


def test_times_are_exact_to_the_nanosecond_after_forty_seconds(shown: Open) -> None:
    page = shown(forty_seconds())
    key(page, "n", "n", "p", "n")
    assert "39.999999000 s" in page.locator("#event").inner_text()
    page.evaluate(TEXTS)
    key(page, "f")
    settled(page)
    ticks = [t for t in page.evaluate("window.texts") if t.endswith(" µs")]
    assert len(set(ticks)) == len(ticks) >= 3


def test_ticks_are_evenly_spaced_and_differ(shown: Open) -> None:
    page = shown(ProfileView(title="", timeline=synthetic_timeline(2_000)))
    page.evaluate(TEXTS)
    for _ in range(18):
        page.evaluate("window.texts.length = 0")
        key(page, "+")
        settled(page)
        found = [re.fullmatch(r"(-?[\d,.]+) (ns|µs|ms|s)", t) for t in page.evaluate("window.texts")]
        ticks = [float(m[1].replace(",", "")) for m in found if m]
        steps = np.diff(ticks)
        assert len(steps) >= 2
        assert steps.min() > 0
        assert steps == pytest.approx(steps[0], rel=1e-6), f"ticks {ticks}"


def test_labels_stay_inside_their_events(shown: Open) -> None:
    events: list[Event] = [(0, "W" * 60 if i % 2 else "i" * 60, Kind.KERNEL, i * 100, 100, -1) for i in range(12)]
    page = shown(ProfileView(title="", timeline=timeline_of((Lane("Stream", True),), events)))
    page.evaluate("""() => {
      const plain = CanvasRenderingContext2D.prototype.fillText;
      window.widths = [];
      CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        if (/^[Wi]/.test(text)) window.widths.push(this.measureText(text).width);
        plain.call(this, text, ...rest);
      };
    }""")
    key(page, "ArrowRight")
    settled(page)
    widths = page.evaluate("window.widths")
    room = page.locator("#events").evaluate("node => node.width") / 12
    assert len(widths) == 12
    assert all(room / 2 < width < room for width in widths)


def test_rows_beyond_the_height_scroll(shown: Open) -> None:
    rows = (*(Lane(f"Thread {i}") for i in range(60)), Lane("Stream", True))
    events: list[Event] = [(i, "aten::add", Kind.OPERATOR, i, 1_000, -1) for i in range(60)]
    events.append((60, "work", Kind.KERNEL, 500, 1_000, -1))
    page = shown(ProfileView(title="", timeline=timeline_of(rows, events)))
    assert "all 61 rows" in page.locator("#timeline-note").inner_text()
    assert page.evaluate(SPOTS, "kernel") == [], "the stream is below"
    key(page, "n")
    assert spot(page, "kernel"), "picking brings its row into view"
    assert page.locator("#event strong").inner_text() == "work"


def test_200_000_events_load_fast_and_move_smoothly(shown: Open) -> None:
    page = shown(synthetic_profile(200_000))
    until(page, "performance.getEntriesByName('first-contentful-paint').length === 1")
    first, ready = page.evaluate(
        "['first-contentful-paint', 'ready'].map(name => performance.getEntriesByName(name)[0].startTime)"
    )
    page.focus("#timeline-plot")
    frames, redraws = page.evaluate("""async () => {
      const host = document.getElementById('timeline-plot'), box = host.getBoundingClientRect(), frames = [];
      const painted = () => new Promise(done => requestAnimationFrame(() => {
        const {port1, port2} = new MessageChannel();
        port1.onmessage = done;
        port2.postMessage(0);
      }));
      performance.clearMeasures('redraw');
      for (let i = 0; i < 60; i++) {
        const began = performance.now();
        if (i % 3 === 2) host.dispatchEvent(new KeyboardEvent('keydown', {key: i % 2 ? 'ArrowLeft' : 'ArrowRight'}));
        else host.dispatchEvent(new WheelEvent('wheel', {deltaY: i < 30 ? -60 : 60, clientX: box.left + 400}));
        await painted();
        frames.push(performance.now() - began);
      }
      return [frames, performance.getEntriesByName('redraw').map(measure => measure.duration)];
    }""")
    print(
        f"200,000 events: first paint {first:.0f} ms, all drawn {ready:.0f} ms, "
        f"frame median {median(frames):.1f} ms, redraw median {median(redraws):.1f}, longest {max(redraws):.1f} ms"
    )
    assert len(redraws) == len(frames) == 60
    assert first < FIRST_PAINT_MS
    assert ready < READY_MS
    assert median(frames) < FRAME_MS
