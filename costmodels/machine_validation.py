"""Predicted against measured latency of whole models on this machine: what ``codesign validate machine`` does.

Five models at three batch sizes, the language models both as a prompt and as a decode step, in fp32 and eagerly, each
measured in a process of its own, in two rounds that lie apart in time: what differs between them is the machine, and no
model can predict it. Nothing is fitted here: the target and its overlay say what was learnt before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.api import estimate
from codesign.errors import CodesignError, DataError
from codesign.models import Model, load_model
from codesign.models.shorten import shortened
from codesign.profilers.disturbance import drift
from codesign.profilers.measure import Measurement, Request, measure_in_subprocess, together
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

ROUNDS = 2
SECONDS_EACH = 1.0
"""Time for the repeats of each latency in each round, s."""


class Compared(msgspec.Struct, frozen=True):
    """One latency.

    Attributes:
        name: Of the model.
        phase: Of it.
        batch: Size of the batch.
        predicted: With its 90 % interval, s.
        before: What the target without its calibration predicts, s.
        measured: What it took, of all rounds.
        drift: ln of the slowest round over the fastest: what the machine alone changes.
    """

    name: str
    phase: str
    batch: int
    predicted: Quantity
    before: float
    measured: Measurement
    drift: float

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


class Comparison(msgspec.Struct, frozen=True):
    """Latencies that were compared, and in words those that could not be measured, with the reason."""

    rows: tuple[Compared, ...]
    missing: tuple[str, ...]


class Summary(msgspec.Struct, frozen=True):
    """All of them.

    Attributes:
        rows: Compared latencies.
        mean_error: Mean of |predicted - measured| / measured.
        median_error: Its median.
        mean_error_before: Mean without calibration.
        inside: Share of measured latencies within their 90 % interval.
        busy: Rows whose repeats say that other work ran beside.
        drift: Median over rows of ln(slowest round / fastest round).
        most_drift: The largest of them.
        own_error: Mean error where every measured latency is taken at the speed that the calibration knew: what is
            left of the error when the machine's change of speed is taken out. None where that was not measured.
    """

    rows: int
    mean_error: float
    median_error: float
    mean_error_before: float
    inside: float
    busy: int
    drift: float
    most_drift: float
    own_error: float | None = None


def compare(
    target: Target,
    cases: Sequence[Case] = CASES,
    *,
    progress: Callable[[str], None] = lambda text: None,
    measure: Callable[[Request], Measurement] = measure_in_subprocess,
) -> Comparison:
    """Return predicted and measured latency of each case and batch on ``target``, which is this machine.

    What cannot be measured, for want of memory or because it crashed, costs nothing else.

    Args:
        target: This machine, calibrated or not.
        cases: What to measure.
        progress: Takes lines for people.
        measure: Runs one measurement.

    Raises:
        DataError: nothing could be measured.
    """
    bare = msgspec.structs.replace(target, calibration=(), operators=())
    predicted = [predictions(case, target) for case in cases]
    before = [predictions(case, bare) for case in cases]
    places = [(number, place) for number, case in enumerate(cases) for place in range(len(case.batches))]
    rounds: dict[tuple[int, int], list[Measurement]] = {where: [] for where in places}
    missing: list[str] = []
    for number in range(1, ROUNDS + 1):
        for where in tuple(rounds):
            case, batch = cases[where[0]], cases[where[0]].batches[where[1]]
            what = f"{case.name}, {case.phase}, batch {batch}"
            progress(f"round {number} of {ROUNDS}: measuring {what} ...")
            try:
                rounds[where].append(measure(request(case, batch)))
            except CodesignError as error:
                missing.append(f"{what}: {error.message}")
                del rounds[where]
    if not rounds:
        raise DataError("no model could be measured", missing[0] if missing else "name at least one case")
    rows = tuple(
        _compared(cases[at], place, predicted[at][place], before[at][place].value, found)
        for (at, place), found in rounds.items()
    )
    return Comparison(rows, tuple(missing))


def request(case: Case, batch: int) -> Request:
    """Return what to measure of ``case`` at one batch size."""
    length = case.prompt or PROMPT
    return Request(
        model=case.model, phase=case.phase, batch=batch, prompt=length, context=length, dtype=DTYPE,
        layers=case.layers, seconds=SECONDS_EACH,
    )  # fmt: skip


def _compared(case: Case, place: int, predicted: Quantity, before: float, rounds: Sequence[Measurement]) -> Compared:
    medians = [measured.median for measured in rounds]
    return Compared(case.name, case.phase, case.batches[place], predicted, before, together(rounds), drift(medians))


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
        inside=float(np.mean([row.inside for row in rows])), busy=sum(row.measured.busy for row in rows),
        drift=float(np.median([row.drift for row in rows])), most_drift=max(row.drift for row in rows), own_error=own,
    )  # fmt: skip
