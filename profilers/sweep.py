"""Every batch size of a profile on one device: the module is built once, each pass prepared, timed and traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from codesign.errors import EnvironmentLacks, UsageError, printable
from codesign.profilers.analysis import analyse
from codesign.profilers.boundness import Thresholds
from codesign.profilers.device_split import device_split
from codesign.profilers.effort import Effort
from codesign.profilers.energy.meter import Meter
from codesign.profilers.energy.window import Energy, measure_energy
from codesign.profilers.execution import captured, compiled, first_pass
from codesign.profilers.iterations import annotated
from codesign.profilers.launch_floor import LaunchFloor
from codesign.profilers.measure import summary
from codesign.profilers.passes import Shape, make_pass
from codesign.profilers.results import BatchProfile
from codesign.profilers.tklqt import tklqt_per_launch
from codesign.profilers.torch_cpu import LONG_PASS_S, count_flops, import_torch, profile_pass, profiled_passes
from codesign.profilers.torch_cuda import (
    MOST_PROFILED,
    device_index,
    measure_launch_floor,
    peak_memory,
    record_on_device,
    timed_on_device,
)
from codesign.profilers.trace import Trace
from codesign.profilers.vendor_verbose import Vendor, beside_self_time

Run = Callable[[], Any]
INTERRUPTED = "interrupted"
NO_MEMORY = "out of memory"


class Swept(NamedTuple):
    """What a sweep found; the device and dtype are those that were really used.

    Attributes:
        left_out: Batch size -> why it was not measured.
    """

    batches: tuple[BatchProfile, ...]
    left_out: dict[int, str]
    device: str
    device_name: str
    dtype: str
    floor: LaunchFloor | None


class _Timed(NamedTuple):
    passes: list[float]
    peak: int
    energy: Energy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A model at several batch sizes, as ``profile`` describes its arguments; ``seconds`` are for each batch size."""

    model: Any
    device: str
    shapes: tuple[Shape, ...]
    seconds: float
    repeats: int | None
    execution: str
    with_shapes: bool
    inputs: tuple[str, ...] | None
    vendor: bool
    meter: Meter | None
    on_trace: Callable[[int, Trace], None] | None
    thresholds: Thresholds | None = None
    progress: Callable[[str], None] | None = None

    def run(self) -> Swept:
        """Return what was found.

        Raises:
            EnvironmentLacks: the device or the machine ran out of memory, or cannot compile.
        """
        torch = import_torch()
        try:
            return self._on_processor(torch) if self.device == "cpu" else self._on_device(torch)
        except (RuntimeError, MemoryError) as error:
            if _is_out_of_memory(error):
                named = f"{self.model.name} ran out of memory"
                raise EnvironmentLacks(named, "lower --batch, --prompt or --layers") from None
            if "same device" in str(error):  # tensors that the program itself makes stay where it was exported
                named = f"{self.model.name} makes tensors on a device that its program names"
                raise UsageError(named, f"export it on {self.device}, or profile it where it was exported") from None
            raise

    def _on_processor(self, torch: Any) -> Swept:
        vendors = self._vendors(torch)  # before this process holds a second copy of the weights
        module = self._module("cpu")
        self._tried(module)
        batches: list[BatchProfile] = []
        left_out: dict[int, str] = {}
        effort = self._effort()
        for shape in self.shapes:
            if reason := effort.leaves_out(shape.batch):
                left_out[shape.batch] = reason
                continue
            self._say(f"batch {shape.batch}: timing and tracing")
            try:
                batches.append(self._processor_batch(torch, module, shape, batches, vendors))
            except (KeyboardInterrupt, RuntimeError, MemoryError) as error:  # what was finished is kept
                if not batches or not _ends_sweep(error):
                    raise
                left_out |= {s.batch: _why(error) for s in self.shapes if s.batch >= shape.batch}
                break
            effort.measured(shape.batch, batches[-1].latency.median)
        return Swept(tuple(batches), left_out, "cpu", "", _dtype(module), None)

    def _processor_batch(
        self, torch: Any, module: Any, shape: Shape, before: Sequence[BatchProfile], vendors: dict[int, Vendor]
    ) -> BatchProfile:
        eager = make_pass(self.model, module, shape)
        run = self._prepared(torch, module, shape, eager)
        flops = None
        if before and before[-1].latency.median > LONG_PASS_S:  # a sample costs the same in every batch
            flops = before[-1].flops * shape.batch / before[-1].batch
        found, trace = profile_pass(
            run, shape.batch, self.seconds, self.repeats, with_shapes=self.with_shapes, counted=eager, flops=flops
        )
        if shape.batch in vendors:
            operators = annotated(trace).operators
            found = replace(found, vendor=beside_self_time(vendors[shape.batch], found.split.iterations, operators))
        self._keep(shape.batch, trace)
        return replace(found, energy=self._energy(run))

    def _on_device(self, torch: Any) -> Swept:
        index = device_index(torch, self.device)
        name = f"cuda:{index}"
        with torch.cuda.device(index):
            shapes = [replace(shape, device=name) for shape in self.shapes]
            module = self._module(name)
            self._tried(module)
            timed: list[tuple[Shape, _Timed]] = []
            left_out: dict[int, str] = {}
            effort, last = self._effort(), None
            for shape in shapes:  # all of them before the profiler first starts
                if reason := effort.leaves_out(shape.batch):
                    left_out[shape.batch] = reason
                    continue
                self._say(f"batch {shape.batch}: timing")
                torch.cuda.reset_peak_memory_stats()
                try:
                    last = self._prepared(torch, module, shape)
                    passes = timed_on_device(torch, last, self.seconds, self.repeats)
                    energy = self._energy(last, torch.cuda.synchronize)
                except (KeyboardInterrupt, RuntimeError, MemoryError) as error:  # what was timed is traced and kept
                    if not timed or not _ends_sweep(error):
                        raise
                    left_out |= {s.batch: _why(error) for s in shapes if s.batch >= shape.batch}
                    last = None
                    torch.cuda.empty_cache()
                    break
                timed.append((shape, _Timed(passes, peak_memory(torch), energy)))
                effort.measured(shape.batch, sorted(passes)[len(passes) // 2])
            traced = []
            for shape, times in timed:
                self._say(f"batch {shape.batch}: tracing")
                run = last if len(timed) == 1 and last else self._prepared(torch, module, shape)
                trace = self._traced(torch, run, times)
                self._keep(shape.batch, trace)
                traced.append((trace, count_flops(make_pass(self.model, module, shape))))
            floor = measure_launch_floor(torch, index)
            batches = [
                self._batch(torch, shape, *found, times, floor)
                for (shape, times), found in zip(timed, traced, strict=True)
            ]
            return Swept(tuple(batches), left_out, name, str(torch.cuda.get_device_name(index)), _dtype(module), floor)

    def _traced(self, torch: Any, run: Run, times: _Timed) -> Trace:
        latency = summary(times.passes, torch.get_num_threads(), str(torch.__version__))
        count = min(MOST_PROFILED, profiled_passes(latency.median, latency.repeats))
        return record_on_device(torch, run, count, with_shapes=self.with_shapes)

    def _batch(
        self, torch: Any, shape: Shape, trace: Trace, flops: float, times: _Timed, floor: LaunchFloor
    ) -> BatchProfile:
        found, shares = device_split(trace)
        passes = annotated(trace).iterations
        starts, ends = (np.array([getattr(p, end) for p in passes], np.int64) for end in ("start", "end"))
        durations = sorted((ends - starts).tolist())
        mode = "shapes" if self.with_shapes else "plain"
        return BatchProfile(
            batch=shape.batch, latency=summary(times.passes, torch.get_num_threads(), str(torch.__version__)),
            profiled=durations[len(durations) // 2] * 1e-9, split=found, flops=flops,
            passes=tuple(times.passes), shares=shares, profiler_cost={mode: durations[0] * 1e-9 / min(times.passes)},
            peak_memory=times.peak, energy=times.energy, tklqt=tklqt_per_launch(trace, starts, ends),
            analysis=analyse(trace, window=f"{len(passes)} profiled passes", thresholds=self.thresholds,
                             floor_us=floor.latency_p05 / 1000.0),
        )  # fmt: skip

    def _module(self, device: str) -> Any:
        first = self.shapes[0]
        options = {"layers": first.layers, "dtype": first.dtype, "seed": first.seed, "device": device}
        accepted = signature(self.model.module).parameters
        module = self.model.module(**{name: value for name, value in options.items() if name in accepted})
        return module if device == "cpu" or "device" in accepted else module.to(device)

    def _tried(self, module: Any) -> None:
        """Run a module of the user's own once.

        Raises:
            UsageError: it does not run on its inputs.
        """
        if self.model.kind != "captured":
            return
        try:
            make_pass(self.model, module, self.shapes[0])()
        except Exception as error:  # whatever code that is not ours raises
            if _is_out_of_memory(error) or "same device" in str(error):
                raise
            told = printable(next(iter(str(error).strip().splitlines()), "") or type(error).__name__, 200)
            hint = "give the shape and dtype of each input of forward: --input 8x64, or --input ids=8x64:int64"
            raise UsageError(f"{self.model.name} does not run on its inputs: {told}", hint) from error

    def _prepared(self, torch: Any, module: Any, shape: Shape, eager: Run | None = None) -> Run:
        """Return a pass in the execution asked for, ready to be timed."""
        if self.execution == "compiled":
            run = make_pass(self.model, compiled(torch, module, shape.device), shape)
            first_pass(torch, run)
            return run
        eager = eager or make_pass(self.model, module, shape)
        return captured(torch, eager) if self.execution == "graph" else eager

    def _energy(self, run: Run, synchronise: Run | None = None) -> Energy | None:
        return measure_energy(run, self.meter, synchronise=synchronise) if self.meter is not None else None

    def _vendors(self, torch: Any) -> dict[int, Vendor]:
        if not self.vendor:
            return {}
        from codesign.profilers.vendor_child import VendorRequest, vendor_times

        if self.execution != "eager":
            reason = "generated kernels do not announce the operators they replace: profile eager execution"
            return {shape.batch: Vendor(reason=reason) for shape in self.shapes}
        threads = torch.get_num_threads()
        request = VendorRequest(model=self.model.source, inputs=self.inputs, shapes=self.shapes, threads=threads)
        return vendor_times(request)

    def _effort(self) -> Effort:
        """Start the clock; it leaves nothing out where the user fixed the repeats."""
        return Effort(self.seconds * len(self.shapes) if self.repeats is None else None)

    def _say(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text)

    def _keep(self, batch: int, trace: Trace) -> None:
        if self.on_trace is not None:
            self.on_trace(batch, trace)


def _is_out_of_memory(error: BaseException) -> bool:
    told = str(error)
    return isinstance(error, MemoryError) or "allocate memory" in told or "out of memory" in told


def _ends_sweep(error: BaseException) -> bool:
    """Return whether larger batches cannot be measured either, while those before are good."""
    return isinstance(error, KeyboardInterrupt) or _is_out_of_memory(error)


def _why(error: BaseException) -> str:
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else NO_MEMORY


def _dtype(module: Any) -> str:
    """Return our name of the dtype that most parameters of ``module`` have; fp32 where it has none."""
    counts: dict[str, int] = {}
    for parameter in module.parameters():
        counts[str(parameter.dtype)] = counts.get(str(parameter.dtype), 0) + parameter.numel()
    most = max(counts, key=lambda name: counts[name], default="torch.float32").removeprefix("torch.")
    return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "float64": "fp64"}.get(most, most)


@contextmanager
def threads_of(torch: Any, threads: int | None, pin: Sequence[int] | None) -> Iterator[None]:
    """Set torch's threads, no more than there are pinned processors, and set them back."""
    before = torch.get_num_threads()
    if pin and threads is not None and threads > len(set(pin)):
        raise UsageError(f"{threads} threads on {len(set(pin))} pinned processors", "pin as many, or use fewer threads")
    wanted = threads if threads is not None else min(before, len(set(pin))) if pin else before
    try:
        torch.set_num_threads(wanted)
        yield
    finally:
        torch.set_num_threads(before)
