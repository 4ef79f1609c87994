"""What a run asks of a model: batch and lengths, as numbers or as arrays over design points."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from codesign.errors import UsageError, nearest
from codesign.workload.einsum import Extent

DEFAULTS: dict[str, int] = {"batch": 1, "prompt": 512, "generate": 128, "context": 0}
"""Sizes of a run that states none. ``context`` counts tokens cached before the prompt."""

LARGEST = 10**9
"""Larger sizes are refused as slips of the keyboard."""


class Lengths(msgspec.Struct, frozen=True, eq=False):
    """Sizes of one run.

    Attributes:
        batch: Sequences, images or samples at once.
        prompt: New tokens of each sequence.
        generate: Output tokens of each sequence; the prompt's pass yields the first.
        context: Tokens already cached before the prompt.
        steps: Denoising steps of an image.
    """

    batch: Extent = 1
    prompt: Extent = 1
    generate: Extent = 1
    context: Extent = 0
    steps: Extent = 1


def lengths(model: str, accepted: dict[str, int], given: dict[str, Any]) -> Lengths:
    """Return the sizes ``given`` (None = default) of a model that takes those named in ``accepted``."""
    for name, value in given.items():
        if value is not None and name not in accepted:
            raise UsageError(f"{model} takes no {name}", nearest(name, accepted))
    chosen = {name: given.get(name) if given.get(name) is not None else value for name, value in accepted.items()}
    return Lengths(**{name: size(name, value) for name, value in chosen.items()})


def size(name: str, value: Any) -> Extent:
    """Return ``value`` as an exact integer, or as an array of floats (which cannot overflow)."""
    least = 0 if name == "context" else 1
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name} is {value!r}", "give a whole number, or an array of them") from None
    wrong = ~((array >= least) & (array <= LARGEST) & (array == np.floor(array)))
    if wrong.any():
        bad = np.atleast_1d(array)[np.atleast_1d(wrong)][0]
        raise UsageError(f"{name} is {bad:g}", f"give whole numbers from {least} to {LARGEST:,}")
    return int(array) if array.ndim == 0 else array


def check_context(model: str, limit: int, run: Lengths, mode: str) -> None:
    """Refuse sequences longer than the model supports."""
    # an encoder and a training step have no output tokens; the last output token is never fed back
    longest = int(np.max(np.asarray(run.context) + run.prompt + run.generate - 1))
    if longest > limit:
        raise UsageError(
            f"{model} supports sequences of {limit:,} tokens, {mode} asks for {longest:,}",
            "shorten context, prompt or generate",
        )
