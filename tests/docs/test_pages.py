"""The documentation is executed: what a page shows runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [page for page in sorted(DOCS.glob("*.md")) if "```python" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page.name, "exec"), scope)
    assert os.getcwd() == str(tmp_path)


def test_every_public_name_is_documented() -> None:
    import codesign

    text = (DOCS / "python.md").read_text(encoding="utf-8")
    types = {"Quantity", "Workload"}
    assert [name for name in codesign.__all__ if f"codesign.{name}" not in text and name not in types] == []
