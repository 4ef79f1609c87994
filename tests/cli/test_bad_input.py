"""Bad input through the real program: the exit code, one line that says what to do, and nothing on stdout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunCodesign

ESTIMATE = ("estimate", "llama-3.2-1b", "--target", "l4")
SEARCH = ("search", "deployment", "llama-3.2-1b", "--target", "l4")
TINY = ("--tp", "1", "--pp", "1", "--replicas", "1", "--batch", "1,2")

CASES = [
    (("estimate", "llama-3.2-1bb", "--target", "l4"), 2, ("llama-3.2-1bb", "llama-3.2-1b")),
    (("estimate", "llama-3.2-1b", "--target", "l44"), 2, ("'l44'", "did you mean l4")),
    ((*ESTIMATE, "--dtype", "fp9"), 2, ("'fp9'", "fp8")),
    (("estimate", "llama-3.2-1b"), 2, ("no target", "--target")),
    ((*ESTIMATE, "--batch=-1"), 2, ("batch is -1", "from 1")),
    ((*ESTIMATE, "--batch", "0"), 2, ("batch is 0", "from 1")),
    ((*ESTIMATE, "--batch", "1" + "0" * 20), 2, ("batch is 1e+20", "1,000,000,000")),
    ((*ESTIMATE, "--batch", "four"), 2, ("--batch", "valid integer")),
    ((*ESTIMATE, "--generate", "0", "--mode", "in-step"), 2, ("generate is 0", "from 1")),
    ((*ESTIMATE, "--framework", "vlm"), 2, ("unknown framework 'vlm'", "vllm")),
    ((*ESTIMATE, "--mode", "training", "--framework", "vllm"), 2, ("framework is of models that serve", "leave")),
    (("estimate", "resnet-50", "--target", "l4", "--gather", "2"), 2, ("gather is of models that serve", "leave")),
    ((*ESTIMATE, "--gather", "2"), 2, ("full slots", "mode continuous")),
    ((*ESTIMATE, "--mode", "continuous", "--gather", "inf"), 2, ("gather is inf", "from 0")),
    (("estimate", "--ops", "rows.csv", "--target", "l4", "--framework", "vllm"), 2, ("--framework is of models",)),
    ((*ESTIMATE, "--mode", "in-step", "--rate", "3"), 2, ("out of step", "mode continuous")),
    ((*ESTIMATE, "--mode", "static", "--chunk", "512"), 2, ("chunk is the budget", "mode continuous")),
    ((*ESTIMATE, "--mode", "continuous", "--chunk", "1" + "0" * 20), 2, ("chunk is 1", "1,000,000,000")),
    ((*ESTIMATE, "--mode", "continuous", "--rounds", "1" + "0" * 20), 2, ("rounds is 1e+20", "1,000,000,000")),
    ((*ESTIMATE, "--mode", "continuous", "--batch", "8", "--concurrency", "3"), 2, ("concurrency is 3", "8 slots")),
    ((*ESTIMATE, "--mode", "continuous", "--batch", "8", "--chunk", "8"), 4, ("chunk: budget", "--chunk")),
    ((*ESTIMATE, "--rate", "nan"), 2, ("rate is nan", "above 0")),
    ((*ESTIMATE, "--rate=-1"), 2, ("rate is -1", "above 0")),
    ((*ESTIMATE, "--replicas", "0"), 2, ("replicas is 0", "expected 1")),
    ((*ESTIMATE, "--tp", "0"), 2, ("tp is 0", "from 1")),
    ((*ESTIMATE, "--grid=-4"), 2, ("grid is -4", "0 to 2500")),
    ((*ESTIMATE, "--pue", "0.5"), 2, ("pue is 0.5", "1 to 5")),
    ((*ESTIMATE, "--mode", "contnuous"), 2, ("contnuous", "continuous")),
    (("estimate", "llama-3.1-70b", "--target", "l4"), 4, ("does not fit l4", "GiB missing", "--tp")),
    (("explain", "llama-3.2-1b", "--target", "l44"), 2, ("'l44'", "did you mean l4")),
    (("explain", "nowhere#3",), 2, ("nowhere", "run directory")),
    (("targets", "show", "l44"), 2, ("'l44'", "did you mean l4")),
    (("models", "show", "gpt22"), 2, ("gpt22", "gpt2")),
    (("report", "nowhere"), 2, ("nowhere is not a run directory",)),
    (("search", "--resume", "nowhere"), 2, ("nowhere is not a run directory",)),
    (("search", "deploymnt"), 2, ("deploymnt", "deployment")),
    (("search", "deployment", "llama-3.2-1b", "--target", ","), 2, ("no target", "--target h100-sxm")),
    ((*SEARCH, "--objectives", "latncy"), 2, ("'latncy'", "latency")),
    ((*SEARCH, "--objectives", ","), 2, ("no objective", "--objectives")),
    ((*SEARCH, "--dtype", "bf17"), 2, ("'bf17'", "bf16")),
    ((*SEARCH, "--prompt", "0"), 2, ("prompt is 0", "from 1")),
    ((*SEARCH, "--batch", "1,-3"), 2, ("--batch", "'-3'", "from 1")),
    ((*SEARCH, "--engine", "nsga3"), 2, ("'nsga3'", "nsga2")),
    ((*SEARCH, "--framework", "vlm"), 2, ("unknown framework 'vlm'", "vllm")),
    ((*SEARCH, "--mode", "in-step", "--rate", "2"), 2, ("out of step", "mode continuous")),
    ((*SEARCH, "--rate", "nan"), 2, ("rate is nan", "positive")),
    ((*SEARCH, "--where", "tfft <= 1 s"), 2, ("tfft", "ttft")),
    ((*SEARCH, *TINY, "--where", "ttft <= 1 ns"), 4, ("violates ttft <= 1 ns", "relax")),
    ((*SEARCH, *TINY, "--out", "/proc/none"), 3, ("/proc/none", "--out")),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "rc", "told"), CASES, ids=[" ".join(case[0][:4])[:40] for case in CASES])
def test_refused_with_what_to_do(
    run_codesign: RunCodesign, arguments: tuple[str, ...], rc: int, told: tuple[str, ...]
) -> None:
    refused(run_codesign, arguments, rc, told)


def refused(run_codesign: RunCodesign, arguments: tuple[str, ...], rc: int, told: tuple[str, ...]) -> None:
    """Run and check: the exit code, an empty stdout, one error line and one hint that name all of ``told``."""
    done = run_codesign(*arguments)
    assert done.rc == rc, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1, done.stderr
    assert len(lines) <= 2, done.stderr
    for words in told:
        assert words in done.stderr


def test_a_model_that_fits_nowhere_says_how_much_is_missing(run_codesign: RunCodesign) -> None:
    arguments = ("search", "deployment", "llama-3.1-70b", "--target", "l4", *TINY)
    refused(run_codesign, arguments, 4, ("memory: exceeds 92% of l4", "missing"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("problem: deployment\nspec: {model: llama-3.2-1b, targets: [l4], bathces: [1]}\n", ("'bathces'", "batches")),
        ("problem: deployment\nproblem: deployment\nspec: {}\n", ("spec.yaml:2", "duplicate key 'problem'")),
        ("problem: deployment\nspec: &a {model: llama-3.2-1b}\nsearch: *a\n", ("spec.yaml:2", "anchors")),
    ],
    ids=["unknown key", "duplicate key", "anchor"],
)
def test_specs_are_read_strictly(run_codesign: RunCodesign, tmp_path: Path, text: str, told: tuple[str, ...]) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    refused(run_codesign, ("search", "spec.yaml"), 2, told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model,target,btach\nllama-3.2-1b,l4,1\n", ("'btach'", "batch")),
        ("model,batch\nllama-3.2-1b,1\n", ("'target' is missing", "--target")),
        ("model,target,batch\nllama-3.2-1b,l4,1\nllama-3.2-1b,l4,\n", ("q.csv:3", "batch is empty")),
        ("model,target,batch\nllama-3.2-1b,l4,1\nllama-3.2-1b,l4,four\n", ("q.csv:3", "'four'", "number")),
        ("model,target\n", ("no rows",)),
        (None, ("q.csv: no such file",)),
    ],
    ids=["unknown column", "missing column", "empty cell", "text for a number", "no rows", "missing file"],
)
def test_tables_of_designs(run_codesign: RunCodesign, tmp_path: Path, text: str | None, told: tuple[str, ...]) -> None:
    if text is not None:
        (tmp_path / "q.csv").write_text(text)
    refused(run_codesign, ("estimate", "--queries", "q.csv"), 2, told)


def test_a_finished_run_is_not_overwritten_and_names_its_points(run_codesign: RunCodesign, tmp_path: Path) -> None:
    assert run_codesign(*SEARCH, *TINY, "--out", "run").rc == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    refused(run_codesign, (*SEARCH, *TINY, "--out", "run"), 2, ("run exists", "--resume", "--force"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()} == before
    refused(run_codesign, ("explain", "run#999"), 2, ("run#999", "known"))
    refused(run_codesign, ("explain", "run#x"), 2, ("names no point", "runs/X#17"))
    refused(run_codesign, ("report", "run", "--format", "xls"), 2, ("'xls'", "html"))
    (tmp_path / "file").write_text("")
    refused(run_codesign, (*SEARCH, *TINY, "--out", "file/run"), 3, ("file/run", "--out"))


def test_a_full_disk_ends_with_what_to_do(run_codesign: RunCodesign, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "q.csv").write_text("model,target\nllama-3.2-1b,l4\n")
    refused(run_codesign, ("estimate", "--queries", "q.csv", "--out", "/dev/full"), 3, ("/dev/full",))
