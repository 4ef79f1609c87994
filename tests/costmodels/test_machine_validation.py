"""Predicted against measured on a synthetic machine: the right passes are asked for, and errors are what they are."""

from __future__ import annotations

import math

import msgspec
import pytest

from codesign.costmodels.factors import LABELS, F
from codesign.costmodels.machine_validation import CASES, Case, case_model, compare, predictions, summary
from codesign.costmodels.operators.speed_now import predicted, speed_now
from codesign.errors import DataError, EnvironmentLacks
from codesign.profilers.measure import Measurement, Request
from codesign.profilers.operators import Answer, Timing
from codesign.profilers.operators import Request as AskedOperators
from codesign.quantity import Method
from codesign.targets import Calibration, load_target

SHORT = (
    Case("resnet-18", "forward", (1, 4)), Case("gpt2", "prefill", (2,), layers=2, prompt=16),
    Case("gpt2", "decode", (1, 8), layers=2, prompt=16),
)  # fmt: skip


def test_five_models_at_three_batch_sizes() -> None:
    assert {case.model for case in CASES} == {"resnet-50", "bert-base", "gpt2", "vit-b-16", "llama-3.2-1b"}
    assert all(len(case.batches) == 3 for case in CASES)
    assert {case.layers for case in CASES if case.model == "llama-3.2-1b"} == {2}


def test_errors_and_intervals_of_a_slower_machine() -> None:
    target = load_target("h100-sxm")
    asked: list[Request] = []

    def twice(request: Request) -> Measurement:
        asked.append(request)
        case = next(c for c in SHORT if (c.model, c.phase) == (request.model, request.phase))
        seconds = 2.0 * predictions(case, target)[case.batches.index(request.batch)].value
        return Measurement(seconds, seconds, seconds, 9, 2, request.batch == 8, "none")

    rows = compare(target, SHORT, measure=twice).rows
    once = [
        ("resnet-18", "forward", 1, None, 128), ("resnet-18", "forward", 4, None, 128),
        ("gpt2", "prefill", 2, 2, 16), ("gpt2", "decode", 1, 2, 16), ("gpt2", "decode", 8, 2, 16),
    ]  # fmt: skip
    rounds = [(r.model, r.phase, r.batch, r.layers, r.context) for r in asked]
    assert rounds == once + once, "the second round begins when the first has ended"
    assert all(request.dtype == "fp32" for request in asked)
    for row in rows:
        assert row.error == pytest.approx(-0.5)
        assert row.error_before == pytest.approx(-0.5)
        assert row.inside == (row.predicted.high >= row.measured.median)
    whole = summary(rows)
    assert whole.rows == 5
    assert whole.mean_error == pytest.approx(0.5)
    assert whole.median_error == pytest.approx(0.5)
    assert whole.busy == 1
    assert whole.own_error is None
    assert summary(rows, slower=2.0).own_error == pytest.approx(0.0), "a machine at half its speed explains all of it"
    assert whole.inside == sum(row.inside for row in rows) / 5
    assert whole.drift == whole.most_drift == 0.0


def test_rounds_tell_the_machine_from_the_model() -> None:
    seconds = iter((1.0, 2.0, 1.5, 2.0))

    def changing(request: Request) -> Measurement:
        median = next(seconds)
        return Measurement(median, 0.9 * median, 1.1 * median, 9, 2, False, "none")

    cases = (Case("gpt2", "decode", (1, 8), layers=2, prompt=16),)
    first, second = compare(load_target("h100-sxm"), cases, measure=changing).rows
    assert first.measured.median == pytest.approx(1.25)
    assert [first.measured.low, first.measured.high] == pytest.approx([0.9, 1.65])
    assert (first.measured.repeats, second.measured.median) == (18, 2.0)
    assert [first.drift, second.drift] == pytest.approx([math.log(1.5), 0.0])
    whole = summary((first, second))
    assert [whole.drift, whole.most_drift] == pytest.approx([math.log(1.5) / 2, math.log(1.5)])


def test_what_cannot_be_measured_costs_nothing_else() -> None:
    asked: list[int] = []

    def small_machine(request: Request) -> Measurement:
        asked.append(request.batch)
        if request.batch == 8:
            raise EnvironmentLacks("gpt2 needs 9 GiB of weights, 4 GiB are free", "keep fewer layers")
        return Measurement(1.0, 0.9, 1.1, 9, 2, False, "none")

    cases = (Case("gpt2", "decode", (1, 8), layers=2, prompt=16),)
    found = compare(load_target("h100-sxm"), cases, measure=small_machine)
    assert [row.batch for row in found.rows] == [1]
    assert found.missing == ("gpt2, 2 layers, decode, batch 8: gpt2 needs 9 GiB of weights, 4 GiB are free",)
    assert asked == [1, 8, 1], "and is not asked for again"
    with pytest.raises(DataError, match="no model could be measured"):
        compare(load_target("h100-sxm"), (Case("gpt2", "decode", (8,), prompt=16),), measure=small_machine)


def test_calibration_moves_only_what_comes_after() -> None:
    target = load_target("h100-sxm")
    slower = Calibration(LABELS[F.HOST], 3.0, 0.1, Method.CALIBRATED, "a test")
    calibrated = msgspec.structs.replace(target, calibration=(slower,))
    (row,) = compare(
        calibrated, (Case("gpt2", "decode", (1,), layers=2, prompt=16),),
        measure=lambda request: Measurement(1.0, 1.0, 1.0, 9, 2, False, "none"),
    ).rows  # fmt: skip
    assert row.predicted.value > 2.0 * row.before, "eager and host-bound"


def test_a_shortened_model_keeps_its_layers() -> None:
    short, whole = case_model(Case("gpt2", "decode", (1,), layers=2)), case_model(Case("gpt2", "decode", (1,)))
    assert short.name == "gpt2, 2 layers"
    assert whole.parameters - short.parameters == 10 * (12 * 768**2 + 13 * 768)


def test_the_speed_of_now_is_measured_over_predicted() -> None:
    target = load_target("h100-sxm")

    def slower(request: AskedOperators) -> Answer:
        assert all(operator.dtype == "fp32" for operator in request.operators)
        times = 1.5 * predicted(request.operators, target)
        found = tuple(Timing(o, (t, t), t, t, t, 9) for o, t in zip(request.operators, times.tolist(), strict=True))
        return Answer(found, 1e-3, None, 2, "2.13.0", "cuda")

    speed = speed_now(target, measure=slower)
    assert speed.ratio == pytest.approx(1.5)
    assert speed.low == pytest.approx(1.5)
    assert speed.changed
    assert not speed._replace(ratio=0.95).changed
    assert speed._replace(ratio=0.8).changed


def test_the_speed_of_a_machine_that_measures_nothing_is_refused() -> None:
    def nothing(request: AskedOperators) -> Answer:
        return Answer(tuple(Timing(o, reason="no memory") for o in request.operators), 1e-3, None, 2, "2.13.0", "cuda")

    with pytest.raises(DataError, match="no operator could be measured"):
        speed_now(load_target("h100-sxm"), measure=nothing)
