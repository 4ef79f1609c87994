"""Small profiles to show on the page, and looking at it in a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from codesign.report.profile import ProfileView
from codesign.report.profile.view import (
    Kind,
    Lane,
    Timeline,
    Use,
    Uses,
)
from codesign.testing.synthetic_run import HOSTILE

Open = Callable[..., Any]
Event = tuple[int, str, Kind, int, int, int]
"""Row, name, kind, start and duration in ns, position of the launch."""


EVIL = HOSTILE + "<img src=x onerror=alert(2)>&lt;\x1b\u202e\n"
EVIL_SHOWN = HOSTILE + "<img src=x onerror=alert(2)>&lt;\\x1b\\u202e\\n"
LONG = "very_long_kernel<" + "unsigned long, " * 350

FIRST_PAINT_MS = 2_000
"""Most time to the first paint with 200,000 events: ten times what an idle machine of two cores takes."""

READY_MS = 4_000
"""Most time until everything is drawn."""

FRAME_MS = 60
"""Most median time of a frame; 33 is smooth, and an idle machine takes half of that."""

PIXELS = """() => {
  const canvas = document.getElementById('events'), copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext('2d', {willReadFrequently: true});
  context.drawImage(canvas, 0, 0);
  return context.getImageData(0, 0, copy.width, copy.height).data;
}"""
"""The canvas of events, four numbers a pixel, out of a copy: reading the canvas itself draws a warning."""

CORNER = f"[...({PIXELS})().slice(0, 3)]"
"""The paper of the canvas, red, green and blue."""

SPOTS = """kind => {
  const canvas = document.getElementById('events'), {width, height} = canvas, box = canvas.getBoundingClientRect();
  const ink = getComputedStyle(document.documentElement).getPropertyValue('--k-' + kind).trim();
  const [r, g, b] = [1, 3, 5].map(i => parseInt(ink.slice(i, i + 2), 16));
  const data = (PIXELS)(), spots = [];
  const mine = (x, y) => [r, g, b].every((level, i) => data[(y * width + x) * 4 + i] === level);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    if (!mine(x, y) || (y && mine(x, y - 1))) continue;
    let right = x;
    while (right + 1 < width && mine(right + 1, y)) right++;
    spots.push({x: box.left + (x + right + 1) / 2, y: box.top + y + 3, width: right - x + 1});
    x = right;
  }
  return spots;
}""".replace("PIXELS", PIXELS)
"""Where the canvas shows an event of a kind at full strength: centre and width, CSS pixels of the window."""

TEXTS = """() => {
  const plain = CanvasRenderingContext2D.prototype.fillText;
  window.texts = [];
  CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    window.texts.push(text);
    plain.call(this, text, ...rest);
  };
}"""
"""Remember what is written on the canvas from now on."""


def timeline_of(rows: tuple[Lane, ...], events: list[Event]) -> Timeline:
    """Return a timeline of the events, their names in the order of their first use."""
    names = tuple(dict.fromkeys(event[1] for event in events))
    row, name, kind, start, duration, launch = zip(
        *((e[0], names.index(e[1]), int(e[2]), e[3], e[4], e[5]) for e in events), strict=True
    )
    return Timeline(
        names=names,
        rows=rows,
        row=np.array(row, np.int32),
        name=np.array(name, np.int32),
        kind=np.array(kind, np.uint8),
        start=np.array(start, np.int64),
        duration=np.array(duration, np.int64),
        launch=np.array(launch, np.int64),
    )


def two_kernels(first: str = "gemm<float>", second: str = "softmax<float>") -> Timeline:
    """Return a thread with two launches and a stream with their kernels, one a kernel and one a communication."""
    events: list[Event] = [
        (0, "aten::linear", Kind.OPERATOR, 1_000, 200_000, -1),
        (0, "cudaLaunchKernel", Kind.LAUNCH, 50_000, 60_000, -1),
        (0, "cudaGraphLaunch", Kind.CALL, 400_000, 60_000, -1),
        (1, first, Kind.KERNEL, 300_123, 90_456, 1),
        (1, second, Kind.COMMUNICATION, 700_000, 150_000, 2),
    ]
    return timeline_of((Lane("Thread 1"), Lane("Stream 7", True)), events)


def uses(*names: str, kernel_time: float | None = None) -> Uses:
    """Return a table of names, the later ones with more time and fewer runs."""
    rows = tuple(
        Use(name=name, count=50 - i, time=1e3 * (i + 1), longest=9e2 - i, kernel_time=kernel_time)
        for i, name in enumerate(names)
    )
    return Uses(rows=rows, total_time=1e6, names=len(names))


def settled(page: Any) -> None:
    """Wait until what was asked for is painted."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")


def until(page: Any, truth: str) -> None:
    """Wait until an expression holds; the page's policy forbids what would poll it inside."""
    for _ in range(100):
        if page.evaluate(truth):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never came true: {truth}")


def window_of(page: Any) -> tuple[float, float]:
    """Return left edge and width of the window of time, percent of the whole."""
    settled(page)
    style = page.locator("#window div").evaluate("node => [node.style.marginLeft, node.style.width]")
    return float(style[0].rstrip("%")), float(style[1].rstrip("%"))


def spot(page: Any, kind: str) -> dict[str, float]:
    """Return where the widest event of a kind is drawn."""
    settled(page)
    spots: list[dict[str, float]] = page.evaluate(SPOTS, kind)
    assert spots, f"no {kind} at full strength on the canvas"
    return max(spots, key=lambda s: s["width"])


def click(page: Any, kind: str) -> str:
    """Click the widest event of a kind; return what the card says."""
    place = spot(page, kind)
    page.mouse.click(place["x"], place["y"])
    return str(page.locator("#event").inner_text())


def key(page: Any, *names: str) -> None:
    page.focus("#timeline-plot")
    for name in names:
        page.keyboard.press(name)


def forty_seconds() -> ProfileView:
    """Return kernels of a microsecond, three of them in forty seconds."""
    events: list[Event] = [(0, "work", Kind.KERNEL, t, 1_000, -1) for t in (0, 123_456_789, 39_999_999_000)]
    return ProfileView(title="long", timeline=timeline_of((Lane("Stream", True),), events))
