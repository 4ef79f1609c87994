"""Classes and warnings: the published table, limits at their edge, and what a reader is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codesign.profilers.analysis import Analysis, analyse
from codesign.profilers.boundness import Thresholds, boundness, processor_boundness
from codesign.profilers.iterations import steps
from codesign.profilers.readers import read_trace
from codesign.testing.synthetic_trace import write_trace

TABLE = {
    "bert_small_h100": ("launch-bound", 5.526, 0.08), "bert_small_mi300x": ("launch-bound", 17.4, 0.11),
    "nsfw_vit_h100": ("launch-bound", 5.531, 0.16), "dlrm_v100_rank0": ("launch-bound", 6.0, 0.46),
    "linear_2080ti": ("launch-bound", 13.0, 0.19), "nccl_a100": ("launch-bound", 9.6, 0.24),
    "gpu_only_mi210": ("GPU-bound", 7.778, 0.89), "resnet50_v100_old_schema": ("GPU-bound", 11.0, 0.57),
    "timesformer_mi300x": ("GPU-bound", 20.0, 0.83), "ns_timestamps_v100": ("GPU-bound", 20.0, 0.98),
}  # fmt: skip
"""Trace -> class, floor in us, utilisation, of the reference traces."""

SHARED = Path(__file__).parents[3] / "shared" / "data" / "traces"


@pytest.mark.parametrize("name", sorted(TABLE))
def test_the_classes_of_the_reference_traces(name: str) -> None:
    path = SHARED / f"{name}.json.gz"
    if not path.exists():
        pytest.skip("the reference traces are not beside this checkout")
    verdict, floor, busy = TABLE[name]
    found = analyse(read_trace(path)).boundness
    assert found.verdict == verdict
    assert found.floor_us == pytest.approx(floor, abs=1e-3)
    assert found.utilisation == pytest.approx(busy, abs=0.006)
    assert found.reason.startswith(verdict)


def figures(**given: Any) -> dict[str, Any]:
    return {
        "launch_latency_p05_us": 5.0, "launch_latency_p50_us": 20.0, "inference_latency_us": 100.0,
        "gpu_busy_in_il_us": 49.0, "gpu_busy_us": 49.0, "gpu_span_us": 100.0, "kernel_count": 3, **given,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({}, "launch-bound"),
        ({"launch_latency_p50_us": 20.001}, "mixed"),
        ({"gpu_busy_in_il_us": 50.0}, "mixed"),
        ({"gpu_busy_in_il_us": 50.0, "launch_latency_p50_us": 50.0}, "mixed"),
        ({"gpu_busy_in_il_us": 50.0, "launch_latency_p50_us": 50.001}, "GPU-bound"),
        ({"gpu_busy_in_il_us": 49.9, "launch_latency_p50_us": 50.001}, "mixed"),
        ({"launch_latency_p05_us": 900.0, "launch_latency_p50_us": 80.0}, "launch-bound"),
        ({"inference_latency_us": None, "gpu_busy_us": 90.0, "launch_latency_p50_us": 60.0}, "GPU-bound"),
        ({"launch_latency_p50_us": None, "launch_latency_p05_us": None}, ""),
        ({"inference_latency_us": 0.0, "gpu_span_us": 0.0}, ""),
        ({"inference_latency_us": -10.0, "gpu_busy_in_il_us": 0.0}, "launch-bound"),
        ({"launch_latency_p05_us": 0.0, "launch_latency_p50_us": 1.0}, ""),
        ({"launch_latency_p05_us": -12.0, "launch_latency_p50_us": -10.0}, ""),
    ],
)
def test_limits_at_their_edge(given: dict[str, Any], verdict: str) -> None:
    assert boundness(figures(**given), 1).verdict == verdict


def test_two_devices_share_the_time() -> None:
    assert boundness(figures(gpu_busy_in_il_us=90.0), 2).utilisation == pytest.approx(0.45)


def test_limits_can_be_stated_and_are_printed() -> None:
    found = boundness(
        figures(launch_latency_p50_us=30.0), 1, Thresholds(launch_factor=6.0, queue_factor=12.0, busy=0.6)
    )
    assert found.verdict == "launch-bound"
    assert "up to 6 times and under 60%" in found.reason
    assert processor_boundness(0.5).verdict == "mixed"
    assert processor_boundness(0.499).verdict == "dispatch-bound"
    assert processor_boundness(0.75).verdict == "compute-bound"


def event(
    category: str, name: str, ts: float, dur: float, pid: int = 1, tid: int = 1, **arguments: Any
) -> dict[str, Any]:
    return {"ph": "X", "cat": category, "name": name, "ts": ts, "dur": dur, "pid": pid, "tid": tid, "args": arguments}


def launch(number: int, at: float, pid: int = 1, call: float = 1.0) -> dict[str, Any]:
    return event("cuda_runtime", "cudaLaunchKernel", at, call, pid, pid, correlation=number)


def kernel(number: int, at: float) -> dict[str, Any]:
    return event("kernel", "k", at, 2.0, 0, 7, correlation=number, device=0, stream=7)


def analysed(path: Path, events: list[dict[str, Any]]) -> Analysis:
    return analyse(read_trace(write_trace(path / "trace.json", events)))


def test_launches_of_several_processes_with_one_id_are_not_guessed(tmp_path: Path) -> None:
    events = [launch(1, 0), launch(1, 1, pid=2), launch(2, 3), kernel(1, 10), kernel(2, 20)]
    found = analysed(tmp_path, events)
    assert found.metrics["paired_kernel_count"] == 1
    assert any("several processes" in w for w in found.warnings)
    assert any(w.startswith("coverage: only 50.0% of the kernels") for w in found.warnings)


def test_repeated_ids_count_once_and_are_said(tmp_path: Path) -> None:
    found = analysed(tmp_path, [launch(1, 0), kernel(1, 5), kernel(1, 9)])
    assert found.metrics["tklqt_us"] == 5.0
    assert found.metrics["launch_call_us"] == 1.0
    assert found.metrics["tklqt_every_kernel_us"] == 14.0
    assert any("correlation id of another one, of which only the first counts: 1 kernel" in w for w in found.warnings)


def test_a_launch_that_loads_modules_is_said(tmp_path: Path) -> None:
    events = [e for n in range(1, 9) for e in (launch(n, 10.0 * n), kernel(n, 10.0 * n + 5))]
    assert not any("modules" in w for w in analysed(tmp_path, events).warnings)
    events += [launch(99, 200, call=3e6), kernel(99, 3e6 + 300)]
    assert any("1 launch call took 3 s," in w for w in analysed(tmp_path, events).warnings)


def test_early_kernels_and_empty_traces_are_said(tmp_path: Path) -> None:
    assert any(
        "before their launch start 1 kernel" in w for w in analysed(tmp_path, [launch(1, 5), kernel(1, 2)]).warnings
    )
    assert analysed(tmp_path, []).warnings == ("the trace holds no events",)
    annotated = [event("user_annotation", "x", 0, 1)]
    assert analysed(tmp_path, annotated).warnings == ("the trace holds neither operators nor device work",)


def test_external_ids_are_a_cross_check(tmp_path: Path) -> None:
    def one(number: int, external: int) -> list[dict[str, Any]]:
        at = 10.0 * number
        call = event("cuda_runtime", "cudaLaunchKernel", at + 1, 1, correlation=number, **{"External id": external})
        return [event("cpu_op", "aten::mm", at, 8, **{"External id": number}), call, kernel(number, at + 4)]

    agreeing = [e for n in range(1, 11) for e in one(n, n)]
    assert not any("external ids" in w for w in analysed(tmp_path, agreeing).warnings)
    some = [e for n in range(1, 11) for e in one(n, n if n < 6 else 77)]
    assert any("external ids of 5 of 10" in w for w in analysed(tmp_path, some).warnings)
    apart = [e for n in range(1, 11) for e in one(n, n + 500)]  # numbered apart, as old writers do
    assert not any("external ids" in w for w in analysed(tmp_path, apart).warnings)


def test_communication_beside_computation_by_hand(tmp_path: Path) -> None:
    def run(name: str, at: float, length: float, stream: int) -> dict[str, Any]:
        return event("kernel", name, at, length, 0, stream, device=0, stream=stream)

    events = [run("gemm", 0, 10, 7), run("ncclDevKernel_AllReduce", 6, 10, 20), run("gemm", 15, 5, 7)]
    found = analysed(tmp_path, events).overlap
    assert found is not None
    assert (found.communication_ns, found.computation_ns, found.both_ns) == (10_000, 15_000, 5_000)
    assert analysed(tmp_path, events[:1]).overlap is None


def test_steps_are_cut_out_with_the_work_they_started(tmp_path: Path) -> None:
    events = []
    for number in (3, 4, 5):
        at = 100.0 * number
        events += [
            event("user_annotation", f"ProfilerStep#{number}", at, 90), event("cpu_op", "aten::mm", at + 5, 5),
            launch(number, at + 6), kernel(number, at + 120),  # it runs in the next step
        ]  # fmt: skip
    trace = read_trace(write_trace(tmp_path / "trace.json", events))
    whole, cut = analyse(trace), analyse(steps(trace, 4, 4))
    assert (whole.metrics["kernel_count"], cut.metrics["kernel_count"]) == (3, 1)
    assert cut.metrics["tklqt_us"] == 114.0
    assert cut.metrics["cpu_op_count"] == 1


def test_old_steps_count_as_operators_but_cover_nothing(tmp_path: Path) -> None:
    events = [event("Operator", "ProfilerStep#1", 0, 100), event("Operator", "aten::mm", 40, 10)]
    found = analysed(tmp_path, events).metrics
    assert found["cpu_op_count"] == 2
    assert found["cpu_op_busy_us"] == 10.0


def test_the_analysis_is_plain_json(tmp_path: Path) -> None:
    import msgspec

    found = analysed(tmp_path, [launch(1, 0), kernel(1, 5)])
    assert json.loads(msgspec.json.encode(found))["metrics"]["tklqt_us"] == 5.0
    assert msgspec.json.decode(msgspec.json.encode(found), type=Analysis) == found
