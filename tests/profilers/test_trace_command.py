"""``codesign profile TRACE`` as a user runs it, and what becomes of its run directory."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from codesign.cli.names import short, told_apart
from codesign.cli.number_lists import batch_sizes, processors
from codesign.cli.profile_trace import trace_path
from codesign.errors import UsageError
from codesign.testing.synthetic_run import HOSTILE
from codesign.testing.synthetic_trace import synthetic_events, write_trace

RECORDINGS = Path(__file__).parents[1] / "recordings"
GRAPH = RECORDINGS / "synthetic" / "graph_launch.json"
SECRET = "tok3n-of-the-author"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return write_trace(tmp_path / "trace.json", synthetic_events(3, steps=40))


def test_json_holds_every_figure_flat_and_writes_nothing(run_codesign: Any, tmp_path: Path) -> None:
    done = run_codesign("profile", str(GRAPH), "--json")
    assert done.rc == 0, done.stderr
    printed = json.loads(done.stdout)
    expected = json.loads((GRAPH.parent / "reference.json").read_text())[GRAPH.name]
    assert {name: printed["metrics"][name] for name in expected if name != "chains"} == {
        name: value for name, value in expected.items() if name != "chains"
    }
    assert printed["command"] == "profile"
    assert printed["results"]["metrics"] == printed["metrics"]
    assert printed["results"]["graphs"]["kernels"] == 3
    assert str(GRAPH.parent) not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_tables_fit_a_terminal_and_the_run_directory_is_complete(
    run_codesign: Any, trace: Path, tmp_path: Path
) -> None:
    done = run_codesign("profile", "trace.json", "--out", "run", env={"COLUMNS": "80"})
    assert done.rc == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    for words in ("TKLQT", "paired with their launch", "host wait", "Kernels by count", "Fusion: chains", "saved"):
        assert words in done.stdout
    assert "warning: coverage" in done.stderr
    assert "run/report.html" in done.stderr
    names = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert names == ["analysis.json", "report.html", "run.json"]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
    again = run_codesign("profile", "trace.json", "--out", "run")
    assert again.rc == 2
    assert "exists already" in again.stderr
    assert "--resume" not in again.stderr
    assert run_codesign("profile", "trace.json", "--out", "run", "--force", "--quiet").stderr == ""


def test_what_a_foreign_file_says_of_its_making_is_never_repeated(run_codesign: Any, tmp_path: Path) -> None:
    events = [*synthetic_events(1), {"ph": "M", "name": "process_labels", "pid": 1, "args": {"labels": SECRET}}]
    events[0]["args"]["Call stack"] = f"/home/{SECRET}/train.py"
    write_trace(
        tmp_path / "trace.json", events, environment={"HF_TOKEN": SECRET}, hostname=SECRET, command_line=f"x {SECRET}",
        metadata={"user": SECRET}, traceName=f"/home/{SECRET}/x.json", distributedInfo={"rank": 0, "host": SECRET},
        cupti_version=22, record_shapes={"nested": SECRET},
    )  # fmt: skip
    done = run_codesign("profile", "trace.json", "--out", "run")
    assert done.rc == 0, done.stderr
    written = "".join(p.read_text() for p in (tmp_path / "run").iterdir())
    printed = run_codesign("profile", "trace.json", "--json").stdout
    for text in (done.stdout, done.stderr, written, printed):
        assert SECRET not in text
    assert json.loads(printed)["results"]["facts"] == {
        "schemaVersion": "1", "cupti_version": "22", "distributed rank": "0"
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", [HOSTILE, "</script><script>alert(1)</script>", "[bold]k[/bold] | *x* `y`", "\x1b[31mred"]
)
def test_a_name_is_text_everywhere(run_codesign: Any, tmp_path: Path, name: str) -> None:
    events = synthetic_events(5, steps=30)
    for event in events:
        if event["cat"] in ("kernel", "cpu_op"):
            event["name"] = name
    write_trace(tmp_path / "trace.json", events)
    done = run_codesign("profile", "trace.json", "--out", "run", env={"FORCE_COLOR": "1", "COLUMNS": "80"})
    assert done.rc == 0, done.stderr
    assert "\x1b[31m" not in done.stdout + done.stderr
    assert json.loads((tmp_path / "run" / "analysis.json").read_text())["kernels"][0]["name"] == name
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<script>alert" not in page
    assert page.count("<script") == 2
    told = run_codesign("report", "run", "--format", "md", "--output", "-").stdout
    assert "<script" not in told
    assert "\x1b" not in told
    assert "[bold]" not in told
    width = 0
    for line in told.splitlines():
        bars = line.replace("\\|", "").count("|")
        width = width or bars if line.startswith("|") else 0
        assert bars == width


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"hello", "no JSON"),
        (b"\x00\xff\xfe\x01" * 50, "no JSON"),
        (b'{"a": 1}', "without a list of traceEvents"),
        (b'{"schema": "1.0", "nodes": []}', "execution trace"),
        (b'{"rocprofiler-sdk-tool": []}', "rocprofv3"),
        (b'{"traceEvents": [{"ph": "X", "cat": "kernel", "na', "cut off"),
        (gzip.compress(b'{"traceEvents": []}', mtime=0)[:-9], "ends too early"),
        (b"SQLite format 3\0" + b"x" * 200, "SQLite"),
        (b'{"codesign_trace":1}\n', "recording"),
    ],
)
def test_what_is_no_trace_ends_in_one_line(run_codesign: Any, tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "trace.json").write_bytes(content)
    done = run_codesign("profile", "trace.json", "--out", "run")
    assert done.rc == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "trace.json" in done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert not (tmp_path / "run").exists()


def test_files_that_are_not_there_or_no_files(run_codesign: Any, tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "run").mkdir()
    for file in ("run/run.json", "net.py", "net.pt2"):
        (tmp_path / file).touch()
    for name, says in (
        ("nothing.json", "no such file"),
        ("some/where", "no such file"),
        ("folder.json", "folder.json is a folder, no trace\nhint: name a file in it"),
        ("trace:run", "run is a run directory, no trace\nhint: codesign report run"),
        ("net.py", "py:net.py:name"),
        ("./net.pt2", "pt2:net.pt2"),
    ):
        done = run_codesign("profile", name)
        assert done.rc == 2, done.stderr
        assert says in done.stderr.lower()


def test_formats_are_told_by_content(run_codesign: Any, tmp_path: Path) -> None:
    text = json.dumps({"traceEvents": synthetic_events(2)}).encode()
    for name, content in (("a.txt", text), ("b.json", gzip.compress(text, mtime=0)), ("c", text), ("gpt2", text)):
        (tmp_path / name).write_bytes(content)
    printed = [json.loads(run_codesign("profile", n, "--json").stdout)["metrics"] for n in ("a.txt", "b.json", "c")]
    assert printed[0] == printed[1] == printed[2]
    assert json.loads(run_codesign("profile", "trace:gpt2", "--json").stdout)["metrics"] == printed[0]


def test_a_bare_name_of_a_preset_is_the_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").write_text("[]")
    (tmp_path / "mine").write_text("[]")
    assert trace_path("gpt2") is None
    assert trace_path("./gpt2") == Path("gpt2")
    assert trace_path("mine") == Path("mine")
    assert trace_path("trace:mine") == Path("mine")
    assert trace_path("py:package.module:factory") is None
    assert trace_path("hf:folder/config.json") is None
    assert trace_path("gtp2") is None
    assert trace_path("x.json.gz") == Path("x.json.gz")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--batch", "4"), "a trace takes no --batch"),
        (("--device", "cuda"), "a trace takes no --device"),
        (("--input", "1x3"), "a trace takes no --input"),
        (("--step", "9"), "the trace has no step 9\n"),
        (("--step", "9-10"), "the trace has no steps 9 to 10\n"),
        (("--step", "x"), "--step is 'x'"),
        (("--step", "1" * 5000), "at most 18 digits"),
        (("--step", "5-3"), "--step is '5-3': step 5 comes after step 3"),
        (("--class-limits", "4,10"), "--class-limits is '4,10': not three numbers"),
        (("--class-limits", "4,10,nan"), "not three numbers"),
        (("--class-limits", "0.9,10,0.5"), "the launch factor 0.9 is less than 1"),
        (("--class-limits", "10,4,0.5"), "the launch factor 10 is larger than the queue factor 4"),
        (("--class-limits", "4,10,50"), "the busy share 50 is not between 0 and 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    run_codesign: Any, trace: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = run_codesign("profile", "trace.json", *arguments)
    assert done.rc == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_limits_of_the_classes_can_be_stated(run_codesign: Any, trace: Path) -> None:
    done = run_codesign("profile", str(GRAPH), "--class-limits", "1000,2000,0.99", "--json")
    assert "1000 times and under 99%" in json.loads(done.stdout)["results"]["boundness"]["reason"]


def test_a_step_belongs_to_traces(run_codesign: Any) -> None:
    done = run_codesign("profile", "gpt2", "--step", "3")
    assert done.rc == 2
    assert "a model takes no --step" in done.stderr


def test_a_processor_trace_needs_no_kernels(run_codesign: Any, tmp_path: Path) -> None:
    done = run_codesign("profile", str(RECORDINGS / "cpu_decoder_t1.json.gz"), "--out", "run", env={"COLUMNS": "80"})
    assert done.rc == 0, done.stderr
    assert "dispatch-bound: 42% of the passes is compute" in " ".join(done.stdout.split())
    assert "kernel time" not in done.stdout
    assert "Coverage" not in done.stdout


def test_two_traces_are_compared(run_codesign: Any, tmp_path: Path) -> None:
    events = synthetic_events(8, steps=30)
    write_trace(tmp_path / "a.json", events)
    for event in events:
        if event["cat"] == "kernel":
            event["dur"] *= 2
    write_trace(tmp_path / "b.json", events)
    for name in "ab":
        assert run_codesign("profile", f"{name}.json", "--out", name).rc == 0
    done = run_codesign("compare", "a", "b", "--where", "kernel_time <= 50 %")
    assert done.rc == 4
    assert "+100.0" in done.stdout
    assert "the change of kernel_time is +100.00 %" in done.stderr


def test_a_profile_is_rendered_again(run_codesign: Any, trace: Path, tmp_path: Path) -> None:
    assert run_codesign("profile", "trace.json", "--out", "run").rc == 0
    told = run_codesign("report", "run", "--format", "md", "--output", "-")
    assert told.rc == 0, told.stderr
    assert told.stdout.startswith("# trace.json: ")
    assert "| TKLQT |" in told.stdout
    assert "\n- coverage: " in told.stdout
    assert json.loads(run_codesign("report", "run", "--json").stdout)["metrics"]["kernel_count"] > 0
    assert run_codesign("report", "run").stdout.strip() == "run/report.html"
    wrong = run_codesign("report", "run", "--format", "csv")
    assert wrong.rc == 2
    assert "a profile has no format 'csv'" in wrong.stderr
    (tmp_path / "run" / "report.html").unlink()
    assert run_codesign("report", "run").rc == 2
    shutil.copy(tmp_path / "run" / "run.json", tmp_path / "run" / "analysis.json")
    damaged = run_codesign("report", "run", "--format", "md")
    assert damaged.rc == 2
    assert "analysis.json" in damaged.stderr


def test_names_keep_what_tells_them_apart() -> None:
    kernel = (
        "void at::native::vectorized_elementwise_kernel<4, at::native::{}<float>, std::array<char*, 3> >(int, char)"
    )
    names = {short(kernel.format(name), 50) for name in ("CUDAFunctor_add", "AUnaryFunctor")}
    assert len(names) == 2
    assert all(len(name) <= 50 and "(int" not in name for name in names)
    assert short("aten::mm", 50) == "mm"
    assert short("x" * 200, 20) == "x" * 6 + "..." + "x" * 11


def test_names_that_would_look_the_same_show_where_they_differ() -> None:
    tiles = [f"{'Cijk_Alik_Bljk_BBS_BH_' * 4}MT{tile}x32_MI16{'_WSGRA0_WSGRB0' * 6}" for tile in (64, 128, 256)]
    assert len({short(name, 40) for name in tiles}) == 1
    shown = told_apart([*tiles, "mm"], 40)
    assert len(set(shown)) == 4
    assert all(len(text) <= 40 for text in shown)
    assert all(f"MT{tile}" in text for tile, text in zip((64, 128, 256), shown, strict=False))


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("1", (1,)), ("4,1,4", (1, 4)), ("1,2,4,...,64", (1, 2, 4, 8, 16, 32, 64)),
        ("1,2,...,32", (1, 2, 4, 8, 16, 32)),
        ("1,2,3,...,6", (1, 2, 3, 4, 5, 6)), ("10,20,30,...,50", (10, 20, 30, 40, 50)), ("3,9,...,81", (3, 9, 27, 81)),
        ("1,2,4,...,16,100", (1, 2, 4, 8, 16, 100)),
    ],
)  # fmt: skip
def test_batch_sizes(text: str, sizes: tuple[int, ...]) -> None:
    assert batch_sizes(text) == sizes


@pytest.mark.parametrize(
    "text", ["", "1,,2", "...,4", "1,...,4", "1,2,...", "1,2,4,...,60", "4,2,...,64", "1.5", "0,2"]
)
def test_batch_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--batch"):
        batch_sizes(text)


def test_processors_to_pin_to() -> None:
    assert processors(None) is None
    assert processors("0-2,5") == (0, 1, 2, 5)
    for text in ("", "a", "3-1", "1-"):
        with pytest.raises(UsageError, match="--pin"):
            processors(text)
