"""Searches that are stopped: Ctrl-C, kill -9, and two processes on one run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunCodesign

# so many batch sizes that a search does not run out of designs before it is stopped, however late that is
ARGUMENTS = (
    "search", "deployment", "llama-3.2-1b", "--target", "l4,h100-sxm", "--engine", "nsga2", "--seed", "4",
    "--batch", ",".join(map(str, range(1, 4097))), "--evaluations",
)  # fmt: skip
ENDLESS, SHORT = "100000000", "6000"


def stopped(folder: Path, how: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Start a search that would not end, and stop it after a few batches."""
    with subprocess.Popen(
        [sys.executable, "-m", "codesign", *ARGUMENTS, ENDLESS, "--out", "run"],
        cwd=folder, env={**os.environ, "TERM": "dumb"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        journal, end = folder / "run" / "journal.jsonl", time.monotonic() + 60
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 5):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(how)
        out, told = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, out, told)


def front(path: Path) -> dict[str, Any]:
    """Return the columns of a run's front."""
    columns: dict[str, Any] = json.loads((path / "front.json").read_text())["columns"]
    return columns


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_search_ends_as_an_uninterrupted_one(run_codesign: RunCodesign, tmp_path: Path, how: Any) -> None:
    done = stopped(tmp_path, how)
    if how == signal.SIGINT:
        assert done.returncode == 130, done.stderr
        assert done.stdout == ""
        assert "continue with: codesign search --resume run" in done.stderr
        assert "Traceback" not in done.stderr
    lines = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()[:-1]]
    budget = str(sum(line["asked"] for line in lines if line["kind"] == "batch") + 2000)
    resumed = run_codesign("search", "--resume", "run", "--evaluations", budget)
    assert resumed.rc == 0, resumed.stderr
    assert run_codesign(*ARGUMENTS, budget, "--out", "whole").rc == 0
    assert front(tmp_path / "run") == front(tmp_path / "whole")


def test_a_second_writer_is_refused(run_codesign: RunCodesign, tmp_path: Path) -> None:
    from codesign.run import load_run

    assert run_codesign(*ARGUMENTS, SHORT, "--out", "run").rc == 0
    with load_run(tmp_path / "run").writer(sync_each=False):
        done = run_codesign("search", "--resume", "run", "--evaluations", "7000")
    assert done.rc == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
