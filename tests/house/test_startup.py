"""``codesign --help`` is quick because it imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

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
