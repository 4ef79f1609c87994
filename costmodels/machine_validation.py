"""Predicted against measured latency of whole models on this machine: what ``codesign validate machine`` does.

Five models at three batch sizes, the language models both as a prompt and as a decode step, in fp32 and eagerly, each
measured in a process of its own. Nothing is fitted here: the target and its overlay say what was learnt before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.api import estimate
from codesign.models import Model, load_model
from codesign.models.shorten import shortened
from codesign.profilers.measure import Measurement, Request, measure_in_subprocess
from codesign.quantity import Quantity
from codesign.targets import Target

DTYPE = "fp32"
PROMPT = 128
"""Tokens of a prompt, and in front of a decode step."""


class Case(msgspec.Struct, frozen=True):
    """One phase of one model.

    Attributes:
        model: A preset.
        phase: ``forward``, ``prefill`` or ``decode``.
        batches: Sizes of the batch.
        layers: Shortens the model; None leaves it whole.
        prompt: Tokens, of a model that takes them.
    """

    model: str
    phase: str
    batches: tuple[int, ...]
    layers: int | None = None
    prompt: int | None = None

    @property
    def name(self) -> str:
        """Return what it is called in tables."""
        return self.model if self.layers is None else f"{self.model}, {self.layers} layers"


CASES = (
    Case("resnet-50", "forward", (1, 4, 16)),
    Case("vit-b-16", "forward", (1, 4, 16)),
    Case("bert-base", "forward", (1, 4, 16), prompt=PROMPT),
    Case("gpt2", "prefill", (1, 4, 16), prompt=PROMPT),
    Case("gpt2", "decode", (1, 4, 16), prompt=PROMPT),
    Case("llama-3.2-1b", "prefill", (1, 2, 4), layers=2, prompt=PROMPT),
    Case("llama-3.2-1b", "decode", (1, 4, 16), layers=2, prompt=PROMPT),
)

METRICS = {"forward": "latency", "prefill": "ttft", "decode": "tpot"}
"""Phase -> metric of an estimate that is its latency."""

SECONDS_EACH = 2.0


class Compared(msgspec.Struct, frozen=True):
    """One latency.

    Attributes:
        name: Of the model.
        phase: Of it.
        batch: Size of the batch.
        predicted: With its 90 % interval, s.
        before: What the target without its calibration predicts, s.
        measured: What it took.
    """

    name: str
    phase: str
    batch: int
    predicted: Quantity
    before: float
    measured: Measurement

    @property
    def error(self) -> float:
        """Return (predicted - measured) / measured."""
        return self.predicted.value / self.measured.median - 1.0

    @property
    def error_before(self) -> float:
        """Return the same without calibration."""
        return self.before / self.measured.median - 1.0

    @property
    def inside(self) -> bool:
        """Return whether the measured median lies within the interval."""
        return self.predicted.low <= self.measured.median <= self.predicted.high


class Summary(msgspec.Struct, frozen=True):
    """All of them.

    Attributes:
        rows: Compared latencies.
        mean_error: Mean of |predicted - measured| / measured.
        median_error: Its median.
        mean_error_before: Mean without calibration.
        inside: Share of measured latencies within their 90 % interval.
        busy: Rows whose repeats say that other work ran beside.
        own_error: Mean error where every measured latency is taken at the speed that the calibration knew: what is
            left of the error when the machine's change of speed is taken out. None where that was not measured.
    """

    rows: int
    mean_error: float
    median_error: float
    mean_error_before: float
    inside: float
    busy: int
    own_error: float | None = None


def compare(
    target: Target,
    cases: Sequence[Case] = CASES,
    *,
    progress: Callable[[str], None] = lambda text: None,
    measure: Callable[[Request], Measurement] = measure_in_subprocess,
) -> Iterator[Compared]:
    """Yield predicted and measured latency of each case and batch on ``target``, which is this machine.

    Args:
        target: This machine, calibrated or not.
        cases: What to measure.
        progress: Takes lines for people.
        measure: Runs one measurement.
    """
    bare = msgspec.structs.replace(target, calibration=(), operators=())
    for case in cases:
        predicted, before = predictions(case, target), predictions(case, bare)
        for batch, quantity, plain in zip(case.batches, predicted, before, strict=True):
            progress(f"measuring {case.name}, {case.phase}, batch {batch} ...")
            request = Request(
                model=case.model, phase=case.phase, batch=batch, prompt=case.prompt or PROMPT,
                context=case.prompt or PROMPT, dtype=DTYPE, layers=case.layers, seconds=SECONDS_EACH,
            )  # fmt: skip
            yield Compared(case.name, case.phase, batch, quantity, plain.value, measure(request))


def predictions(case: Case, target: Target) -> tuple[Quantity, ...]:
    """Return the predicted latency of each batch of ``case`` on ``target``, s."""
    options: dict[str, Any] = {"batch": np.array(case.batches, np.float64), "dtype": DTYPE, "execution": "eager"}
    if case.prompt is not None:
        options["prompt"] = case.prompt
    if case.phase != "forward":
        options["generate"] = 2  # the second token is the one decode step
    found = estimate(case_model(case), target, **options).estimate
    return tuple(found.quantity(METRICS[case.phase], place) for place in range(len(case.batches)))


def case_model(case: Case) -> Model:
    """Return the model of ``case``, shortened where it says so."""
    model: Any = load_model(case.model)
    if case.layers is None:
        return model  # type: ignore[no-any-return]
    figures = shortened(model.name, model.figures, case.layers)
    preset = msgspec.structs.replace(model.preset, figures=figures)
    return msgspec.structs.replace(model, name=case.name, preset=preset)  # type: ignore[no-any-return]


def summary(rows: Sequence[Compared], slower: float | None = None) -> Summary:
    """Return what the errors of ``rows`` (at least one) come to.

    Args:
        rows: Compared latencies.
        slower: Time of operators now over that when the machine was calibrated; None where it was not measured.
    """
    errors = np.abs([row.error for row in rows])
    own = None if slower is None else float(np.abs([(1.0 + row.error) * slower - 1.0 for row in rows]).mean())
    return Summary(
        rows=len(rows), mean_error=float(errors.mean()), median_error=float(np.median(errors)),
        mean_error_before=float(np.abs([row.error_before for row in rows]).mean()),
        inside=float(np.mean([row.inside for row in rows])), busy=sum(row.measured.busy for row in rows), own_error=own,
    )  # fmt: skip
