"""What is said of a trace that the figures alone would hide, and odd traces whose figures stay right."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from codesign.errors import DataError
from codesign.profilers.analysis import Analysis, analyse
from codesign.profilers.intervals import total
from codesign.profilers.readers import read_trace
from codesign.profilers.readers.recording import read_recording, write_recording
from codesign.profilers.trace import Trace
from codesign.testing.synthetic_trace import write_trace
from tests.profilers.kineto_files import event, written


def launch(number: int, start: float, duration: float = 1.0, pid: int = 1, tid: int = 1) -> dict[str, Any]:
    return event("cuda_runtime", "cudaLaunchKernel", start, duration, pid=pid, tid=tid, args={"correlation": number})


def kernel(number: int, start: float, duration: float = 2.0, name: str = "k", device: int = 0) -> dict[str, Any]:
    where = {"correlation": number, "device": device, "stream": 7}
    return event("kernel", name, start, duration, pid=device, tid=7, args=where)


def analysed(folder: Path, events: list[dict[str, Any]]) -> Analysis:
    return analyse(read_trace(write_trace(folder / "trace.json", events)))


def said(found: Analysis) -> str:
    return "\n".join(found.warnings)


def test_sums_beyond_int64_are_exact() -> None:
    column = np.array([2**62, 2**62, 2**62, -(2**61), 3], np.int64)
    assert total(column) == sum(column.tolist())


def test_waits_that_add_up_to_centuries_neither_wrap_nor_end_in_an_assertion(tmp_path: Path) -> None:
    far = 2.0**49 / 1e3
    late = [e for n in range(1, 20_001) for e in (launch(n, 0, 0.001), kernel(n, far, 0.001))]
    found = analysed(tmp_path, late)
    assert found.metrics["tklqt_us"] == pytest.approx(20_000 * far)
    assert found.metrics["queue_us"] == pytest.approx(20_000 * far)
    early = [e for n in range(1, 20_001) for e in (launch(n, far, 0.001), kernel(n, 0, 0.001))]
    assert analysed(tmp_path, early).metrics["tklqt_us"] == pytest.approx(-20_000 * far)


def test_durations_that_add_up_to_centuries_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", [event("kernel", "k", 0, 2.0**50 / 1e3) for _ in range(9_000)])
    with pytest.raises(DataError, match=r"a\.json is damaged: the durations of its work add up to more than 146 years"):
        read_trace(path)


def test_work_of_an_unknown_device_is_no_device_more(tmp_path: Path) -> None:
    events = [event("cpu_op", "aten::mm", 0, 5), launch(1, 0), kernel(1, 3, 10)]
    alone, beside = analysed(tmp_path, events), analysed(tmp_path, [*events, event("gpu_memset", "m", 6, 1, pid="x")])
    for name in ("gpu_idle_in_il_us", "gpu_busy_us", "gpu_span_us", "device_count"):
        assert alone.metrics[name] == beside.metrics[name]
    assert alone.boundness == beside.boundness
    assert "device events that name no device, and count for none: 1" in said(beside)


def test_kernels_before_every_operator_are_said(tmp_path: Path) -> None:
    found = analysed(tmp_path, [launch(1, 0), kernel(1, 5, 10), event("cpu_op", "aten::mm", 1_000, 5)])
    assert found.metrics["inference_latency_us"] == -985.0
    assert "the inference latency is negative and tells nothing" in said(found)
    assert found.boundness.utilisation == 1.0  # of the device's span


def test_launches_of_several_processes_are_said(tmp_path: Path) -> None:
    events = [launch(1, 0), kernel(1, 3), launch(2, 10, pid=2), kernel(2, 13)]
    assert "2 processes launch kernels" in said(analysed(tmp_path, events))
    assert "processes" not in said(analysed(tmp_path, events[:2]))


def test_kernels_without_a_launch_are_told_apart_from_ambiguous_ones(tmp_path: Path) -> None:
    shared = [launch(1, 0), launch(1, 0, pid=2), kernel(1, 3)]
    assert "the rest: 1 with launches of several processes" in said(analysed(tmp_path, shared))
    lost = [launch(1, 0), kernel(1, 3), kernel(9, 20)]
    assert "the rest: 1 without a launch in the trace" in said(analysed(tmp_path, lost))


def test_a_call_that_blocks_an_idle_device_for_most_of_the_window_is_said(tmp_path: Path) -> None:
    events = [launch(1, 0), kernel(1, 3), event("cuda_runtime", "cudaMemcpyAsync", 10, 1_000)]
    assert "one call of cudaMemcpyAsync blocks the host for 1 ms, 99% of the window" in said(analysed(tmp_path, events))
    waiting = [launch(1, 0), kernel(1, 3, 990), event("cuda_runtime", "cudaDeviceSynchronize", 10, 1_000)]
    assert "blocks the host" not in said(analysed(tmp_path, waiting))  # the device works meanwhile


def test_what_the_profiler_itself_took_is_a_figure(tmp_path: Path) -> None:
    events = [event("overhead", "Activity Buffer Request", at, 5_000) for at in (0, 2_000, 20_000)]
    assert analysed(tmp_path, [*events, launch(1, 0), kernel(1, 3)]).metrics["profiler_overhead_us"] == 12_000.0


def test_an_operator_within_itself_counts_once(tmp_path: Path) -> None:
    nested = [event("cpu_op", "aten::copy_", 0, 100), event("cpu_op", "aten::to", 10, 80)]
    nested += [event("cpu_op", "aten::copy_", 20, 60), event("cpu_op", "aten::copy_", 20, 50, tid=2)]
    uses = {use.name: use for use in analysed(tmp_path, nested).operators}
    assert (uses["aten::copy_"].count, uses["aten::copy_"].time_us, uses["aten::copy_"].longest_us) == (3, 150.0, 100.0)
    assert uses["aten::copy_"].self_us == 20.0 + 60.0 + 50.0


def test_collectives_of_no_length_are_no_error(run_codesign: Any, tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.json", [launch(1, 0), kernel(1, 3, 0, name="ncclKernel")])
    done = run_codesign("profile", "trace.json")
    assert done.rc == 0, done.stderr
    assert "Communication beside computation" in done.stdout


def changed(trace: Trace, **fields: Any) -> Trace:
    return msgspec.structs.replace(trace, **fields)


def test_a_recording_shows_nothing_but_what_ours_write(tmp_path: Path) -> None:
    trace = read_trace(write_trace(tmp_path / "trace.json", [launch(1, 0), kernel(1, 3)]))
    secret = "TOKEN=hunter2"
    write_recording(
        changed(
            trace, facts={"AWS": secret, "torch": "2.13.0", "schemaVersion": "1\x1b[31m"}, skipped={secret: 3},
            device_names=("H\x1b[31m100",),
        ),
        tmp_path / "a.trace",
    )  # fmt: skip
    back = read_recording(tmp_path / "a.trace")
    assert back.facts == {"torch": "2.13.0", "schemaVersion": "1[31m"}
    assert back.skipped == {"for a reason that this program does not know": 3}
    assert back.device_names == ("H[31m100",)
    write_recording(changed(trace, format=secret), tmp_path / "b.trace")
    with pytest.raises(DataError, match="unknown kind") as caught:
        read_recording(tmp_path / "b.trace")
    assert secret not in str(dataclasses.asdict(caught.value) if dataclasses.is_dataclass(caught.value) else caught)


@pytest.mark.parametrize(("count", "seconds"), [(50_000, 20.0)])
def test_many_threads_and_devices_cost_no_square(tmp_path: Path, count: int, seconds: float) -> None:
    from time import process_time

    events = [each for n in range(1, count) for each in (launch(n, n, tid=n), kernel(n, n + 2, device=n))]
    trace = read_trace(write_trace(tmp_path / "trace.json", events))
    began = process_time()
    assert analyse(trace).metrics["device_count"] == count - 1
    assert process_time() - began < seconds
