"""The split of an iteration: exact on trees made by hand and at random, and on recordings with known values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.profilers.iterations import annotated
from codesign.profilers.readers import read_trace
from codesign.profilers.readers.stamps import nanoseconds_of
from codesign.profilers.split import Interval, dispatch_list, split

DISPATCH = frozenset({"view", "linear"})


def test_a_hand_made_tree_splits_as_computed_by_hand() -> None:
    whole = Interval("pass", 100, 200)
    operators = [
        Interval("linear", 110, 150),  # self 40 - 5 - 25 = 10
        Interval("view", 112, 117),  # self 5
        Interval("addmm", 120, 145),  # self 25 - 3 = 22: its own time, not its leaf's
        Interval("view", 121, 124),  # self 3
        Interval("gelu", 160, 190),  # self 30
        Interval("outside", 10, 90),
        Interval("outside", 205, 300),
    ]
    found = split([whole], operators, DISPATCH)
    assert (found.iteration, found.gap, found.dispatch, found.compute) == (100, 30, 18, 52)
    assert found.compute_fraction == 0.52
    assert [(r.name, r.kind, r.calls, r.nanoseconds) for r in found.operators] == [
        ("gelu", "compute", 1, 30), ("addmm", "compute", 1, 22), ("linear", "dispatch", 1, 10),
        ("view", "dispatch", 2, 8),
    ]  # fmt: skip


def test_equal_starts_nest_the_longer_outside_and_late_ends_are_cut() -> None:
    found = split([Interval("pass", 0, 100)], [Interval("a", 0, 10), Interval("b", 0, 40)], DISPATCH)
    assert {r.name: r.nanoseconds for r in found.operators} == {"b": 30, "a": 10}
    late = split([Interval("pass", 0, 100)], [Interval("a", 90, 110)], DISPATCH)
    assert (late.gap, late.compute) == (90, 10)


@st.composite
def nested(draw: st.DrawFn) -> list[Interval]:
    """Return operators nested at random inside 0 .. 1000."""
    made: list[Interval] = []

    def fill(start: int, end: int, depth: int) -> None:
        at = start
        while end - at > 2 and draw(st.integers(0, 3)):
            first = draw(st.integers(at, end - 1))
            last = draw(st.integers(first, end))
            made.append(Interval(draw(st.sampled_from(["view", "linear", "mm", "gelu"])), first, last))
            if depth:
                fill(first, last, depth - 1)
            at = last + 1

    fill(0, 1000, 3)
    return made


@given(nested(), st.randoms(use_true_random=False))
def test_the_parts_add_up_exactly_in_any_order_of_events(operators: list[Interval], shuffle: Any) -> None:
    whole = [Interval("pass", 0, 500), Interval("pass", 600, 1000)]
    found = split(whole, operators, DISPATCH)
    assert found.gap + found.dispatch + found.compute == found.iteration == 900
    assert found.gap >= 0
    assert all(row.nanoseconds >= 0 for row in found.operators)
    shuffle.shuffle(operators)
    again = split(whole, operators, DISPATCH)
    assert (again.gap, sum(r.calls for r in again.operators)) == (found.gap, sum(r.calls for r in found.operators))


@pytest.mark.parametrize("name", ["cpu_decoder_t1.json.gz", "cpu_decoder_t128.json.gz"])
def test_the_recordings_split_to_their_reference(repository: Path, name: str) -> None:
    folder = repository / "tests" / "recordings"
    expected = json.loads((folder / "cpu_reference.json").read_text())["files"][name]
    recorded = annotated(read_trace(folder / name))
    found = split(recorded.iterations, recorded.operators, dispatch_list().operators)
    assert found.iterations == expected["iteration_count"]
    assert sum(row.calls for row in found.operators) == expected["cpu_op_count"]
    parts = {"iteration_time_us": found.iteration, "framework_gap_us": found.gap,
             "dispatch_self_us": found.dispatch, "compute_self_us": found.compute}  # fmt: skip
    assert parts == {key: nanoseconds_of(str(expected[key])) for key in parts}
    assert round(found.compute_fraction, 6) == expected["compute_fraction"]
    top = [{"name": r.name, "count": r.calls, "self_us": r.nanoseconds / 1000} for r in found.operators[:5]]
    assert top == expected["top_ops_by_self_time"]
