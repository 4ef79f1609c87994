"""Which stretches of a trace are its passes, on however many threads, and what their verdict is a share of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codesign.profilers.analysis import Analysis, analyse
from codesign.profilers.iterations import ANNOTATION, WINDOW
from codesign.profilers.readers import read_trace
from codesign.testing.synthetic_trace import write_trace
from tests.profilers.kineto_files import event


def operator(name: str, start: float, duration: float, thread: int = 1) -> dict[str, Any]:
    return event("cpu_op", f"aten::{name}", start, duration, tid=thread)


def marked(name: str, start: float, duration: float, thread: int = 1) -> dict[str, Any]:
    return event("user_annotation", name, start, duration, tid=thread)


def analysed(folder: Path, events: list[dict[str, Any]]) -> Analysis:
    return analyse(read_trace(write_trace(folder / "trace.json", events)))


def split_of(found: Analysis) -> tuple[Any, ...]:
    names = ("iteration_kind", "iteration_count", "iteration_time_us", "framework_gap_us", "dispatch_self_us",
             "compute_self_us")  # fmt: skip
    return tuple(found.metrics[name] for name in names)


def test_passes_of_several_threads_add_up(tmp_path: Path) -> None:
    events = [
        each
        for thread in (1, 2)
        for at in (0, 100)
        for each in (
            marked(ANNOTATION, at, 50, thread),
            operator("view", at + 1, 4, thread),
            operator("mm", at + 10, 10 * thread, thread),
        )
    ]
    found = analysed(tmp_path, events)
    assert split_of(found) == ("annotated", 4, 200.0, 124.0, 16.0, 60.0)
    assert found.boundness.reason.startswith("dispatch-bound: 30% of the passes is compute")
    assert found.warnings == ()


def test_of_ranges_within_each_other_the_outer_one_counts(tmp_path: Path) -> None:
    events = [marked(ANNOTATION, 0, 100), marked(ANNOTATION, 50, 100), marked(ANNOTATION, 10, 20)]
    assert split_of(analysed(tmp_path, [*events, operator("mm", 20, 40)]))[1:3] == (1, 100.0)


def test_a_range_that_repeats_and_holds_the_operators_is_the_pass(tmp_path: Path) -> None:
    events = [each for at in (0, 1_000) for each in (marked("my_step", at, 100), operator("mm", at + 25, 50))]
    found = analysed(tmp_path, [*events, marked("once", 0, 1_100), marked("small", 30, 1), marked("small", 40, 1)])
    assert split_of(found) == ("'my_step'", 2, 200.0, 100.0, 0.0, 100.0)
    assert "50% of the ranges 'my_step' is compute" in found.boundness.reason


def test_without_marks_the_window_counts_and_is_called_so(tmp_path: Path) -> None:
    few, many = [operator("mm", 5, 990, 2)], [operator("view", 10 * n, 1) for n in range(100)]
    found = analysed(tmp_path, [*few, *many])
    assert split_of(found)[:3] == (WINDOW, 1, 990.0)  # of the thread of most time, not of most calls
    assert "of the time from the first operator to the last, as no passes are marked, is compute" in (
        found.boundness.reason
    )
    assert any("the passes hold 90.8% of the time in operators" in warning for warning in found.warnings)


def test_passes_without_operators_decide_nothing(tmp_path: Path) -> None:
    found = analysed(tmp_path, [marked("ProfilerStep#1", 0, 10), operator("mm", 20, 5)])
    assert found.boundness.verdict == ""
    assert "no operator runs within the passes" in found.boundness.reason


@pytest.mark.parametrize("stray", ["gpu_memset", "gpu_memcpy"])
def test_a_stray_copy_does_not_hide_the_passes(tmp_path: Path, stray: str) -> None:
    events = [marked(ANNOTATION, 0, 100), operator("mm", 10, 80)]
    found = analysed(tmp_path, [*events, event(stray, "Memset", 50, 1, args={"device": 0, "stream": 7})])
    assert found.boundness.verdict == "compute-bound"
