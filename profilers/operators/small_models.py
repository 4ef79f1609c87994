"""Whole passes of small models: what operators take one after the other, where each leaves the caches to the next.

A decoder of GPT-2's layout, two layers deep, whose weights no cache holds, and a small residual network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from codesign.models import load_model
from codesign.profilers.disturbance import drift
from codesign.profilers.measure import timed
from codesign.profilers.passes import Shape, make_pass

DECODER, RESIDUAL = "small-decoder", "resnet-18"
TOKENS = 128
"""Of a prompt, and in front of a decode step."""

WIDTH, LAYERS, VOCABULARY = 1024, 2, 16384
DTYPE = "fp32"
LONGEST_REASON = 200


class Pass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pass of one small model: ``DECODER`` or ``RESIDUAL``, a phase that it has, and the size of the batch."""

    model: str
    phase: str
    batch: int


SMALL_PASSES = (
    Pass(DECODER, "prefill", 1), Pass(DECODER, "prefill", 4), Pass(DECODER, "decode", 1), Pass(DECODER, "decode", 4),
    Pass(DECODER, "decode", 16), Pass(RESIDUAL, "forward", 1), Pass(RESIDUAL, "forward", 2),
)  # fmt: skip
"""None makes a result so large that it would come on fresh pages: the worker keeps its pages."""


class PassTiming(msgspec.Struct, frozen=True):
    """What one pass took.

    Attributes:
        asked: Which.
        rounds: Median of each round, s; rounds lie apart in time. Empty where it was not measured.
        reason: Why it was not measured; empty where it was.
    """

    asked: Pass
    rounds: tuple[float, ...]
    reason: str = ""

    @property
    def median(self) -> float:
        """Return the mean of the rounds, s."""
        return float(np.mean(self.rounds))

    @property
    def drift(self) -> float:
        """Return how far the rounds lie apart."""
        return drift(self.rounds)


def small_decoder() -> Any:
    """Return a decoder of GPT-2's layout, as large as its passes need."""
    return decoder_like_gpt2(
        DECODER, width=WIDTH, layers=LAYERS, heads=WIDTH // 64, kv_heads=WIDTH // 64, head_size=64, mlp_width=4 * WIDTH,
        vocabulary=VOCABULARY, context=2 * TOKENS,
    )  # fmt: skip


def decoder_like_gpt2(name: str, **figures: int) -> Any:
    """Return a decoder of GPT-2's layout with other ``figures``, called ``name``."""
    model: Any = load_model("gpt2")
    changed = msgspec.structs.replace(model.figures, **figures)
    return msgspec.structs.replace(model, name=name, preset=msgspec.structs.replace(model.preset, figures=changed))


def small_model(name: str) -> Any:
    """Return ``DECODER`` or ``RESIDUAL``."""
    return small_decoder() if name == DECODER else load_model(name)


class Passes:
    """Small models that are built, and the rounds of their passes."""

    def __init__(self, asked: Sequence[Pass], seed: int) -> None:
        """Build the models of ``asked``; call it, like ``measure``, under ``torch.inference_mode``."""
        self._asked = tuple(asked)
        self._rounds: list[list[float]] = [[] for _ in asked]
        self._reasons: dict[int, str] = {}
        self._modules: dict[str, Any] = {}
        self._runs: dict[int, Callable[[], Any]] = {}
        for place in range(len(self._asked)):
            self._guarded(place, lambda place: self._build(place, seed))

    def measure(self, seconds: float) -> None:
        """Add a round of all passes, of about ``seconds``."""
        for place in range(len(self._asked)):
            self._guarded(place, lambda place: self._time(place, seconds / len(self._asked)))

    def timings(self) -> tuple[PassTiming, ...]:
        """Return what each pass took, or why it was not measured."""
        return tuple(
            PassTiming(one, () if place in self._reasons else tuple(self._rounds[place]), self._reasons.get(place, ""))
            for place, one in enumerate(self._asked)
        )

    def _guarded(self, place: int, run: Callable[[int], None]) -> None:
        """Run a step of one pass, unless one before failed; a failure costs this pass and nothing else."""
        if place in self._reasons:
            return
        try:
            run(place)
        except (RuntimeError, MemoryError) as error:
            self._reasons[place] = (" ".join(str(error).split()) or type(error).__name__)[:LONGEST_REASON]

    def _build(self, place: int, seed: int) -> None:
        one = self._asked[place]
        model = small_model(one.model)
        if one.model not in self._modules:
            self._modules[one.model] = model.module(dtype=DTYPE, seed=seed)
        shape = Shape(
            phase=one.phase, batch=one.batch, prompt=TOKENS if "prompt" in model.sizes else None, context=TOKENS,
            dtype=DTYPE, seed=seed,
        )  # fmt: skip
        self._runs[place] = make_pass(model, self._modules[one.model], shape)

    def _time(self, place: int, seconds: float) -> None:
        self._rounds[place].append(float(np.median(timed(self._runs[place], seconds))))
