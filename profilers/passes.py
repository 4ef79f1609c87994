"""One pass of a model on real tensors: a forward pass, a prefill that fills a cache, or one decode step.

Weights and inputs are random: latency does not depend on their values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from codesign.errors import EnvironmentLacks, UsageError, nearest

PHASES = ("forward", "prefill", "decode")
FREE_SHARE = 0.6
"""Weights may fill this share of the free memory."""

BYTES = {"fp64": 8, "fp32": 4, "bf16": 2, "fp16": 2}


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a pass runs on.

    Attributes:
        phase: ``forward``, ``prefill`` or ``decode``.
        batch: Sequences or samples at once.
        prompt: Tokens of each sequence of a forward or prefill pass; None is the model's default.
        context: Tokens already cached in front of a decode step.
        layers: Shortens the model.
        dtype: Of weights and activations; None is the checkpoint's.
        seed: Of weights and inputs.
        device: Torch device that holds the module and the inputs.
    """

    phase: str = "forward"
    batch: int = 1
    prompt: int | None = None
    context: int = 128
    layers: int | None = None
    dtype: str | None = None
    seed: int = 0
    device: str = "cpu"


def check_phase(model: Any, phase: str) -> None:
    """Raise ``UsageError`` where the model has no such phase."""
    if phase not in PHASES:
        raise UsageError(f"phase {phase!r} is unknown", nearest(phase, PHASES))
    if phase != "forward" and model.kind != "causal-lm":
        raise UsageError(f"{model.name} has no {phase} phase", "only causal language models have: use forward")


def make_pass(model: Any, module: Any, shape: Shape) -> Callable[[], Any]:
    """Return what runs one pass of ``module``; call it under ``torch.inference_mode``."""
    check_phase(model, shape.phase)
    if model.kind == "captured":  # its shapes and dtypes were given when it was captured
        given = tuple(t.to(shape.device) if hasattr(t, "to") else t for t in model.example_inputs())
        return lambda: module(*given)
    if shape.phase == "forward":
        inputs = model.example_inputs(
            batch=shape.batch, prompt=shape.prompt, device=shape.device, layers=shape.layers, dtype=shape.dtype,
            seed=shape.seed,
        )  # fmt: skip
        return lambda: module(*inputs)
    length = shape.context if shape.phase == "decode" else shape.prompt or model.sizes["prompt"]
    ids = model.example_inputs(
        batch=shape.batch, prompt=length, device=shape.device, layers=shape.layers, seed=shape.seed
    )[0]
    if shape.phase == "prefill":
        return lambda: module(ids, module.new_cache(length))
    cache = module.new_cache(length + 1)
    module(ids, cache)
    token = ids[:, :1]

    def step() -> Any:
        # every repeat attends to the same context: the step's own token is written over
        cache.length = length
        return module(token, cache)

    return step


def check_memory(model: Any, layers: int | None, dtype: str | None, free: int | None) -> None:
    """Raise ``EnvironmentLacks`` where the weights would fill more than ``FREE_SHARE`` of the ``free`` bytes."""
    if free is None:
        return
    parameters = model.parameters
    if layers is not None:
        parameters = sum(p.numel() for p in model.module(layers=layers, device="meta").parameters())
    needed = parameters * BYTES.get(dtype or model.checkpoint_dtype, 2)
    if needed > FREE_SHARE * free:
        raise EnvironmentLacks(
            f"{model.name} needs {needed / 2**30:.1f} GiB of weights, {free / 2**30:.1f} GiB are free",
            "keep fewer layers (--layers), or choose a smaller --dtype",
        )
