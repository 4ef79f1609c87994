"""Every format against the rows it is made of; hostile names; several runs; bad input."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from codesign.errors import DataError, UsageError
from codesign.report import load_sheet, newest_run, report, standing
from codesign.report.html import page
from codesign.report.importance import explained, importance
from codesign.report.payload import ALPHABET, pack, payload, rounded
from codesign.report.terminal import front_table, next_steps
from codesign.report.write import render
from codesign.testing.synthetic_run import HOSTILE

Make = Callable[..., Path]


def data_of(html: str) -> dict[str, Any]:
    """Return the JSON inside a report."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert found
    data: dict[str, Any] = json.loads(found.group(1))
    return data


def unpacked(column: dict[str, Any]) -> list[Any]:
    """Return a packed column as values (what data.js does)."""
    if "c" in column:
        return [column["l"][ALPHABET.index(c)] for c in column["c"]]
    return [column["l"][i] for i in column["i"]] if "i" in column else _shifted(column)


def _shifted(column: dict[str, Any]) -> list[Any]:
    return [v if v is None or "e" not in column else v * 10.0 ** column["e"] for v in column["v"]]


def test_html_holds_every_row_to_five_digits(make_run: Make) -> None:
    run = make_run(trials=300)
    path = report(run)
    assert path == run / "report.html"
    data = data_of(path.read_text())
    trials = polars.read_parquet(run / "trials.parquet")
    assert data["rows"] == 300
    by_id = dict(zip(unpacked(data["id"]), range(300), strict=True))
    for column in data["columns"]:
        values = unpacked(column)
        for row in trials.iter_rows(named=True):
            expected, found = row[column["name"]], values[by_id[row["id"]]]
            assert found == (pytest.approx(expected, rel=6e-5) if isinstance(expected, float) else expected)
    assert data["front"] == int(trials["front"].sum())
    assert unpacked(data["id"])[data["baseline"]] == 0


def test_html_is_offline_and_sealed(make_run: Make) -> None:
    html = page(load_sheet([make_run()]))
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    assert policy in html
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|iframe|script[^>]+src)", html)


def test_hostile_names_stay_text(make_run: Make) -> None:
    sheet = load_sheet([make_run(hostile=True)])
    html = page(sheet)
    assert html.count("<script") == 2
    assert html.count("</script>") == 2
    assert data_of(html)["title"].endswith(HOSTILE)
    markdown = str(render(sheet, "md"))
    assert "<script" not in markdown
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines() if line.startswith("|")}
    assert len(widths) == 1, "an unescaped pipe would add a column"
    latex = str(render(sheet, "tex"))
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(re.findall(r"(?<!\\)&", body[0]))}
    assert not re.search(r"(?<!\\)[_%#$]", "\n".join(body))


def test_csv_json_parquet_hold_the_same_front(make_run: Make) -> None:
    run = make_run(trials=400, objectives=4)
    sheet = load_sheet([run])
    rows = list(csv.reader(io.StringIO(str(render(sheet, "csv")))))
    columns = json.loads(render(sheet, "json"))["columns"]
    binary = render(sheet, "parquet")
    assert isinstance(binary, bytes)
    frame = polars.read_parquet(io.BytesIO(binary))
    front = json.loads((run / "front.json").read_text())["columns"]
    assert len(rows) - 1 == frame.height == len(columns["id"]) == len(front["id"])
    assert "latency [s]" in rows[0]
    for name in ("id", "latency", "throughput", "target", "knee", "latency_low"):
        assert frame[name].to_list() == columns[name] == front[name]
    assert [float(r[rows[0].index("latency [s]")]) for r in rows[1:]] == front["latency"]
    units = json.loads(polars.read_parquet_metadata(io.BytesIO(binary))["units"])
    assert units["latency"] == "s"


def test_several_runs_share_a_report(make_run: Make) -> None:
    a, b = make_run("a", seed=1), make_run("b", seed=2)
    sheet = load_sheet([a, b])
    assert sheet.front_rows == sum(len(json.loads((r / "front.json").read_text())["columns"]["id"]) for r in (a, b))
    assert next(csv.reader(io.StringIO(str(render(sheet, "csv")))))[0] == "run"
    assert set(unpacked(data_of(page(sheet))["run"])) == {0, 1}
    with pytest.raises(DataError, match="objectives are"):
        load_sheet([a, make_run("c", objectives=4)])


