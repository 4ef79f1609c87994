"""A search of programs on the report page, in a real browser: edits, noise, generations, what dropped out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codesign.report import load_sheet, report
from codesign.report.payload import payload
from codesign.report.terminal import front_table

HOSTILE = "<img src=x onerror=alert(1)>"
TRIALS = 60
COLUMNS = ["edit", "operation", "where", "before", "after", "repairs"]
EDIT = ["delete", HOSTILE, "mine.py:14", "reduce #2: f32[128]", "add #1: f32[128, 64] " + "x" * 60, ""]
MEMBERS = [
    ("#0", 1.0, 0.98, 1.02, 1.05, False),
    ("#7", 1.03, 1.01, 1.04, 1.06, False),
    (HOSTILE, 2, 1.9, 2.1, 1.04, True),
]


def verification() -> dict[str, Any]:
    """Return what a search of programs records of its front."""
    rows = [
        {"member": name, "edits": "1 delete", "faster": faster, "speed-up": ratio, "from": low, "to": high,
         "noise": noise, "search": 0.1, "selection": 0.11, "report": None, "FLOP": 1e6, "operations": 4, "reason": ""}
        for name, ratio, low, high, noise, faster in MEMBERS
    ]  # fmt: skip
    edit = {**dict(zip(COLUMNS, EDIT, strict=True)), "what": "delete it", "without it": "0.9x, error 0.3"}
    return {"claim": HOSTILE, "noise": "up to 1.06x", "rows": rows, "edits": [edit], "notes": ["delete it"]}


@pytest.fixture
def programs(make_run: Callable[..., Path]) -> Path:
    """Return a run as a search of programs leaves it."""
    run = make_run(trials=TRIALS, objectives=2)
    front, meta = (json.loads((run / name).read_text()) for name in ("front.json", "run.json"))
    front["verification"] = verification()
    listing = {"title": "What each edit does", "columns": COLUMNS, "rows": [EDIT]}
    for known in front["details"].values():
        known["listings"] = [listing]
    front["history"] = [{"evaluations": n, "hypervolume": n / 60} for n in (1, 20, 40, TRIALS)]
    front["columns"]["changes"] = ['[{"type":"delete"}]'] * len(front["columns"]["id"])
    meta["problem"]["parameters"].append({"name": "changes", "kind": "code", "unit": "", "values": []})
    meta["problem"]["told"] = ["dtype"]
    (run / "front.json").write_text(json.dumps(front))
    (run / "run.json").write_text(json.dumps(meta))
    return run


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (380, "dark")])
def test_edits_noise_and_generations(show: Callable[..., Any], programs: Path, width: int, scheme: str) -> None:
    page = show(report(programs), width, scheme)
    assert page.locator("#verification-h").inner_text() == "Measured again"
    words, again = page.locator("#listings"), page.locator("#verification")
    assert words.locator("thead th").all_inner_texts() == COLUMNS[:-1]  # a column without a text is left out
    assert words.locator("tbody td").all_inner_texts() == EDIT[:-1]
    winner, members = again.locator("table").all()
    assert winner.locator("tbody td").last.inner_text() == "0.9x, error 0.3"
    assert winner.locator("tbody td").nth(1).inner_text() == HOSTILE
    assert members.locator("tbody tr").count() == len(MEMBERS)
    figure = again.locator("svg.speedups")
    bands = figure.locator("rect.band").evaluate_all("bands => bands.map(b => Number(b.getAttribute('width')))")
    assert len(bands) == len(MEMBERS)
    assert min(bands) > 0
    assert bands[1] == max(bands)  # the noisiest measurement has the widest band
    hollow = figure.locator("circle").evaluate_all("dots => dots.map(d => d.classList.contains('hollow'))")
    assert hollow == [not faster for *_, faster in MEMBERS]
    assert page.locator("#generations svg").count() == 3  # outcomes, and the course of each objective
    assert page.locator("#generations svg").first.get_attribute("aria-label").count("generation ") == 3
    assert page.locator("#reasons thead th").all_inner_texts()[-1] == "of all evaluated"
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    for part in ("#verification", "#listings", "#generations"):
        for wrong in ("NaN", "undefined", "[object", "<img"):
            assert wrong not in page.locator(part).inner_html()


@pytest.mark.browser
def test_generations_are_shown_only_where_the_page_has_every_point(show: Callable[..., Any], programs: Path) -> None:
    front = json.loads((programs / "front.json").read_text())
    front["history"][-1]["evaluations"] = TRIALS + 1
    (programs / "front.json").write_text(json.dumps(front))
    assert not show(report(programs)).locator("#generations").is_visible()


def test_text_for_programs_is_exported_and_not_drawn(programs: Path) -> None:
    sheet = load_sheet([programs])
    assert sheet.columns["changes"][0] == '[{"type":"delete"}]'
    assert "changes" not in [column["name"] for column in payload(sheet)["columns"]]
    assert "changes" not in [field.name for field in sheet.of_role("parameter")]


def test_a_problem_says_what_tells_its_points_apart(programs: Path) -> None:
    table = front_table(load_sheet([programs]), 80)
    heads = [str(column.header).split("\n")[0] for column in table.columns]
    assert "dtype" in heads
    assert "tp" not in heads
    assert "design" not in heads
