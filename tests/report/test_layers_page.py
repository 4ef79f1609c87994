"""Numbers layer by layer on the report page, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codesign.report import report
from codesign.search.driver import run_search
from tests.search.quantization.toy import problem

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small search whose question has a hostile name."""
    asked = problem()
    asked.title = HOSTILE
    return report(run_search(asked, engine="nsga2", evaluations=36, directory=tmp_path_factory.mktemp("bits") / "run"))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (380, "dark")])
def test_bits_and_sensitivity_of_the_chosen_plan(
    show: Callable[..., Any], page_file: Path, width: int, scheme: str
) -> None:
    page = show(page_file, width, scheme)
    bits, sensitivity = page.locator("#grids table").all()
    assert bits.locator("caption").inner_text() == "Bits of every layer [bit]"
    assert bits.locator("tbody th").all_inner_texts() == ["0", "2"]
    assert bits.locator("tbody td").count() == 4
    assert sensitivity.locator("thead th").all_inner_texts()[1] == "weights 16"
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    for wrong in ("NaN", "undefined", "[object"):
        assert wrong not in page.locator("#grids").inner_html()
