"""A footprint written into a run directory: page, JSON, CSV, manifest of the Impact Framework."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec

from codesign.costmodels.carbon.footprint_spec import Asked
from codesign.costmodels.carbon.footprints import UNITS, Result
from codesign.costmodels.carbon.manifest import manifest
from codesign.errors import DataError, UsageError
from codesign.report.document import Asset, document
from codesign.report.payload import encode
from codesign.run import Run, create_run
from codesign.run.directory import write_file

COMMAND = "carbon footprint"
SCRIPTS = ("numbers.js", "draw.js")
FORMATS = {"html": "report.html", "json": "footprint.json", "csv": "footprint.csv"}


def write_footprint(
    asked: Asked, result: Result, directory: Path, *, force: bool = False, argv: Sequence[str] = ()
) -> Path:
    """Write a footprint into ``directory`` and return the path of its page.

    Raises:
        UsageError: the directory is taken.
        EnvironmentLacks: it cannot be written.
    """
    spec = {"carbon footprint": msgspec.to_builtins(asked.spec)}
    run = create_run(
        directory, result.title or "footprint", command=COMMAND, argv=argv, force=force, fields={"spec": spec}
    )
    write_file(run.path / "footprint.json", _json(result))
    write_file(run.path / "footprint.csv", table(result))
    write_file(run.path / "impact-framework.yaml", manifest(asked, result))
    path = run.path / "report.html"
    write_file(path, footprint_page(result))
    run.update(status="finished")
    return path


def render_footprint(run: Run, format: str) -> str:
    """Return the footprint in ``run`` in a format.

    Raises:
        UsageError: a format that footprints do not have.
        DataError: the run is damaged.
    """
    if format not in FORMATS:
        raise UsageError(f"a footprint has no format {format!r}", f"one of {', '.join(FORMATS)}")
    path = run.path / "footprint.json"
    try:
        result = msgspec.json.decode(path.read_bytes(), type=Result)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}", "write the footprint again: codesign carbon footprint") from None
    if format == "html":
        return footprint_page(result)
    return table(result) if format == "csv" else _json(result) + "\n"


def _json(result: Result) -> str:
    return msgspec.json.format(msgspec.json.encode(result), indent=1).decode()


def table(result: Result) -> str:
    """Return the figures as CSV: a row for each system, grid and figure, with unit and interval."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["system", "grid", "functional_unit", "figure", "value", "low", "high", "unit", "label", "reason"])
    for row in result.footprints:
        head = [row.system, row.grid, result.functional_unit]
        for name in UNITS:
            found = row.figures.get(name)
            numbers = ["", "", ""] if found is None else [repr(v) for v in (found.value, found.low, found.high)]
            rows.writerow([*map(_cell, head), name, *numbers, UNITS[name], row.label, row.reasons.get(name, "")])
    return text.getvalue()


def _cell(text: str) -> str:
    """Return a name as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def footprint_page(result: Result) -> str:
    """Return the page as one HTML document that needs no network."""
    own = "codesign.report.footprint"
    styles = [Asset("codesign.report", "report.css"), Asset(own, "footprint.css")]
    scripts = [*(Asset("codesign.report", name) for name in SCRIPTS), Asset(own, "footprint.js")]
    content = {**msgspec.to_builtins(result), "units": UNITS}
    return document(result.title or "Carbon footprint", encode(content), Asset(own, "body.html"), styles, scripts)
