"""The HTML report: one file, offline, no dependency, a strict content policy."""

from __future__ import annotations

from codesign.report.document import Asset, document
from codesign.report.payload import encode, payload, title
from codesign.report.sheet import Sheet

SCRIPTS = (
    "numbers.js",
    "data.js",
    "draw.js",
    "scatter.js",
    "parallel.js",
    "table.js",
    "timeline.js",
    "roofline.js",
    "grid.js",
    "listing.js",
    "again.js",
    "generations.js",
    "panels.js",
    "report.js",
)
"""The scripts in the order they are joined; together they are one function."""


def page(sheet: Sheet) -> str:
    """Return the report as one HTML document."""
    style, *scripts = (Asset("codesign.report", name) for name in ("report.css", *SCRIPTS))
    body = Asset("codesign.report", "body.html")
    return document(title(sheet), encode(payload(sheet)), body, [style], scripts)
