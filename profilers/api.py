"""``profile``: run a model with random weights on a device and say where its time goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

from codesign.errors import EnvironmentLacks, UsageError, nearest
from codesign.profilers.measure import free_memory
from codesign.profilers.passes import PHASES, Shape, check_memory, check_phase, make_pass
from codesign.profilers.results import BatchProfile, Profile
from codesign.profilers.torch_cpu import import_torch, profile_pass

DEVICES = ("cpu", "cuda")
DTYPES = ("fp32", "bf16")
CONTEXT = 128
SECONDS = 10.0


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
) -> Profile:
    """Run ``model`` with random weights and return its latency and where the time goes.

    Latency is the median of repeats without a profiler, made before it starts; structure comes from profiled passes.

    Args:
        model: A preset's name, ``py:package.module:factory`` or ``pt2:FILE``, or a loaded model.
        device: ``cpu``.
        batches: Batch sizes, one after the other.
        phase: ``forward``, ``prefill`` or ``decode``; default prefill for causal language models.
        prompt: Tokens of each sequence of a forward or prefill pass.
        context: Tokens cached in front of a decode step.
        layers: Keep so many layers.
        dtype: ``fp32`` or ``bf16``; default the checkpoint's.
        inputs: Input shapes of a captured module.
        repeats: Timed passes of each batch; default as many as fit ``seconds``.
        seconds: Time for the timed passes of all batches together, s.
        threads: Threads of torch; default what torch chooses.
        seed: Of weights and inputs.

    Raises:
        UsageError: an unknown device, phase or dtype, or a number out of range.
        EnvironmentLacks: no such device here, or too little memory.
    """
    check_device(device)
    _check_numbers(batches, prompt=prompt, context=context, layers=layers, repeats=repeats, threads=threads)
    if not 0.0 < seconds <= 3600.0:
        raise UsageError(f"time is {seconds:g} s", "give more than 0 s and at most '1 h'")
    if dtype is not None and dtype not in DTYPES:
        raise UsageError(f"dtype {dtype!r} is unknown to the profiler", nearest(dtype, DTYPES))
    if phase is not None and phase not in PHASES:
        raise UsageError(f"phase {phase!r} is unknown", nearest(phase, PHASES))
    loaded = load(model, inputs)
    chosen = phase or ("prefill" if loaded.kind == "causal-lm" else "forward")
    prompt, context = _lengths(loaded, chosen, prompt, context)
    if loaded.kind == "captured":
        _check_captured(batches, layers, dtype)
        batches = (leading(loaded.example_inputs()),)
    else:
        check_memory(loaded, layers, dtype, free_memory())
    shape = Shape(phase=chosen, prompt=prompt, context=context or CONTEXT, layers=layers, dtype=dtype, seed=seed)
    torch = import_torch()
    with _threads(torch, threads), torch.inference_mode():
        found = _sweep(loaded, shape, batches, seconds / len(batches), repeats)
        used = torch.get_num_threads()
    return Profile(
        model=loaded.name, source=loaded.source, device=device, phase=chosen,
        dtype=dtype or loaded.checkpoint_dtype, layers=layers, prompt=prompt, context=context,
        threads=used, seed=seed, torch=str(torch.__version__), batches=found,
    )  # fmt: skip


def check_device(device: str) -> None:
    """Raise where ``device`` is unknown or not here; another device is never used instead."""
    kind = device.partition(":")[0]
    if kind not in DEVICES:
        raise UsageError(f"device {device!r} is unknown", nearest(device, DEVICES))
    if kind == "cuda":
        torch = import_torch()
        if not torch.cuda.is_available():
            raise EnvironmentLacks("this machine has no GPU that torch can use", "profile on --device cpu")
        raise UsageError("profiling on cuda is not supported yet", "profile on --device cpu")
    if device != "cpu":
        raise UsageError(f"device {device!r} is unknown", "the processor is called cpu")


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


def _sweep(
    model: Any, shape: Shape, batches: Sequence[int], seconds: float, repeats: int | None
) -> tuple[BatchProfile, ...]:
    from msgspec.structs import replace

    options = {"layers": shape.layers, "dtype": shape.dtype, "seed": shape.seed}
    accepted = signature(model.module).parameters
    try:
        module = model.module(**{name: value for name, value in options.items() if name in accepted})
        return tuple(
            profile_pass(make_pass(model, module, replace(shape, batch=b)), b, seconds, repeats) for b in batches
        )
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise EnvironmentLacks(f"{model.name} ran out of memory", "lower --batch, --prompt or --layers") from None
        raise


@contextmanager
def _threads(torch: Any, threads: int | None) -> Iterator[None]:
    """Set torch's threads, and set them back."""
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(before)
