"""The processor's collector: its trace against the file torch writes, pinning, overhead, executions, energy."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codesign.errors import EnvironmentLacks, UsageError
from codesign.profilers import overhead, torch_cpu
from codesign.profilers.api import profile
from codesign.profilers.energy.meter import About, Reading
from codesign.profilers.iterations import ANNOTATION, annotated, first_passes
from codesign.profilers.live_trace import live_trace
from codesign.profilers.pinning import pinned
from codesign.profilers.readers.consistency import fault
from codesign.profilers.readers.recording import read_recording, write_recording
from codesign.profilers.readers.stamps import nanoseconds_of
from codesign.profilers.results import Profile
from codesign.profilers.split import is_dispatch
from codesign.profilers.sweep import threads_of
from codesign.profilers.trace import Trace


class Net:
    """A captured module of three layers."""

    name, source, kind, checkpoint_dtype, sizes = "net", "nowhere:net", "captured", "fp32", {"batch": 1}

    def module(self) -> Any:
        """Return the module."""
        import torch

        return torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.GELU(), torch.nn.Linear(8, 4)).eval()

    def example_inputs(self) -> tuple[Any, ...]:
        """Return its inputs."""
        import torch

        return (torch.ones(5, 8),)


def test_the_trace_in_memory_is_the_one_torch_writes(tmp_path: Path) -> None:
    torch = torch_cpu.import_torch()
    net, (x,) = Net().module(), Net().example_inputs()
    with torch.inference_mode():
        session = torch_cpu._profiled(lambda: net(x), 3, with_shapes=True)
    trace = live_trace(session, 0, {"torch": "x"})
    session.export_chrome_trace(str(tmp_path / "trace.json"))
    written = json.loads((tmp_path / "trace.json").read_text(), parse_float=str, parse_int=str)["traceEvents"]
    for table, category in ((trace.operators, "cpu_op"), (trace.annotations, "user_annotation")):
        expected = sorted(
            (e["name"], nanoseconds_of(e["ts"]), nanoseconds_of(e["dur"])) for e in written if e.get("cat") == category
        )
        names = [trace.names[number] for number in table.name]
        rows = zip(names, (table.start + trace.origin).tolist(), table.duration.tolist(), strict=True)
        base = json.loads((tmp_path / "trace.json").read_text()).get("baseTimeNanoseconds", 0)
        assert sorted((n, s - base, d) for n, s, d in rows) == expected
    assert len(annotated(trace).iterations) == 3


@pytest.fixture(scope="module")
def recorded() -> Trace:
    """Return a trace of four passes."""
    torch = torch_cpu.import_torch()
    net, (x,) = Net().module(), Net().example_inputs()
    with torch.inference_mode():
        return torch_cpu.record(lambda: net(x), 4)


def test_a_recorded_trace_is_consistent_and_survives_our_recording(recorded: Trace, tmp_path: Path) -> None:
    assert fault(recorded) is None
    write_recording(recorded, tmp_path / "trace")
    back = read_recording(tmp_path / "trace")
    assert annotated(back) == annotated(recorded)
    assert back.facts["record_shapes"] == "0"


def test_warm_ups_are_dropped_and_the_first_passes_can_be_cut_out(recorded: Trace) -> None:
    whole = annotated(recorded)
    assert len(whole.iterations) == 4
    assert min(i.start for i in whole.operators) >= min(i.start for i in whole.iterations) == 0
    cut = first_passes(recorded, 2)
    assert fault(cut) is None
    assert annotated(cut).iterations == whole.iterations[:2]
    assert annotated(cut).operators == [o for o in whole.operators if o.start < whole.iterations[1].end]
    assert len(first_passes(recorded, 99).operators) == len(recorded.operators)


def test_queueing_is_not_applicable_on_one_thread_and_never_a_number(recorded: Trace) -> None:
    assert torch_cpu.queueing(recorded).startswith("not applicable")
    import numpy as np

    threads = np.arange(len(recorded.operators), dtype=np.int32) % 2
    two = msgspec.structs.replace(recorded, operators=msgspec.structs.replace(recorded.operators, thread=threads))
    assert torch_cpu.queueing(two).startswith("not measured: 2 threads")


def test_a_profile_gives_every_pass_its_share_and_its_trace() -> None:
    kept: list[tuple[int, Trace]] = []
    found = profile(
        Net(), repeats=6, threads=1, with_shapes=True, on_trace=lambda batch, trace: kept.append((batch, trace))
    )
    batch = found.batches[0]
    assert len(batch.passes) == batch.latency.repeats == 6
    assert min(batch.passes) <= batch.latency.median <= max(batch.passes)
    assert len(batch.shares) == batch.split.iterations == len(annotated(kept[0][1]).iterations)
    assert kept[0][0] == 5
    assert kept[0][1].facts["record_shapes"] == "1"
    spans = [i.end - i.start for i in annotated(kept[0][1]).iterations]
    assert sum(s * t for s, t in zip(batch.shares, spans, strict=True)) == pytest.approx(batch.split.compute)
    assert set(batch.profiler_cost) == {"plain", "shapes"}
    assert batch.queueing is not None
    assert (found.execution, found.with_shapes, found.pinned, found.floor) == ("eager", True, None, None)
    assert batch.energy is None
    assert batch.vendor is None


def test_overhead_is_the_ratio_of_minima_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0]
    paces = iter([9, 5, 7] * 100)

    def run() -> None:
        clock[0] += next(paces)

    def profiled(run: Any, passes: int, *, with_shapes: bool) -> list[int]:
        return [30 if with_shapes else 10] + [40] * (passes - 1)

    monkeypatch.setattr(time, "perf_counter_ns", lambda: clock[0])
    monkeypatch.setattr(overhead, "recorded_durations", profiled)
    assert overhead.profiler_overhead(run, 4) == {"plain": 2.0, "shapes": 6.0}


@pytest.mark.parametrize("latency", [1e-5, 1e-3, 5e-3, 1.0])
def test_overhead_is_measured_only_where_its_time_allows(latency: float) -> None:
    passes = overhead.passes_within(1.0, latency)
    # a profiled pass is taken to last twice as long
    assert passes * overhead.ROUNDS * (1 + 2 * len(overhead.MODES)) * latency <= 1.0
    assert (passes == 0) == (latency > 0.9)
    assert passes == 0 or overhead.LEAST_PASSES <= passes <= overhead.MOST_PASSES


def test_recorded_durations_are_as_many_as_asked() -> None:
    assert len(torch_cpu.recorded_durations(lambda: None, 7, with_shapes=False)) == 7


needs_linux = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin threads")


@needs_linux
def test_pinning_holds_every_thread_and_is_undone() -> None:
    before = os.sched_getaffinity(0)
    one = {min(before)}
    stop, started, inside = threading.Event(), threading.Event(), []

    def wait() -> None:
        inside.append(threading.get_native_id())
        started.set()
        stop.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    started.wait()
    try:
        with suppress(KeyError), pinned(sorted(one)):
            assert os.sched_getaffinity(0) == one
            assert os.sched_getaffinity(inside[0]) == one
            raise KeyError
        assert os.sched_getaffinity(0) == before
        assert os.sched_getaffinity(inside[0]) == before
    finally:
        stop.set()
        thread.join()


@needs_linux
def test_pinning_to_what_is_not_there_is_refused() -> None:
    before = os.sched_getaffinity(0)
    for processors in ([max(before) + 1], []):
        with pytest.raises(UsageError, match="this process may use"), pinned(processors):
            pass
    with pinned(None):
        assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(0) == before


def test_a_system_that_cannot_pin_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with pytest.raises(EnvironmentLacks, match="cannot pin"), pinned([0]):
        raise AssertionError


@needs_linux
def test_a_pinned_profile_uses_no_more_threads_than_processors() -> None:
    torch = torch_cpu.import_torch()
    before, one = torch.get_num_threads(), min(os.sched_getaffinity(0))
    found = profile(Net(), repeats=3, pin=[one])
    assert (found.threads, found.pinned) == (1, (one,))
    assert torch.get_num_threads() == before
    with pytest.raises(UsageError, match="3 threads on 1 pinned"), threads_of(torch, 3, [one]):
        pass


def test_executions_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="graph needs a GPU"):
        profile(Net(), execution="graph")
    with pytest.raises(UsageError, match="did you mean compiled"):
        profile(Net(), execution="compile")


def test_without_a_compiler_compiling_lacks_something() -> None:
    import torch._inductor.config

    with (
        torch._inductor.config.patch({"cpp.cxx": ("/nowhere/c++",), "force_disable_caches": True}),
        pytest.raises(EnvironmentLacks, match=r"torch\.compile failed here"),
    ):
        profile(Net(), execution="compiled", repeats=3)


def test_compiled_passes_keep_their_flops_and_show_their_kernels() -> None:
    try:
        found = profile(Net(), execution="compiled", repeats=3)
    except EnvironmentLacks as lack:
        pytest.skip(str(lack))
    assert found.execution == "compiled"
    assert found.batches[0].flops == 2 * 5 * 8 * (8 + 4)
    kinds = {row.name: row.kind for row in found.batches[0].split.operators}
    assert any(name.startswith("Torch-Compiled Region") for name in kinds)
    assert any("cpp_fused" in name and kind == "compute" for name, kind in kinds.items())


def test_what_only_calls_generated_kernels_is_dispatch() -> None:
    listed = frozenset({"aten::view"})
    calls = ("aten::view", "Torch-Compiled Region: 0/3", "## Call CompiledFxGraph abc ##", "TorchDynamo Cache Lookup")
    assert all(is_dispatch(name, listed) for name in calls)
    assert not any(is_dispatch(name, listed) for name in ("aten::mm", "graph_0_cpp_fused_gelu_0", "my Torch-Compiled"))


class FivePerSecond:
    """A meter of a device that draws 5 W."""

    about = About(backend="perf", kind="measured", covers="package", source="a test", period=0.001)

    def read(self) -> Reading:
        """Return the joules so far."""
        now = time.perf_counter_ns()
        return Reading(now, now * 5e-9)

    def close(self) -> None:
        """Nothing is held."""


def test_energy_is_of_the_unprofiled_pass() -> None:
    batch = profile(Net(), repeats=50, meter=FivePerSecond()).batches[0]
    assert batch.energy is not None
    assert batch.energy.joules is not None
    assert batch.energy.passes > 100
    assert batch.energy.joules.value * batch.energy.passes == pytest.approx(5.0 * batch.energy.window, rel=0.01)


def test_fp16_runs_as_fp16() -> None:
    assert profile("gpt2", layers=1, prompt=4, dtype="fp16", repeats=3, seconds=0.1).dtype == "fp16"


def test_the_annotation_is_the_one_of_the_recordings() -> None:
    assert ANNOTATION == "codesign_iteration"


def test_a_profile_with_energy_survives_json() -> None:
    found = profile(Net(), repeats=3, meter=FivePerSecond())
    assert msgspec.json.decode(found.to_json(), type=Profile) == found


def test_every_form_of_model_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    config = {
        "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 100,
        "intermediate_size": 128, "max_position_embeddings": 64, "num_key_value_heads": 2, "torch_dtype": "float32",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "profiled_net.py").write_text("import torch\ndef make(): return torch.nn.Linear(8, 4)\n")
    net = Net()
    torch.export.save(torch.export.export(net.module(), net.example_inputs()), tmp_path / "net.pt2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    products = {
        "hf:config.json": 2 * (2 * 8 * (3 * 64 * 64 + 3 * 64 * 128) + 64 * 100) + 2 * 2 * 2 * 8 * 8 * 64,
        "pt2:net.pt2": 2 * 5 * 8 * (8 + 4),
        "py:profiled_net:make": 2 * 3 * 8 * 4,
    }
    for source, flops in products.items():
        inputs = ["3x8"] if source.startswith("py:") else None
        prompt = 8 if source.startswith("hf:") else None
        found = profile(source, inputs=inputs, prompt=prompt, repeats=3, seconds=0.1)
        assert found.batches[0].flops == flops, source
        assert found.dtype == "fp32"
        assert found.source == source
