"""One HTML document from a template: style, data and scripts put in, nothing fetched, no dependency.

Data travels as JSON in a script element that no browser runs, and reaches the page through ``textContent`` only, so no
name can become markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import NamedTuple


class Asset(NamedTuple):
    """A text file shipped in the ``page`` folder of a package."""

    package: str
    name: str

    def text(self) -> str:
        """Return its content."""
        return files(self.package).joinpath("page", self.name).read_text(encoding="utf-8")


def document(title: str, data: str, template: Asset, styles: Sequence[Asset], scripts: Sequence[Asset]) -> str:
    """Return the template with its marks replaced.

    Args:
        title: Of the window; escaped here.
        data: JSON without ``<``.
        template: Has ``%TITLE%``, ``%STYLE%``, ``%DATA%`` and ``%SCRIPT%`` once each, in this order.
        styles: Joined in order.
        scripts: Joined in order into one function.
    """
    script = "(function () {\n'use strict';\n" + "".join(s.text() for s in scripts) + "})();"
    parts = {"%TITLE%": escape(title), "%STYLE%": "".join(s.text() for s in styles), "%DATA%": data, "%SCRIPT%": script}
    pieces, rest = [], template.text()
    for mark, text in parts.items():  # what is put in is never searched for marks
        before, _, rest = rest.partition(mark)
        pieces += [before, text]
    return "".join([*pieces, rest])
