"""Unions, cover, gaps, nesting: against counting nanoseconds one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.profilers.intervals import Innermost, Spans, clipped, common, covered, groups, nested, union
from codesign.profilers.trace import Int64

PAIRS = st.lists(st.tuples(st.integers(-20, 60), st.integers(0, 30)), max_size=12)


def columns(pairs: list[tuple[int, int]]) -> tuple[Int64, Int64]:
    """Return starts and ends of (start, length)."""
    given = np.array(pairs, np.int64).reshape(-1, 2)
    return given[:, 0], given.sum(axis=1)


def moments(start: Int64, end: Int64) -> set[int]:
    """Return every whole moment inside."""
    return {t for s, e in zip(start.tolist(), end.tolist(), strict=True) for t in range(s, e)}


@given(PAIRS)
def test_a_union_holds_each_moment_once_in_disjoint_rising_pieces(pairs: list[tuple[int, int]]) -> None:
    start, end = columns(pairs)
    found = union(start, end)
    assert moments(*found) == moments(start, end)
    assert found.length == len(moments(start, end))
    assert (found.end > found.start).all()
    assert (found.start[1:] > found.end[:-1]).all()


@given(PAIRS, PAIRS)
def test_cover_counts_each_moment_of_a_window(pairs: list[tuple[int, int]], windows: list[tuple[int, int]]) -> None:
    start, end = columns(pairs)
    low, high = columns(windows)
    inside = moments(start, end)
    spans = union(start, end)
    expected = [len(inside & set(range(a, b))) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    assert covered(spans, low, high).tolist() == expected
    assert [clipped(spans, a, b).length for a, b in zip(low.tolist(), high.tolist(), strict=True)] == expected


def test_a_window_that_ends_before_it_starts_covers_nothing() -> None:
    spans = union(*columns([(0, 10)]))
    assert covered(spans, np.array([8]), np.array([3])).tolist() == [0]


@given(PAIRS, PAIRS)
def test_what_two_sets_have_in_common(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    a, b = columns(first), columns(second)
    assert common(union(*a), union(*b)) == len(moments(*a) & moments(*b))


@given(PAIRS, st.lists(st.integers(-25, 95), max_size=9))
def test_the_innermost_interval_around_a_moment_started_last(pairs: list[tuple[int, int]], asked: list[int]) -> None:
    start, end = columns(pairs)
    found = Innermost(start, end).at(np.array(asked, np.int64))
    for moment, at in zip(asked, found.tolist(), strict=True):
        around = [i for i in range(len(start)) if start[i] <= moment <= end[i]]
        if not around:
            assert at == -1
            continue
        assert (int(start[at]), -int(end[at])) == max((int(start[i]), -int(end[i])) for i in around)


@given(PAIRS)
def test_nesting_cuts_children_and_leaves_no_negative_self_time(pairs: list[tuple[int, int]]) -> None:
    start, end = columns(pairs)
    parent, cut = nested(start, end)
    own = cut - start
    assert (cut <= end).all()
    assert (cut >= start).all()
    for child, around in enumerate(parent.tolist()):
        if around >= 0:
            assert start[around] <= start[child] < cut[around]
            assert cut[child] <= cut[around]
            own[around] -= cut[child] - start[child]
    assert (own >= 0).all()
    roots = parent < 0
    # what stands alone does not overlap, and together self times are the time covered by it
    assert union(start[roots], cut[roots]).length == int((cut - start)[roots].sum()) == int(own.sum())


@given(PAIRS)
def test_nesting_is_that_of_a_stack(pairs: list[tuple[int, int]]) -> None:
    start, end = columns(pairs)
    parent, cut = nested(start, end)
    order = sorted(range(len(start)), key=lambda i: (start[i], -end[i]))
    ends, stack = end.tolist(), list[int]()
    for i in order:
        while stack and start[i] >= ends[stack[-1]]:
            stack.pop()
        assert parent[i] == (stack[-1] if stack else -1)
        ends[i] = min(ends[i], ends[stack[-1]]) if stack else ends[i]
        stack.append(i)
    assert cut.tolist() == ends


def test_a_child_that_ends_late_ends_with_its_parent() -> None:
    parent, cut = nested(np.array([0, 5, 10]), np.array([10, 11, 20]))
    assert parent.tolist() == [-1, 0, -1]
    assert cut.tolist() == [10, 10, 20]


@given(st.lists(st.integers(-3, 3)))
def test_groups_are_a_partition_in_order(keys: list[int]) -> None:
    found = list(groups(np.array(keys, np.int64)))
    assert [key for key, _ in found] == sorted(set(keys))
    for key, rows in found:
        assert rows.tolist() == [i for i, k in enumerate(keys) if k == key]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 127, 128, 129])
def test_sizes_around_powers_of_two(size: int) -> None:
    start = np.arange(size, dtype=np.int64)
    end = np.full(size, size + 1, np.int64)
    assert Innermost(start, end).at(np.arange(size, dtype=np.int64)).tolist() == list(range(size))
    assert union(start, end).length == (size + 1 if size else 0)
    assert isinstance(union(start, end), Spans)
