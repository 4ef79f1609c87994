"""The HTML report: one file, offline, no dependency, a strict content policy.

The page is the template with style, scripts and data put in. Data travels as JSON in a script element that no
browser runs, and reaches the page through ``textContent`` only, so no name can become markup.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files

from codesign.report.payload import encode, payload, title
from codesign.report.sheet import Sheet

SCRIPTS = ("data.js", "draw.js", "scatter.js", "parallel.js", "table.js", "panels.js", "report.js")
"""The scripts in the order they are joined; together they are one function."""


def page(sheet: Sheet) -> str:
    """Return the report as one HTML document."""
    folder = files("codesign.report").joinpath("page")

    def text(name: str) -> str:
        return folder.joinpath(name).read_text(encoding="utf-8")

    script = "(function () {\n'use strict';\n" + "".join(text(name) for name in SCRIPTS) + "})();"
    parts = {
        "%TITLE%": escape(title(sheet)),
        "%STYLE%": text("report.css"),
        "%DATA%": encode(payload(sheet)),
        "%SCRIPT%": script,
    }
    return _fill(text("template.html"), parts)


def _fill(template: str, parts: dict[str, str]) -> str:
    """Return the template with each mark replaced once; what is put in is never searched for marks."""
    pieces, rest = [], template
    for mark, text in parts.items():  # the marks stand in the template in this order
        before, _, rest = rest.partition(mark)
        pieces += [before, text]
    return "".join([*pieces, rest])
