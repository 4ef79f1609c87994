"""Chains of kernels and what fusing them could save: against counting them one by one, and by hand."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.profilers.analysis import Analysis, analyse
from codesign.profilers.chains import chains, ideal_launch_ratio, separate, sequence
from codesign.profilers.pairing import pair
from codesign.profilers.readers import read_trace
from codesign.profilers.trace import Trace
from codesign.testing.synthetic_trace import write_trace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chains")


def launched(names: list[tuple[int, str]], graph: bool = False) -> list[dict[str, Any]]:
    """Return kernels of (stream, name) 10 us apart, each with an operator and a launch of its own."""
    events: list[dict[str, Any]] = []
    for number, (stream, name) in enumerate(names):
        at, common = 10 * number, {"ph": "X", "pid": 1, "tid": 1}
        launch = "cudaGraphLaunch" if graph else "cudaLaunchKernel"
        events += [
            {**common, "cat": "cpu_op", "name": f"aten::{name}", "ts": at, "dur": 8, "args": {}},
            {**common, "cat": "cuda_runtime", "name": launch, "ts": at + 1, "dur": 2,
             "args": {"correlation": number + 1}},
            {**common, "cat": "kernel", "name": name, "pid": 0, "tid": stream, "ts": at + 5, "dur": 1,
             "args": {"correlation": number + 1, "device": 0, "stream": stream}},
        ]  # fmt: skip
    return events


def read(folder: Path, events: list[dict[str, Any]]) -> Trace:
    return read_trace(write_trace(folder / "trace.json", events))


def by_hand(names: list[tuple[int, str]], length: int) -> dict[str, Any]:
    """Return distinct, deterministic and fused chains by looking at every window."""
    streams: dict[int, list[str]] = defaultdict(list)
    for stream, name in names:
        streams[stream].append(name)
    windows: Counter[tuple[str, ...]] = Counter()
    for row in streams.values():
        windows.update(tuple(row[i : i + length]) for i in range(len(row) - length + 1))
    firsts = Counter(name for _, name in names)
    sure = {c for c, n in windows.items() if n >= 2 and n == firsts[c[0]]}
    fused = 0
    for row in streams.values():
        at = 0
        while at + length <= len(row):
            hit = tuple(row[at : at + length]) in sure
            fused += hit
            at += length if hit else 1
    total = len(names)
    ratio = round(total / (total - fused * (length - 1)), 6) if total else None
    return {"distinct": len(windows), "deterministic": len(sure), "fused": fused, "ideal_launch_ratio": ratio}


@given(st.lists(st.tuples(st.sampled_from([7, 20]), st.sampled_from("abc")), max_size=40), st.integers(1, 4))
def test_chains_agree_with_looking_at_every_window(folder: Path, names: list[tuple[int, str]], turns: int) -> None:
    found = analyse(read(folder, launched(names * turns))).metrics["chains"]
    assert list(found) == ["2", "4", "8", "16", "32", "64", "128", "256"]
    for length in (2, 4, 8, 16, 32, 64):
        assert found[str(length)] == by_hand(names * turns, length), length


@given(st.lists(st.integers(0, 60), unique=True), st.integers(1, 9))
def test_separate_places_do_not_overlap_and_leave_no_room(places: list[int], length: int) -> None:
    import numpy as np

    rising = np.array(sorted(places), np.int64)
    taken = separate(rising, length).tolist()
    assert all(b - a >= length for a, b in pairwise(taken))
    for place in rising.tolist():
        assert any(abs(place - t) < length for t in taken)


def test_a_long_chain_is_found_once_at_every_length(folder: Path) -> None:
    names = [(7, f"k{i}") for i in range(256)] * 3
    trace = read(folder, launched(names))
    rows = chains(sequence(trace, pair(trace)))
    # every window of the same phase is the same chain; the last turn cuts those that begin late
    assert [len(row.count) for row in rows] == [256] * 8
    assert [int(row.deterministic.sum()) for row in rows] == [257 - row.length for row in rows]
    assert len(rows[-1].fused) == 3


def advice(folder: Path, events: list[dict[str, Any]], **options: Any) -> Analysis:
    return analyse(read(folder, events), **options)


def test_advice_by_hand(folder: Path) -> None:
    block = [(7, "norm"), (7, "mm"), (7, "gelu"), (7, "mm2")]
    found = advice(folder, launched([(7, "first"), *block * 3, (7, "last")]), floor_us=4.5).fusion
    assert found is not None
    best = found.chains[0]
    assert best.kernels == ("norm", "mm", "gelu", "mm2")
    assert (best.occurrences, best.score, best.launches_saved) == (3, 1.0, 9)
    assert best.ideal_launch_ratio == round(14 / 5, 6)
    assert best.time_saved_us == pytest.approx(9 * 4.5)
    assert best.operators == ("aten::norm", "aten::mm", "aten::gelu", "aten::mm2")
    assert found.places[0].name == "aten::norm"
    assert found.places[0].launches_saved == 9
    assert sorted(number for place in found.places for number in place.chains) == list(range(len(found.chains)))
    assert (found.floor_us, found.floor_source) == (4.5, "empty kernels on this device")


def test_deterministic_chains_come_before_those_that_save_more(folder: Path) -> None:
    # "a" is followed by "b" always; "c" by "d" more often, but not always
    names = [(7, n) for n in "abx" * 2 + "cdy" * 5 + "cz"]
    found = advice(folder, launched(names)).fusion
    assert found is not None
    scores = [c.score for c in found.chains]
    assert scores == sorted(scores, key=lambda s: s < 1.0)
    first_uncertain = next(c for c in found.chains if c.score < 1.0)
    assert first_uncertain.score == pytest.approx(5 / 6)


def test_chains_of_one_length_do_not_overlap(folder: Path) -> None:
    names = [(7, f"k{i % 12}") for i in range(120)]
    found = advice(folder, launched(names)).fusion
    assert found is not None
    for length in {len(c.kernels) for c in found.chains}:
        same = [c for c in found.chains if len(c.kernels) == length]
        assert sum(c.occurrences * length for c in same) <= 120


def test_kernels_of_graphs_save_nothing(folder: Path) -> None:
    found = advice(folder, launched([(7, n) for n in "abab"], graph=True)).fusion
    assert found is not None
    assert found.chains == ()
    assert (found.kernels, found.graph_kernels) == (4, 4)


def test_kernels_without_a_launch_save_nothing(folder: Path) -> None:
    events = [event for event in launched([(7, n) for n in "abab"]) if event["cat"] != "cuda_runtime"]
    found = advice(folder, events).fusion
    assert found is not None
    assert (found.chains, found.kernels) == ((), 4)


def test_a_chain_launched_by_two_threads_is_of_no_module(folder: Path) -> None:
    events = launched([(7, n) for n in "abab"])
    for event in events:
        if event["cat"] == "cuda_runtime":
            event["tid"] = 1 + event["args"]["correlation"] % 2
    for thread in (1, 2):
        events.append({"ph": "X", "cat": "python_function", "name": f"nn.Module: Of{thread}", "pid": 1, "tid": thread,
                       "ts": 0, "dur": 99, "args": {}})  # fmt: skip
    found = advice(folder, events).fusion
    assert found is not None
    assert found.chains[0].module == ""


def test_long_names_are_cut_in_chains(folder: Path) -> None:
    long = ["x" * 5_000 + end for end in "ab"]
    found = advice(folder, launched([(7, n) for n in long * 3])).fusion
    assert found is not None
    assert {len(name) for name in found.chains[0].kernels} == {403}


def test_a_floor_at_or_below_zero_promises_no_time(folder: Path) -> None:
    events = launched([(7, n) for n in "abab"])
    for event in events:
        if event["cat"] == "kernel":
            event["ts"] -= 40
    found = advice(folder, events)
    assert found.fusion is not None
    assert found.fusion.floor_us is None
    assert all(c.time_saved_us is None for c in found.fusion.chains)


def test_the_module_around_a_chain_is_named(folder: Path) -> None:
    events = launched([(7, n) for n in "abab"])
    for turn in range(2):
        events.append({"ph": "X", "cat": "python_function", "name": f"nn.Module: LlamaMLP_{turn}", "pid": 1, "tid": 1,
                       "ts": 20 * turn, "dur": 19, "args": {}})  # fmt: skip
    found = advice(folder, events).fusion
    assert found is not None
    assert found.chains[0].module == found.places[0].name == "LlamaMLP"


def test_ratio_without_kernels() -> None:
    assert ideal_launch_ratio(0, 4, 0) is None
    assert ideal_launch_ratio(10, 4, 3) == 10.0
