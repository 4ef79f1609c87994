"""``codesign search mlir`` as a user runs it: on a small module of their own, with data of their own, and bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codesign.search.mlir.timing import LEAST_GAIN
from tests.conftest import RunCodesign

MODULE = """
import torch


class Wasteful(torch.nn.Module):
    \"\"\"A line that tells two classes apart, and a wide branch that adds next to nothing.\"\"\"

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.line = torch.nn.Linear(8, 2, bias=False)
        self.line.weight.data = torch.eye(2, 8)
        self.wide = torch.nn.Linear(8, 1024)
        self.narrow = torch.nn.Linear(1024, 2)
        torch.nn.init.constant_(self.narrow.weight, 1e-9)
        torch.nn.init.zeros_(self.narrow.bias)

    def forward(self, x):
        return self.line(x) + self.narrow(torch.relu(self.wide(x)))


def net():
    return Wasteful()


def branching():
    class Branching(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    return Branching()
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODULE)
    x = np.random.Generator(np.random.Philox(key=0)).normal(size=(300, 8)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", x=x, y=x[:, :2].argmax(axis=1))
    np.savez(tmp_path / "narrow.npz", x=x[:, :5], y=x[:, :2].argmax(axis=1))
    return tmp_path


def test_planted_waste_is_found_explained_and_exported(run_codesign: RunCodesign, mine: Path) -> None:
    done = run_codesign(
        "search", "mlir", "py:mine.py:net", "--data", "mine.npz", "--backend", "torch", "--evaluations", "60",
        "--objectives", "flops,error", "--out", "run", "--seed", "1",
    )  # fmt: skip
    assert done.rc == 0, done.stderr
    assert "x fewer FLOPs" in done.stderr, done.stderr
    assert "random edits: hypervolume" in done.stderr
    found = json.loads((mine / "run" / "front.json").read_text())["verification"]
    original = found["rows"][0]
    assert original["member"] == "#0"
    assert not original["faster"]
    assert any(10 * row["FLOP"] < original["FLOP"] and row["report"] <= 0.02 for row in found["rows"])
    assert found["notes"], "every edit that matters is explained"
    assert "Measured again" in done.stdout
    assert found["edits"][0]["edit"] in ("delete", "copy", "operand", "swap", "constant")
    more = run_codesign("search", "--resume", "run", "--evaluations", "62")
    assert more.rc == 0, more.stderr
    assert "Measured again" in more.stdout
    assert "random edits: hypervolume" in more.stderr
    assert "after 62 evaluations" in more.stderr
    np.save(mine / "input.npy", np.load(mine / "mine.npz")["x"][:128])
    program = mine / "run" / "best" / "program.py"
    ran = subprocess.run([sys.executable, str(program), "input.npy"], cwd=mine, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "[" in ran.stdout
    assert not list(Path(mine / "run").rglob("*.pkl"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("digits-mpl",), "did you mean digits-mlp"),
        (("py:mine.py:branching", "--backend", "torch", "--data", "mine.npz"), "control flow depends on data"),
        (("py:mine.py:net", "--backend", "torch", "--data", "none.npz"), "no such file"),
        (("py:mine.py:net", "--backend", "torch", "--data", "narrow.npz"), "does not take x of narrow.npz, [128, 5]"),
        (("py:mine.py:net", "--backend", "torch"), "one number a class"),  # the digits have another shape than it takes
        (("digits-mlp", "--engine", "exhaustive"), "does not search edits"),
        (("digits-mlp", "--objectives", "speed"), "unknown objective"),
        (("mlir:none.mlir", "--backend", "torch"), "StableHLO, which the back end torch does not run"),
    ],
)
def test_bad_input_is_named(run_codesign: RunCodesign, mine: Path, arguments: tuple[str, ...], says: str) -> None:
    done = run_codesign("search", "mlir", *arguments, "--evaluations", "5", "--out", "run")
    assert done.rc == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "def forward" not in done.stderr, "torch dumps graphs"
    assert "Warning" not in done.stderr
    assert not (mine / "run").exists()


def test_timing_is_beside_the_original_and_says_how_sure_it_is(run_codesign: RunCodesign, mine: Path) -> None:
    done = run_codesign(
        "search", "mlir", "py:mine.py:net", "--data", "mine.npz", "--backend", "torch", "--evaluations", "24",
        "--no-random", "--out", "run",
    )  # fmt: skip
    assert done.rc == 0, done.stderr
    found = json.loads((mine / "run" / "front.json").read_text())["verification"]
    assert not found["rows"][0]["faster"]  # the original against itself is no gain, however busy the machine
    for row in (row for row in found["rows"] if not row["reason"]):
        assert row["from"] <= row["speed-up"] <= row["to"]
        assert row["noise"] >= 1.0
        assert row["faster"] == (row["from"] > max(row["noise"], LEAST_GAIN))
    assert "noise" in found
    assert "other work" in found


def test_a_cost_model_learned_from_a_search_screens_the_next(run_codesign: RunCodesign, mine: Path) -> None:
    asked = (
        "search", "mlir", "py:mine.py:net", "--data", "mine.npz", "--backend", "torch", "--objectives", "flops,error",
        "--no-random", "--keep", "all",
    )  # fmt: skip
    first = run_codesign(*asked, "--evaluations", "160", "--out", "run")
    assert first.rc == 0, first.stderr
    fitted = run_codesign("costmodels", "fit", "--from-run", "run", "--objectives", "flops", "--out", "costs.npz")
    assert fitted.rc == 0, fitted.stderr
    assert "work and bytes" in fitted.stdout
    assert "fewer than three programs" in fitted.stderr
    screened = run_codesign(*asked, "--evaluations", "30", "--out", "screened", "--screen", "costs.npz")
    assert screened.rc == 0, screened.stderr
    names = json.loads((mine / "screened" / "run.json").read_text())["fingerprint"]
    assert "cost model that screens" in names
    (mine / "costs.npz").write_bytes(b"something else")
    broken = run_codesign(*asked, "--evaluations", "30", "--out", "other", "--screen", "costs.npz")
    assert broken.rc == 2
    assert "costs.npz is no cost model of programs" in broken.stderr
    two = run_codesign("costmodels", "fit", "--from-run", "run,absent")
    assert two.rc != 0
