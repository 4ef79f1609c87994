"""The rules of the house that no linter knows: floors, names, sizes, nothing of the developer's machine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("codesign", "profilers", "costmodels", "search", "targets")
LONGEST_FILE = 450

FLOORS = {
    "codesign.workload": 0, "codesign.quantity": 0, "codesign.errors": 0, "codesign.run": 0, "codesign.registry": 0,
    "codesign.units": 0, "codesign.strict_yaml": 0, "codesign.validation": 0, "codesign.cases": 0,
    "codesign.models": 1, "codesign.targets": 2, "codesign.profilers": 3, "codesign.costmodels": 4,
    "codesign.search": 5, "codesign.cli": 6, "codesign.report": 6, "codesign.testing": 6, "codesign.__main__": 6,
}  # fmt: skip
"""Module prefix -> floor; an import goes to the same floor or below. ``codesign`` itself re-exports lazily."""


def sources() -> list[Path]:
    return sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py") if not below_a_link(path))


def below_a_link(path: Path) -> bool:
    return any(parent.is_symlink() for parent in path.parents if ROOT in parent.parents)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "codesign" else ("codesign", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module: str) -> int | None:
    return FLOORS.get(".".join(module.split(".")[:2]))


def imports(tree: ast.AST) -> list[tuple[int, str]]:
    """Return (line, module) of every import of ours, those inside functions too; ``TYPE_CHECKING`` blocks as well."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from codesign import models` imports codesign.models
            found += (
                [(node.lineno, f"codesign.{alias.name}") for alias in node.names]
                if node.module == "codesign"
                else [(node.lineno, node.module)]
            )
    return [(line, name) for line, name in found if name.split(".")[0] == "codesign"]


def upward(module: str, tree: ast.AST) -> list[str]:
    floor = floor_of(module)
    wrong = []
    for line, name in imports(tree):
        theirs = floor_of(name)
        if floor is not None and theirs is not None and theirs > floor:
            wrong.append(f"{module}:{line} (floor {floor}) imports {name} (floor {theirs})")
    return wrong


def test_imports_only_go_down() -> None:
    wrong = [w for path in sources() for w in upward(module_of(path), ast.parse(path.read_text(encoding="utf-8")))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "import codesign.cli.app",
        "from codesign.search import api",
        "from codesign import report",
        "if 1:\n  import codesign.report",
    ],
)
def test_the_floor_rule_sees_an_upward_import(text: str) -> None:
    assert upward("codesign.models.catalog", ast.parse(text))


def test_every_module_has_a_floor() -> None:
    homeless = [m for path in sources() if (m := module_of(path)) != "codesign" and floor_of(m) is None]
    assert not homeless, f"give them a floor in this file: {homeless}"


def test_imports_are_absolute() -> None:
    relative = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative


def test_no_file_is_named_after_nothing() -> None:
    banned = {"utils", "util", "helpers", "helper", "common", "misc"}
    found = [str(p.relative_to(ROOT)) for p in sources() if p.stem in banned or p.parent.name in banned]
    assert not found


def test_files_hold_one_idea() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_FILE
    }
    assert not long, f"longer than {LONGEST_FILE} lines: {long}"


def test_every_module_says_what_it_is() -> None:
    silent = [str(p.relative_to(ROOT)) for p in sources() if not ast.get_docstring(ast.parse(p.read_text("utf-8")))]
    assert not silent


def test_no_absolute_path_of_a_developer() -> None:
    pattern = re.compile(r"(?<![\w./<-])/(?:home|Users|root|work|mnt)/\w+")
    suffixes = {".py", ".md", ".yaml", ".toml", ".txt", ".html", ".css", ".js", ".sh", ""}
    skipped = {".git", ".venv", "runs", "build", "dist"}
    found = []
    for path in ROOT.rglob("*"):
        inside = path.relative_to(ROOT).parts
        if set(inside) & skipped or any(part.startswith(".") and part != ".ci" for part in inside[:-1]):
            continue
        if not path.is_file() or path.suffix not in suffixes or path == Path(__file__).resolve() or below_a_link(path):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)
