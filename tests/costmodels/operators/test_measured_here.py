"""A machine whose hidden rates differ from its target's: measured, learnt, and judged by rows left out."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from codesign.costmodels.factors import LABELS, F
from codesign.costmodels.fitted_factors import IN_A_MODEL
from codesign.costmodels.operators import measured_here
from codesign.costmodels.operators.chosen_shapes import (
    LARGEST_ACTIVATION,
    QUOTAS,
    chosen_shapes,
    coordinates,
    dtypes,
    largest_activation,
    pool_bytes,
    spread_out,
    weight_elements,
)
from codesign.costmodels.operators.device import PREDICTED_KINDS, device_of
from codesign.costmodels.operators.lookup import ANALYTICAL_HALF, served_by, shipped_model
from codesign.costmodels.operators.measured_here import BUSY, DISTURBED, MeasuredHere, disturbance, measure_target
from codesign.costmodels.operators.spellings import OPERATORS
from codesign.costmodels.operators.sustained import sustained
from codesign.errors import DataError, EnvironmentLacks
from codesign.profilers.disturbance import Share
from codesign.profilers.operators import SMALL_PASSES, Answer, Operator, PassTiming, Request, Timing
from codesign.quantity import Method
from codesign.targets import Target, load_target
from codesign.targets.loader import shipped
from codesign.targets.target import Unit
from codesign.testing.synthetic_machine import IN_MODELS, LAUNCH_S, measuring, processor


@pytest.fixture(scope="module")
def cpu() -> Target:
    return processor()


@pytest.fixture(scope="module")
def quiet(cpu: Target) -> MeasuredHere:
    return measure_target(cpu, measure=measuring(cpu))


def test_a_hidden_machine_is_learnt(quiet: MeasuredHere) -> None:
    assert quiet.disturbance.verdict == ""
    assert {found.calibration.expert for found in quiet.models.experts} == {
        "gemm-cpu", "convolution-cpu", "prefill-cpu", "decode-cpu", "vector-cpu", "gemm-bf16-cpu", "prefill-bf16-cpu",
        "decode-bf16-cpu",
    }  # fmt: skip
    for found in quiet.models.experts:
        assert found.after is not None
        assert found.roofline is not None
        assert found.after.mean < found.before.mean
        assert found.after.mean < found.roofline.mean, "the bar"
    products = next(found for found in quiet.models.experts if found.calibration.expert == "gemm-cpu")
    assert products.after is not None
    assert products.after.mean < 0.12
    assert set(quiet.unused) == {o.op for o in chosen_shapes(quiet.target)} - set(OPERATORS)


def test_a_format_is_learnt_apart_and_starts_from_fp32(quiet: MeasuredHere) -> None:
    entries = {entry.expert: entry for entry in quiet.operators}
    target = msgspec.structs.replace(quiet.target, operators=quiet.operators)
    model = shipped_model(trees=False)
    for family in ("gemm", "prefill", "decode"):
        wide, narrow = (served_by(model, family, form, target) for form in ("fp32", "bf16"))
        assert (wide.method, narrow.method) == (Method.CALIBRATED, Method.CALIBRATED)
        assert wide.model.change.tolist() == list(entries[f"{family}-cpu"].change)
        assert narrow.model.change.tolist() == list(entries[f"{family}-bf16-cpu"].change)
        assert narrow.half > wide.half, "fewer rows"
    only_wide = msgspec.structs.replace(target, operators=(entries["gemm-cpu"],))
    other = served_by(model, "gemm", "bf16", only_wide)
    assert other.model.change.tolist() == list(entries["gemm-cpu"].change)
    assert other.method is Method.ANALYTICAL, "measured of no bf16"
    assert other.half == ANALYTICAL_HALF


def test_the_host_factor_multiplies_the_stated_cost(quiet: MeasuredHere) -> None:
    factor = next(entry for entry in quiet.factors if entry.name == LABELS[F.HOST])
    assert quiet.host_seconds == pytest.approx(LAUNCH_S), "88 launches of the tiny decoder"
    assert factor.scale == pytest.approx(LAUNCH_S / (3.5 * 1e-6))


def test_whole_models_are_learnt_on_processors(cpu: Target, quiet: MeasuredHere) -> None:
    factors = {entry.name: entry for entry in quiet.factors}
    for factor in (F.MATRIX, F.BANDWIDTH):
        entry = factors[LABELS[factor]]
        assert entry.scale == pytest.approx(IN_MODELS, rel=0.12), "beside what the operators are off by"
        assert entry.sigma > IN_A_MODEL
    asked: list[Request] = []

    def failing(request: Request) -> Answer:
        asked.append(request)
        answer = measuring(cpu)(request)
        reason = "not enough memory"
        return msgspec.structs.replace(answer, passes=tuple(PassTiming(p, (), reason) for p in request.passes))

    found = measure_target(cpu, measure=failing)
    assert asked[0].passes == SMALL_PASSES
    assert [entry.name for entry in found.factors] == [LABELS[F.HOST]], "operators are learnt nevertheless"
    with pytest.raises(DataError):
        measure_target(
            load_target("h100-sxm"), measure=lambda request: failing(msgspec.structs.replace(request, operators=()))
        )
    assert asked[1].passes == (), "accelerators run a kernel alike wherever it stands"


def test_a_busy_machine_is_refused_and_a_disturbed_one_widened(cpu: Target, quiet: MeasuredHere) -> None:
    with pytest.raises(EnvironmentLacks, match=r"busy.*1\.6 of 4 processors"):
        measure_target(cpu, measure=measuring(cpu, others=1.6))
    with pytest.raises(EnvironmentLacks, match="longer in one round"):
        measure_target(cpu, measure=measuring(cpu, drift=0.5))
    forced = measure_target(cpu, allow_busy=True, measure=measuring(cpu, drift=0.5))
    disturbed = measure_target(cpu, measure=measuring(cpu, drift=0.2))
    assert forced.disturbance.verdict == BUSY
    assert disturbed.disturbance.verdict == DISTURBED
    for calm, less, more in zip(quiet.operators, disturbed.operators, forced.operators, strict=True):
        assert calm.half < less.half < more.half
    assert quiet.factors[0].sigma < disturbed.factors[0].sigma < forced.factors[0].sigma


def test_no_account_of_the_system_is_no_sign_of_quiet(cpu: Target) -> None:
    answer = msgspec.structs.replace(measuring(cpu, drift=0.2)(Request(chosen_shapes(cpu))), others=None)
    assert disturbance(answer, None).verdict == DISTURBED
    still = msgspec.structs.replace(measuring(cpu)(Request(chosen_shapes(cpu))), others=None)
    verdicts = [disturbance(still, load).verdict for load in (None, 0.4, 3.0, 9.0)]
    assert verdicts == ["", "", DISTURBED, BUSY], "then the load of before counts"


def test_nothing_measured_is_said(cpu: Target) -> None:
    def failing(request: Request) -> Answer:
        failed = tuple(Timing(operator, reason="not implemented") for operator in request.operators)
        return Answer(failed, 1e-3, Share(0.0, 4), 4, "2.0.0", "cpu")

    with pytest.raises(DataError, match="not implemented"):
        measure_target(cpu, measure=failing)


@pytest.mark.parametrize("name", ["this-cpu", "h100-sxm", "l4", "v100-pcie", "mi300x"])
def test_shapes_are_few_different_and_short(cpu: Target, name: str) -> None:
    target = cpu if name == "this-cpu" else load_target(name)
    chosen = chosen_shapes(target)
    assert 20 <= len(chosen) <= 50
    assert chosen == chosen_shapes(target), "the same for the same target"
    keys = [(o.op, o.dtype, tuple(o.shape.values())) for o in chosen]
    assert len(set(keys)) == len(keys)
    assert all(target.supports(operator.dtype) for operator in chosen)
    assert {quota.op for quota in QUOTAS["cpu"]} == {operator.op for operator in chosen}
    assert sum(o.op == "gemm" and o.shape["m"] == 1 for o in chosen) >= 3, "decode steps"
    assert any(o.op == "gemm" and o.shape["m"] >= 512 for o in chosen), "a prompt"
    assert all(4 * weight_elements(o.op, o.shape) <= pool_bytes(target) for o in chosen), "two at least take turns"
    assert name != "this-cpu" or all(4 * largest_activation(o.op, o.shape) <= LARGEST_ACTIVATION for o in chosen)


def test_bounds_of_the_products_span_the_measuring(cpu: Target) -> None:
    products = [o.shape for o in chosen_shapes(cpu) if o.op == "gemm" and o.dtype == "fp32"]
    where, bound = coordinates("gemm", products, device_of(cpu), "fp32")
    assert bound.max() / bound.min() > 100.0
    assert where[:, 1].min() < 0.0 < where[:, 1].max(), "both sides of the ridge"
    assert where[:, 2].min() < 0.0 < where[:, 2].max(), "in the cache and beyond it"


def test_a_narrow_dtype_is_measured_only_where_it_is_fast(cpu: Target) -> None:
    assert dtypes(cpu) == ("fp32", "bf16")
    wide = cpu.units[1]
    same = Unit("matrix", {"bf16": wide.peak["fp32"]})
    slow = msgspec.structs.replace(cpu, units=(same, wide))
    assert dtypes(slow) == ("fp32",)
    assert dtypes(load_target("v100-pcie"))[0] == "fp16"


def test_every_processor_and_card_that_states_its_cores_can_be_calibrated() -> None:
    """Some have narrow formats on their vector units alone: processors compute in them, cards are not predicted."""
    assert dtypes(load_target("epyc-9654")) == ("fp32", "bf16")
    assert dtypes(load_target("p100-pcie")) == ("fp32",)
    stated = [target for target in map(load_target, shipped())
              if target.kind in PREDICTED_KINDS and target.cores and target.clock and target.cache_bytes]  # fmt: skip
    assert len(stated) >= 30
    assert {20 <= len(chosen_shapes(target)) <= 50 for target in stated} == {True}


def test_points_are_the_middles_of_their_parts() -> None:
    line = np.linspace(0.0, 1.0, 9)[:, None]
    taken = line[spread_out(line, 3), 0]
    away = np.abs(line - taken).min(axis=1)
    assert len(set(taken.tolist())) == 3
    assert away.mean() < np.abs(line - np.array([0.0, 0.5, 1.0])).min(axis=1).mean(), "closer than the corners"
    assert sorted(spread_out(line, 50).tolist()) == list(range(9))
    assert spread_out(line[:0], 3).size == 0


def test_rare_points_are_taken_too_and_twins_do_no_harm() -> None:
    clumps = np.concatenate([np.full((50, 1), 0.0), np.full((3, 1), 1.0), np.full((1, 1), 9.0)])
    for count in (3, 6):
        assert set(clumps[spread_out(clumps, count), 0].tolist()) == {0.0, 1.0, 9.0}


def test_measured_rates_rise_to_what_was_seen_and_stated_ones_stay(cpu: Target) -> None:
    product = Operator("gemm", "fp32", {"m": 1000, "n": 1000, "k": 1000})
    stream = Operator("gemm", "fp32", {"m": 1, "n": 32_000, "k": 1000})
    timings = (Timing(product, (4e-3,), 4e-3, 4e-3, 4e-3, 9), Timing(stream, (4e-3,), 4e-3, 4e-3, 4e-3, 9))
    found = sustained(cpu, timings)
    assert found.peak("fp32").value == pytest.approx(2e9 / 4e-3)
    assert found.memory_bandwidth == pytest.approx(128e6 / 4e-3, rel=0.01)
    assert "gemm 1 x 32000 x 1000" in found.memory_bandwidth_value.source
    assert found.peak("bf16") == cpu.peak("bf16")
    slower = tuple(msgspec.structs.replace(timing, median=1.0) for timing in timings)
    assert sustained(cpu, slower) == cpu
    card = load_target("h100-sxm")
    assert sustained(card, [Timing(product, (1e-9,), 1e-9, 1e-9, 1e-9, 9)]) == card, "a data sheet is no measurement"


def test_rows_carry_what_public_tables_call_them(cpu: Target) -> None:
    found = measuring(cpu)(Request(chosen_shapes(cpu)))
    frame = measured_here.as_frame(found.timings)
    assert len(frame) == len(found.timings)
    assert {"op", "dtype", "latency_ms", "m", "n", "k", "B", "H", "num_heads", "Input_Size"} <= set(frame.columns)
    assert float(frame["latency_ms"][0]) == pytest.approx(found.timings[0].median * 1e3)
