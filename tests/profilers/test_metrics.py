"""Every figure of a trace: against its definition on made-up traces, against published values on recorded ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import DataError
from codesign.profilers.analysis import analyse
from codesign.profilers.attribution import attribute, nesting
from codesign.profilers.idle import idle
from codesign.profilers.metrics import Window
from codesign.profilers.pairing import pair, started_by
from codesign.profilers.readers import read_trace
from codesign.profilers.tklqt import launch_latency, tklqt_per_launch
from codesign.profilers.trace import Trace
from codesign.testing.synthetic_trace import synthetic_events, write_trace
from tests.profilers.oracle import Oracle

ROOT = Path(__file__).parents[2]
SYNTHETIC = ROOT / "tests" / "recordings" / "synthetic"
SHARED = ROOT.parent / "shared" / "data" / "traces"
REFERENCE = json.loads((SYNTHETIC / "reference.json").read_text())
UNIT = 0.004
"""Microseconds of a unit of made-up time, of which a quarter is a nanosecond."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces")


def made(folder: Path, seed: int, **options: Any) -> tuple[list[dict[str, Any]], Trace]:
    events = synthetic_events(seed, unit_us=UNIT, **options)
    return events, read_trace(write_trace(folder / "trace.json", events))


def agree(expected: Any, found: Any, where: str) -> None:
    """Assert that counts are equal, times within 0.001 us or 1e-6, and everything expected is there."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert key in found, f"{where}.{key} is missing"
            agree(value, found[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(expected) == len(found), where
        for number, value in enumerate(expected):
            agree(value, found[number], f"{where}[{number}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-3), where
    else:
        assert found == expected, where


@given(seed=st.integers(0, 10**6), steps=st.integers(0, 12), step=st.integers(0, 10))
def test_made_up_traces_agree_with_the_definitions(folder: Path, seed: int, steps: int, step: int) -> None:
    events, trace = made(folder, seed, steps=steps, step=step)
    oracle = Oracle(events)
    found = analyse(trace)
    for name, value in oracle.metrics().items():
        assert found.metrics[name] == (pytest.approx(value, abs=1e-9) if isinstance(value, float) else value), name
    if found.idle is not None:
        assert (found.idle.host_wait_ns, found.idle.kernel_wait_ns, found.idle.other_ns) == oracle.idle()


@given(seed=st.integers(0, 10**6))
def test_kernels_belong_to_the_innermost_operator(folder: Path, seed: int) -> None:
    events, trace = made(folder, seed)
    oracle, pairing = Oracle(events), pair(trace)
    found = attribute(trace, pairing)
    expected = [oracle.linked(k) for k in oracle.kernels]
    start = np.append(trace.operators.start, -1)[found.operator] + trace.origin
    length = np.append(trace.operators.duration, -1)[found.operator]
    columns = zip(found.operator.tolist(), start.tolist(), length.tolist(), strict=True)
    assert [None if o is None else (o["start"], o["end"] - o["start"]) for o in expected] == [
        None if at < 0 else (begin, lasts) for at, begin, lasts in columns
    ]


@given(seed=st.integers(0, 10**6))
def test_conservation(folder: Path, seed: int) -> None:
    _, trace = made(folder, seed, steps=20)
    pairing = pair(trace)
    classes = np.stack([pairing.paired, pairing.head, pairing.orphan]).sum(axis=0)
    assert (classes == 1).all()
    assert not (pairing.attributed & ~pairing.paired).any()
    launches = pairing.launch[pairing.attributed]
    assert len(np.unique(launches)) == len(launches) == len(np.unique(pairing.launch[pairing.paired]))
    latency = launch_latency(trace, pairing)
    assert (latency.latency == latency.call + latency.queue - latency.early_start).all()
    window = Window(trace, pairing)
    if window.span is not None:
        parts = idle(trace, started_by(trace))
        assert parts.host_wait_ns + parts.kernel_wait_ns + parts.other_ns == window.span - window.busy
    found = nesting(trace.operators)
    assert (found.self_time >= 0).all()


@given(seed=st.integers(0, 10**6), shift=st.integers(0, 1_700_000_000_000_000))
def test_a_shift_of_all_times_changes_nothing(folder: Path, seed: int, shift: int) -> None:
    events, trace = made(folder, seed)
    (folder / "shifted.json").write_text(_stamped(events, shift))
    shifted = read_trace(folder / "shifted.json")
    assert analyse(shifted).metrics == analyse(trace).metrics


def _stamped(events: list[dict[str, Any]], shift: int) -> str:
    """Return the events as JSON, their stamps moved by whole microseconds and written in decimal."""
    parts = []
    for event in events:
        ns = round(event["ts"] * 1000) + shift * 1000
        rest = json.dumps({key: value for key, value in event.items() if key != "ts"})
        parts.append(f'{rest[:-1]}, "ts": {ns // 1000}.{ns % 1000:03d}}}')
    return '{"traceEvents": [' + ",".join(parts) + "]}"


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_hand_checked_traces(name: str) -> None:
    agree(REFERENCE[name], analyse(read_trace(SYNTHETIC / name)).metrics, name)


def _shared() -> list[str]:
    path = SHARED / "reference.json"
    return sorted(json.loads(path.read_text())) if path.exists() else ["absent"]


@pytest.mark.parametrize("name", _shared())
def test_real_traces_agree_with_their_reference(name: str) -> None:
    if name == "absent":
        pytest.skip("the reference traces are not beside this checkout")
    expected = json.loads((SHARED / "reference.json").read_text())[name]
    if "error" in expected:
        with pytest.raises(DataError):
            read_trace(SHARED / name)
        return
    agree(expected["values"], analyse(read_trace(SHARED / name)).metrics, name)


@pytest.mark.parametrize("name", ["cpu_decoder_t1.json.gz", "cpu_decoder_t128.json.gz"])
def test_processor_recordings_agree_with_their_reference(name: str) -> None:
    recordings = ROOT / "tests" / "recordings"
    expected = json.loads((recordings / "cpu_reference.json").read_text())["files"][name]
    expected.pop("recorded_with")
    found = analyse(read_trace(recordings / name))
    agree(expected, found.metrics, name)
    assert found.metrics["tklqt_us"] is None
    assert found.metrics["kernel_time_us"] == 0.0
    assert found.boundness.verdict == ("dispatch-bound" if name.startswith("cpu_decoder_t1.") else "compute-bound")


def test_tklqt_of_each_pass_by_hand(folder: Path) -> None:
    def launch(number: int, at: float, waits: float) -> list[dict[str, Any]]:
        common = {"ph": "X", "dur": 1.0}
        return [
            {**common, "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 1, "tid": 1, "ts": at,
             "args": {"correlation": number}},
            {**common, "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": at + waits,
             "args": {"correlation": number, "device": 0, "stream": 7}},
        ]  # fmt: skip

    events = [*launch(1, 0, 5), *launch(2, 2, 7), *launch(3, 20, 30), *launch(4, 22, -4)]
    trace = read_trace(write_trace(folder / "hand.json", events))
    low, high = np.array([0, 20_000]), np.array([10_000, 30_000])
    assert tklqt_per_launch(trace, low, high) == (6_000.0, 15_000.0)
    assert tklqt_per_launch(trace, np.array([0, 10_000]), np.array([10_000, 20_000])) == ()
