"""``profile``: run a model with random weights on a device and say where its time goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from codesign.errors import UsageError, nearest
from codesign.profilers.boundness import Thresholds
from codesign.profilers.energy.meter import Meter
from codesign.profilers.execution import EXECUTIONS
from codesign.profilers.measure import free_memory
from codesign.profilers.passes import PHASES, Shape, check_memory, check_phase
from codesign.profilers.pinning import pinned
from codesign.profilers.results import Profile
from codesign.profilers.sweep import Sweep, threads_of
from codesign.profilers.torch_cpu import emulated, import_torch
from codesign.profilers.torch_cuda import check_device, check_dtype, device_memory
from codesign.profilers.trace import Trace
from codesign.profilers.turning_points import turning_points

DTYPES = ("fp32", "bf16", "fp16")
CONTEXT = 128
SECONDS = 10.0
EMULATED = "this processor has no instructions for {}: fp32 (--dtype fp32) is likely faster here"

__all__ = ["DTYPES", "check_device", "load", "profile"]


def profile(
    model: Any,
    *,
    device: str = "cpu",
    batches: Sequence[int] = (1,),
    phase: str | None = None,
    prompt: int | None = None,
    context: int | None = None,
    layers: int | None = None,
    dtype: str | None = None,
    inputs: Sequence[str] | None = None,
    repeats: int | None = None,
    seconds: float = SECONDS,
    threads: int | None = None,
    seed: int = 0,
    execution: str = "eager",
    pin: Sequence[int] | None = None,
    with_shapes: bool = False,
    vendor: bool = False,
    meter: Meter | None = None,
    on_trace: Callable[[int, Trace], None] | None = None,
    thresholds: Thresholds | None = None,
    progress: Callable[[str], None] | None = None,
) -> Profile:
    """Run ``model`` with random weights and return its latency and where the time goes.

    Latency is the median of repeats without a profiler, made before it starts; structure comes from profiled passes.

    Args:
        model: A preset's name, ``py:package.module:factory``, ``pt2:FILE`` or ``hf:PATH``, or a loaded model.
        device: ``cpu``, ``cuda`` (the first device) or ``cuda:1``; AMD devices are called ``cuda`` too.
        batches: Batch sizes, one after the other.
        phase: ``forward``, ``prefill`` or ``decode``; default prefill for causal language models.
        prompt: Tokens of each sequence of a forward or prefill pass.
        context: Tokens cached in front of a decode step.
        layers: Keep so many layers.
        dtype: ``fp32``, ``bf16`` or ``fp16``; default the checkpoint's.
        inputs: Input shapes of a captured module.
        repeats: Timed passes of each batch; default as many as fit ``seconds``.
        seconds: Time for the timed passes of all batches together, s.
        threads: Threads of torch; default what torch chooses, no more than processors are pinned.
        seed: Of weights and inputs.
        execution: ``eager``, ``graph`` (captured once and replayed, on a GPU) or ``compiled`` (``torch.compile``).
        pin: Processors that every thread of this process is held on meanwhile.
        with_shapes: Record the shapes of operators, which makes the profiler cost more.
        vendor: Also state the time inside oneDNN and MKL, from a child process that runs the model again.
        meter: An open energy meter, best from ``choose_meter(device)``; each batch then runs for two seconds more.
        thresholds: Limits of the classes on a GPU.
        progress: Called with a few words before each part of the work.
        on_trace: Called with batch size and trace of the profiled passes of each batch, as soon as it is there.

    Raises:
        UsageError: an unknown device, phase, dtype or execution, or a number out of range.
        EnvironmentLacks: no such device or compiler here, or too little memory.
    """
    check_device(device)
    _check_numbers(batches, prompt=prompt, context=context, layers=layers, repeats=repeats, threads=threads)
    if not 0.0 < seconds <= 3600.0:
        raise UsageError(f"time is {seconds:g} s", "give more than 0 s and at most '1 h'")
    known = (("dtype", dtype, DTYPES), ("phase", phase, PHASES), ("execution", execution, EXECUTIONS))
    for name, value, names in known:
        if value is not None and value not in names:
            raise UsageError(f"{name} {value!r} is unknown to the profiler", nearest(value, names))
    on_processor = device == "cpu"
    if execution == "graph" and on_processor:
        raise UsageError("execution graph needs a GPU", "a processor runs eager or compiled")
    if vendor and not on_processor:
        raise UsageError("vendor time is of kernels on the processor", "leave vendor out, or use --device cpu")
    loaded = load(model, inputs)
    chosen = phase or ("prefill" if loaded.kind == "causal-lm" else "forward")
    prompt, context = _lengths(loaded, chosen, prompt, context)
    captured = loaded.kind == "captured"
    if captured:
        _check_captured(batches, layers, dtype)
        batches = (leading(loaded.example_inputs()),)
    if not on_processor:
        check_dtype(device, dtype or loaded.checkpoint_dtype)
    if not captured:
        check_memory(loaded, layers, dtype, free_memory() if on_processor else device_memory(device))
    torch = import_torch()
    sweep = Sweep(
        model=loaded, device=device,
        shapes=tuple(
            Shape(phase=chosen, batch=b, prompt=prompt, context=context or CONTEXT, layers=layers, dtype=dtype,
                  seed=seed, device=device) for b in batches
        ),
        seconds=seconds / len(batches), repeats=repeats, execution=execution, with_shapes=with_shapes,
        inputs=tuple(inputs) if inputs else None, vendor=vendor, meter=meter, on_trace=on_trace,
        thresholds=thresholds, progress=progress,
    )  # fmt: skip
    with pinned(pin), threads_of(torch, threads, pin), torch.inference_mode():
        found = sweep.run()
        used = torch.get_num_threads()
    notes = (EMULATED.format(found.dtype),) if on_processor and emulated(found.dtype) else ()
    return Profile(
        model=loaded.name, source=loaded.source, device=found.device, phase=chosen, dtype=found.dtype, layers=layers,
        prompt=prompt, context=context, threads=used, seed=seed, torch=str(torch.__version__),
        device_name=found.device_name, execution=execution, pinned=tuple(sorted(set(pin))) if pin else None,
        with_shapes=with_shapes, floor=found.floor, notes=notes, left_out=found.left_out,
        transitions=turning_points(found.batches, seed), batches=found.batches,
    )  # fmt: skip


def load(model: Any, inputs: Sequence[str] | None) -> Any:
    """Return the model that ``model`` names, or itself where it is loaded already."""
    from codesign.models import load_model

    if not isinstance(model, str):
        return model
    return load_model(model, inputs=list(inputs)) if inputs else load_model(model)


def _check_numbers(batches: Sequence[int], **numbers: int | None) -> None:
    if not batches:
        raise UsageError("no batch given", "for example --batch 1,4,16")
    for name, value in (*(("batch", b) for b in batches), *numbers.items()):
        if value is not None and not 1 <= value <= 1_000_000:
            raise UsageError(f"{name} is {value}", "give a whole number from 1 to 1,000,000")


def _lengths(model: Any, phase: str, prompt: int | None, context: int | None) -> tuple[int | None, int | None]:
    """Return the lengths that the phase takes, with their defaults, refusing one it does not take."""
    check_phase(model, phase)
    takes_prompt = phase == "prefill" or (phase == "forward" and "prompt" in model.sizes)
    if prompt is not None and not takes_prompt:
        raise UsageError(f"{phase} of {model.name} takes no prompt", "leave --prompt out, or see --context")
    if context is not None and phase != "decode":
        raise UsageError(f"{phase} takes no context", "leave --context out: it is what decode attends to")
    length = (prompt or min(CONTEXT, model.sizes["prompt"])) if takes_prompt else None
    cached = (context or CONTEXT) if phase == "decode" else None
    longest = getattr(model, "longest", None)
    if longest is not None and (length or 0) + (cached + 1 if cached else 0) > longest:
        raise UsageError(f"{model.name} takes at most {longest} tokens", "lower --prompt or --context")
    return length, cached


def _check_captured(batches: Sequence[int], layers: int | None, dtype: str | None) -> None:
    for name, given in (("batch", tuple(batches) != (1,)), ("layers", layers is not None), ("dtype", dtype)):
        if given:
            raise UsageError(f"a captured module takes no {name}", "its --input shapes and its factory decide")


def leading(inputs: Sequence[Any]) -> int:
    """Return the first dimension of the first tensor that has one: the samples of a captured module's pass."""
    return next((int(t.shape[0]) for t in inputs if getattr(t, "ndim", 0) and t.shape[0] > 0), 1)