def test_bad_input_says_what_to_do(make_run: Make, tmp_path: Path) -> None:
    run = make_run()
    with pytest.raises(UsageError, match="unknown report format") as caught:
        report(run, "htm")
    assert "html" in caught.value.hint
    with pytest.raises(DataError, match="not a run directory"):
        report(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no run directory"):
        newest_run(tmp_path / "runs")
    (run / "front.json").write_text("{")
    with pytest.raises(DataError, match=r"front\.json"):
        report(run)


def test_empty_front_still_renders(make_run: Make) -> None:
    run = make_run(trials=20)
    front = json.loads((run / "front.json").read_text())
    front |= {"columns": {name: [] for name in front["columns"]}, "history": [], "details": {}}
    (run / "front.json").write_text(json.dumps(front))
    for name in ("html", "csv", "json", "parquet", "md", "tex"):
        assert render([run], name)
    front_table(load_sheet([run]))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("objectives", [2, 5])
def test_terminal_table_fits(make_run: Make, width: int, objectives: int) -> None:
    from rich.console import Console

    sheet = load_sheet([make_run(trials=500, objectives=objectives)])
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None)
    console.print(front_table(sheet, width))
    text = out.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    assert f"#{sheet.columns['id'][standing.knee_row(sheet) or 0]}" in text
    if width >= 120:
        assert "knee" in text
        assert "latency" in text
    assert any("codesign explain" in line and "#" in line for line in next_steps(sheet))


def test_pack_is_lossless() -> None:
    cases: list[list[Any]] = [
        [1, 1.5, None, "1", True] * 30,
        [0, 1] * 5,
        list(range(500)),
        [f"n{i}" for i in range(200)] * 2,
        [],
    ]
    for values in cases:
        assert unpacked(pack(values)) == values
    assert not set(ALPHABET) & set('\\<&"')
    assert rounded(float("nan")) is None
    assert rounded(123456.0) == 123460


def test_standing_of_a_known_front(make_run: Make) -> None:
    sheet = load_sheet([make_run(trials=600)])
    rows = standing.champions(sheet)
    front = range(sheet.front_rows)
    known = [r for r in front if not sheet.columns["unknown_quality"][r]]
    assert sheet.columns["latency"][rows["latency"]] == min(sheet.columns["latency"][r] for r in known)
    assert sheet.columns["throughput"][rows["throughput"]] == max(sheet.columns["throughput"][r] for r in known)
    assert sorted(standing.knee_rank(sheet).tolist()) == list(range(1, sheet.front_rows + 1))
    leaders = standing.near_duplicates(sheet)
    assert all(leaders[leader] == leader for leader in leaders), "a representative represents itself"


def test_explained_variance_against_closed_form() -> None:
    codes = np.repeat([0, 1], 500)
    noise = np.random.Generator(np.random.Philox(3)).normal(size=1000)
    assert explained(codes, codes.astype(float)) == pytest.approx(1.0)
    assert explained(codes, noise) < 0.01
    assert explained(np.arange(1000) % 300, noise) < 0.1, "many levels explain nothing by chance"
    mixed = codes * 2.0 + noise  # variance between = 1, within = 1
    assert explained(codes, mixed) == pytest.approx(0.5, abs=0.05)
    assert explained(np.zeros(10, np.int64), np.arange(10.0)) == 0.0


def test_importance_finds_what_matters(make_run: Make) -> None:
    shares = importance(load_sheet([make_run(trials=2000)]))["latency"]
    order = [entry["name"] for entry in shares]
    assert set(order[:2]) == {"batch", "target"}
    assert next(e["share"] for e in shares if e["name"] == "replicas") < 0.02


def test_size_of_two_thousand_trials(make_run: Make) -> None:
    run = make_run(trials=2000, objectives=4)
    html = page(load_sheet([run]))
    assert len(html.encode()) <= 400_000
    assert len(html.encode()) - len(json.dumps(payload(load_sheet([run])))) <= 100_000
