"""Whole passes of small models: what operators take one after the other, where each leaves the caches to the next.

A decoder of GPT-2's layout, two layers deep, whose weights no cache holds, and a small residual network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from codesign.models import load_model
from codesign.profilers.measure import timed
from codesign.profilers.passes import Shape, make_pass

DECODER, RESIDUAL = "small-decoder", "resnet-18"
TOKENS = 128
"""Of a prompt, and in front of a decode step."""

WIDTH, LAYERS, VOCABULARY = 1024, 2, 16384
DTYPE = "fp32"


class Pass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pass of one small model: ``DECODER`` or ``RESIDUAL``, a phase that it has, and the size of the batch."""

    model: str
    phase: str
    batch: int


SMALL_PASSES = (
    Pass(DECODER, "prefill", 1), Pass(DECODER, "prefill", 4), Pass(DECODER, "decode", 1), Pass(DECODER, "decode", 4),
    Pass(DECODER, "decode", 16), Pass(RESIDUAL, "forward", 1), Pass(RESIDUAL, "forward", 4),
)  # fmt: skip


class PassTiming(msgspec.Struct, frozen=True):
    """What one pass took.

    Attributes:
        asked: Which.
        rounds: Median of each round, s; rounds lie apart in time.
    """

    asked: Pass
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the mean of the rounds, s."""
        return float(np.mean(self.rounds))

    @property
    def drift(self) -> float:
        """Return ln of the slowest round over the fastest."""
        return float(np.log(max(self.rounds) / min(self.rounds)))


def small_decoder() -> Any:
    """Return a decoder of GPT-2's layout, as large as its passes need."""
    return decoder_like_gpt2(
        width=WIDTH, layers=LAYERS, heads=WIDTH // 64, kv_heads=WIDTH // 64, head_size=64, mlp_width=4 * WIDTH,
        vocabulary=VOCABULARY, context=2 * TOKENS,
    )  # fmt: skip


def decoder_like_gpt2(**figures: int) -> Any:
    """Return a decoder of GPT-2's layout with other ``figures``."""
    model: Any = load_model("gpt2")
    changed = msgspec.structs.replace(model.figures, **figures)
    return msgspec.structs.replace(model, name=DECODER, preset=msgspec.structs.replace(model.preset, figures=changed))


def small_model(name: str) -> Any:
    """Return ``DECODER`` or ``RESIDUAL``."""
    return small_decoder() if name == DECODER else load_model(name)


class Passes:
    """Small models that are built, and the rounds of their passes."""

    def __init__(self, asked: Sequence[Pass], seed: int) -> None:
        """Build the models of ``asked``; call it, like ``measure``, under ``torch.inference_mode``."""
        modules: dict[str, Any] = {}
        self._runs: list[Any] = []
        self._rounds: list[list[float]] = [[] for _ in asked]
        self._asked = tuple(asked)
        for one in asked:
            model = small_model(one.model)
            if one.model not in modules:
                modules[one.model] = model.module(dtype=DTYPE, seed=seed)
            shape = Shape(
                phase=one.phase, batch=one.batch, prompt=TOKENS if "prompt" in model.sizes else None, context=TOKENS,
                dtype=DTYPE, seed=seed,
            )  # fmt: skip
            self._runs.append(make_pass(model, modules[one.model], shape))

    def measure(self, seconds: float) -> None:
        """Add a round of all passes, of about ``seconds``."""
        for run, rounds in zip(self._runs, self._rounds, strict=True):
            rounds.append(float(np.median(timed(run, seconds / len(self._runs)))))

    def timings(self) -> tuple[PassTiming, ...]:
        """Return what each pass took."""
        return tuple(PassTiming(one, tuple(rounds)) for one, rounds in zip(self._asked, self._rounds, strict=True))
