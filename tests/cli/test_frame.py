"""The frame of the command line, run as a user runs it: streams, exit codes, errors on one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codesign.cli import app as application
from codesign.cli.app import COMMANDS, hoist
from codesign.errors import DataError, EnvironmentLacks, Interrupted, LimitCrossed, UsageError


def test_help_lists_every_command_with_its_line(run_codesign: Any) -> None:
    bare, asked = run_codesign(), run_codesign("--help")
    assert (bare.rc, bare.stderr) == (0, "")
    assert bare.stdout == asked.stdout
    for name, entry in COMMANDS.items():
        assert any(line.split()[:1] == [name] and entry.help[:40] in line for line in bare.stdout.splitlines()), name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str, run_codesign: Any) -> None:
    outcome = run_codesign(name, "--help")
    assert (outcome.rc, outcome.stderr) == (0, "")
    assert COMMANDS[name].help in " ".join(outcome.stdout.split())


def test_version_and_group_without_subcommand(run_codesign: Any) -> None:
    for arguments in (("--version",), ("models", "--version"), ("doctor", "--json", "--version")):
        outcome = run_codesign(*arguments)
        assert (outcome.rc, outcome.stderr) == (0, "")
        assert outcome.stdout.startswith("codesign 0.")
    outcome = run_codesign("models")
    assert (outcome.rc, outcome.stderr) == (0, "")
    assert "list" in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("modls",), "Did you mean 'models'"),
        (("--nonsense",), "--nonsense"),
        (("models", "lst"), "lst"),
        (("models", "show"), "model"),
        (("models", "show", "gpt2", "extra"), "extra"),
        (("models", "show", "gtp2"), "gpt2"),
        (("models", "show", ""), "no model"),
        (("models", "show", "nowhere:file"), "nowhere"),
        (("models", "show", "bad\x1b[31mname\n"), "unknown"),
        (("validate", "nonsense"), "models"),
        (("doctor", "extra"), "extra"),
    ],
)
def test_bad_input_is_one_error_line(arguments: tuple[str, ...], said: str, run_codesign: Any) -> None:
    outcome = run_codesign(*arguments)
    assert (outcome.rc, outcome.stdout) == (2, "")
    lines = outcome.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) <= 2
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert said in outcome.stderr
    assert "\x1b" not in outcome.stderr


def test_debug_shows_the_traceback_and_stands_anywhere(run_codesign: Any) -> None:
    for arguments in (("--debug", "models", "show", "gtp2"), ("models", "show", "gtp2", "--debug")):
        outcome = run_codesign(*arguments)
        assert outcome.rc == 2
        assert "Traceback" in outcome.stderr
        assert outcome.stderr.splitlines()[-2].startswith("error: ")


def test_global_options_after_a_double_dash_stay() -> None:
    assert hoist(["search", "x", "-q", "--", "--debug"]) == ["-q", "search", "x", "--", "--debug"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("bad", "do this"), 2, "hint: do this"),
        (DataError("a.yaml: field x"), 2, "error: a.yaml: field x"),
        (EnvironmentLacks("no counter", "grant it"), 3, "hint: grant it"),
        (LimitCrossed("nothing is feasible"), 4, "error: nothing"),
        (Interrupted("saved", "resume"), 130, "hint: resume"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("division by zero"), 1, "internal error: ZeroDivisionError: division by zero"),
        (FileNotFoundError(2, "No such file", "x.csv"), 2, "no such file: x.csv"),
        (OSError(28, "No space left on device"), 3, "no space left"),
        (OSError("a bug of ours"), 1, "internal error"),
    ],
)
def test_each_error_has_its_exit_code(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    import codesign.models

    monkeypatch.setattr(codesign.models, "list_models", fail)
    assert application.run(["models", "list"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert "Traceback" not in shown.err


def test_json_envelope(run_codesign: Any) -> None:
    outcome = run_codesign("models", "list", "--json")
    assert (outcome.rc, outcome.stderr) == (0, "")
    said = json.loads(outcome.stdout)
    assert said["schema_version"] == 1
    assert said["command"] == "models list"
    assert said["argv"] == ["codesign", "models", "list", "--json"]
    assert said["versions"]["codesign"]
    assert said["host"]["cores"] >= 1
    assert "llama-3.1-8b" in [row["name"] for row in said["results"]]


def test_quiet_silences_notes_and_nothing_else(run_codesign: Any) -> None:
    loud, quiet = run_codesign("models", "list"), run_codesign("models", "list", "-q")
    assert loud.stderr
    assert quiet.stderr == ""
    assert quiet.stdout == loud.stdout
    assert run_codesign("-q", "models", "show", "gtp2").stderr.startswith("error: ")


def test_no_terminal_codes_when_not_wanted(run_codesign: Any) -> None:
    outcome = run_codesign("models", "list", env={"NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "xterm"})
    assert outcome.rc == 0
    assert "\x1b" not in outcome.stdout


def test_names_are_whole_in_eighty_columns(run_codesign: Any) -> None:
    outcome = run_codesign("models", "list", env={"COLUMNS": "80"})
    assert "stable-diffusion-1.5" in outcome.stdout
    assert max(map(len, outcome.stdout.splitlines())) <= 80


def test_a_reader_that_leaves_is_no_error() -> None:
    line = f'"{sys.executable}" -m codesign models list --json | head -c 10 >/dev/null; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_shell_completion(run_codesign: Any) -> None:
    asked = {"_CODESIGN_COMPLETE": "complete_bash", "COMP_WORDS": "codesign mod", "COMP_CWORD": "1"}
    assert run_codesign(env=asked).stdout.split() == ["models"]
    inner = {"_CODESIGN_COMPLETE": "complete_bash", "COMP_WORDS": "codesign models s", "COMP_CWORD": "2"}
    assert run_codesign(env=inner).stdout.split() == ["show"]
    shown = run_codesign(
        "--show-completion", env={"SHELL": "/bin/bash", "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    )
    assert shown.rc in (0, 2)


def test_doctor(run_codesign: Any, tmp_path: Path) -> None:
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "energy_uj").write_text("1\n")
    outcome = run_codesign("doctor", "--json", env={"CODESIGN_POWERCAP_ROOT": str(zone.parent)})
    assert (outcome.rc, outcome.stderr) == (0, "")
    content = json.loads(outcome.stdout)
    meters = {meter["backend"]: meter for meter in content["energy_meters"]}
    assert (meters["rapl"]["status"], meters["rapl"]["power_w"]) == ("rejected", None)
    assert "did not advance" in meters["rapl"]["reason"]
    found = {(f["group"], f["name"]): f for f in content["results"]}
    assert "(environment)" in found["settings", "CODESIGN_POWERCAP_ROOT"]["value"]
    assert found["packages", "torch"]["value"].startswith("2.13")
    without = run_codesign("doctor", env={"CODESIGN_POWERCAP_ROOT": os.devnull, "COLUMNS": "80"})
    assert without.rc == 0
    assert "unavailable" in without.stdout
    assert max(map(len, without.stdout.splitlines())) <= 80


def test_validate_passes_and_a_miss_is_exit_4(run_codesign: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    outcome = run_codesign("validate", "models", "--json")
    assert (outcome.rc, outcome.stderr) == (0, "")
    rows = json.loads(outcome.stdout)["results"]
    assert len(rows) >= 15
    assert all(row["passed"] and row["source"] for row in rows)

    from codesign import validation

    missed = validation.Check(topic="t", name="n", expected=1.0, found=float("nan"), tolerance=0.5, source="s")
    monkeypatch.setattr(validation, "run_topics", lambda names: ([missed], []))
    assert application.run(["validate"]) == 4
    assert "MISS" in capsys.readouterr().out


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_a_table_never_cuts_a_number_and_loses_no_column(columns: int, capsys: Any, monkeypatch: Any) -> None:
    from codesign.cli.output import Table, show_tables

    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [(f"a_long_name_of_an_operator_{n}", "kind", 1_000 + n, "12.34 ms", f"+1{n}52.7 %") for n in range(3)]
    show_tables([Table("title\x1b[31m", ("name", "words", ">calls", ">time", ">change"), rows)])
    printed = capsys.readouterr().out
    assert all(len(line) <= columns for line in printed.splitlines())
    assert "\x1b" not in printed
    for row in rows:
        assert all(str(part) in printed for part in (f"{row[2]:,}", row[3], row[4]))
        assert row[0] in "".join(line[: columns // 2].split(" ")[0] for line in printed.splitlines()) or columns < 60
    assert "kind" in printed or columns == 40


def test_notes_cannot_steer_the_terminal(run_codesign: Any, tmp_path: Path) -> None:
    name = "b\x1b[31mase.json"
    (tmp_path / name).write_text('[{"ph": "X", "cat": "kernel", "name": "k", "ts": 1, "dur": 1}]')
    done = run_codesign("profile", name, "--out", "run")
    assert done.rc == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert run_codesign("report", "run", "--format", "md").rc == 0
    assert "\x1b" not in (tmp_path / "run" / "report.md").read_text()
