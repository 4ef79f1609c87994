"""One HTML document from the body of a page: style, data and scripts put in, nothing fetched, no dependency.

Data travels as JSON in a script element that no browser runs, and reaches the page through ``textContent`` only, so no
name can become markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import NamedTuple

FRAME = ("%TITLE%", "%STYLE%", "%BODY%", "%DATA%", "%SCRIPT%")
"""The marks of ``document.html``, which all pages share, in order."""


class Asset(NamedTuple):
    """A text file shipped in the ``page`` folder of a package."""

    package: str
    name: str

    def text(self) -> str:
        """Return its content."""
        return files(self.package).joinpath("page", self.name).read_text(encoding="utf-8")


def document(title: str, data: str, body: Asset, styles: Sequence[Asset], scripts: Sequence[Asset]) -> str:
    """Return a page: the frame that all pages share, with its marks replaced.

    Args:
        title: Of the window; escaped here.
        data: JSON without ``<``.
        body: What the frame's ``body`` element holds before the data.
        styles: Joined in order.
        scripts: Joined in order into one function.
    """
    script = "(function () {\n'use strict';\n" + "".join(s.text() for s in scripts) + "})();"
    parts = (escape(title), "".join(s.text() for s in styles), body.text(), data, script)
    pieces, rest = [], Asset("codesign.report", "document.html").text()
    for mark, text in zip(FRAME, parts, strict=True):  # what is put in is never searched for marks
        before, _, rest = rest.partition(mark)
        pieces += [before, text]
    return "".join([*pieces, rest])
