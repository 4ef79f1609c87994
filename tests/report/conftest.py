"""Made-up runs for the tests of reports, and a browser without a network to look at them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from codesign.report.profile import ProfileView, profile_page
from codesign.testing.synthetic_run import synthetic_run
from tests.report.profile_pages import Open, two_kernels

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as tool:
        running = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def window(browser: Any) -> Callable[[int, str], Any]:
    """Return a function that gives an empty window of a width and colour scheme; making each anew takes long."""

    @cache
    def context(width: int, scheme: str) -> Any:
        return browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)

    return lambda width, scheme: context(width, scheme).new_page()


@pytest.fixture
def show(window: Callable[[int, str], Any]) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page; the test fails on any console message, error or outside request."""
    troubles: list[str] = []
    pages = []

    def refuse(route: Any) -> None:
        if route.request.url.startswith("file:"):
            route.continue_()
        else:
            troubles.append("asked for " + route.request.url)
            route.abort()

    def open_page(path: Path, width: int = 1280, scheme: str = "light") -> Any:
        page = window(width, scheme)
        pages.append(page)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append("dialog " + dialog.message))
        page.route("**/*", refuse)
        page.goto(path.absolute().as_uri())
        page.wait_for_selector("body[data-ready=true]", timeout=20_000)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert troubles == []


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a made-up run directory."""

    def make(name: str = "run", **options: Any) -> Path:
        return synthetic_run(tmp_path / name, **options)

    return make


@pytest.fixture
def shown(tmp_path: Path, show: Open) -> Open:
    """Return a function that opens the page of a view."""

    def open_view(view: ProfileView, width: int = 1280, scheme: str = "light") -> Any:
        path = tmp_path / "profile.html"
        path.write_text(profile_page(view), encoding="utf-8")
        return show(path, width, scheme)

    return open_view


@pytest.fixture
def small(shown: Open) -> Any:
    """Return the page of two kernels, the timeline in view."""
    page = shown(ProfileView(title="two kernels", timeline=two_kernels()))
    page.locator("#timeline-plot").scroll_into_view_if_needed()
    return page
