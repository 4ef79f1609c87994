"""``codesign --help`` is quick because it imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "sklearn", "scipy", "optuna", "polars", "pandas", "numpy", "yaml", "transformers"}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("models", "--help"), ("nonsense",)])
def test_nothing_heavy_is_imported(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "codesign", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 2), done.stderr
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "typer" in imported  # the list was understood
    assert not imported & HEAVY


def test_reading_a_trace_imports_no_more_than_numpy(tmp_path: Path) -> None:
    (tmp_path / "trace.json").write_text("[]")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "codesign", "profile", "trace.json", "--json"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "numpy" in imported
    assert not {name.split(".")[0] for name in imported} & (HEAVY - {"numpy"} | {"pydantic", "rich"})
    assert not {"importlib.metadata", "numpy.ma"} & imported


@pytest.mark.parametrize(
    "command", ["profile", "estimate", "explain", "search", "report", "compare", "doctor", "validate", "targets"]
)
def test_help_of_a_command_imports_no_torch(command: str) -> None:
    from codesign.cli.app import COMMANDS

    if command not in COMMANDS:
        pytest.skip(f"{command} is not registered")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "codesign", command, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert not imported & {"torch", "sklearn", "scipy", "optuna", "polars", "pandas"}
