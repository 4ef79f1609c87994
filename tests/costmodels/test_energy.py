"""Power and energy: planted coefficients found again, physics' bounds, intervals in order, limits that cost time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.api import estimate
from codesign.costmodels.efficiency import table
from codesign.costmodels.energy import naive_energy
from codesign.costmodels.operators import physics
from codesign.costmodels.operators.device import device_of
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.lookup import shipped_model
from codesign.costmodels.operators.model_file import model_of, read_model, write_model
from codesign.costmodels.operators.power import LONG, OVERSHOOT, PowerModel, energy_of, fit_power
from codesign.costmodels.operators.queries import power_of, predict_frame
from codesign.costmodels.operators.tables import Rows
from codesign.costmodels.power_cap import capped, fit_cap
from codesign.errors import UsageError
from codesign.quantity import Array
from codesign.targets import load_target

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
TRUE = PowerModel(
    awake=0.2, running=0.15, flop_exponent=0.6, byte_exponent=0.5, byte=0.3, flop={"gemm": {"bf16": 0.7, "fp8": 1.1}},
    devices=("b200-sxm",), architectures=("blackwell",),
)  # fmt: skip


def products(count: int = 4_000, device: str = "b200-sxm", forms: tuple[str, ...] = ("bf16", "fp8")) -> Rows:
    """Return random products at a random share of what the device could do, without a recorded power."""
    rng = np.random.default_rng(3)
    shapes = {name: np.rint(2.0 ** rng.uniform(low, 15, count)) for name, low in (("m", 0), ("n", 7), ("k", 7))}
    rows = Rows(
        "gemm", {"batch": np.ones(count), **shapes}, (device_of(load_target(device)),), np.zeros(count, np.int64),
        tuple(format_of(name) for name in forms), rng.integers(0, len(forms), count), ("vllm",),
        np.zeros(count, np.int64), np.ones(count), np.zeros(count, bool), {},
    )  # fmt: skip
    best = physics.bound(FAMILIES["gemm"].work(rows.shapes, rows.columns), rows.columns)
    return msgspec.structs.replace(rows, seconds=best / rng.uniform(0.1, 0.9, count) + 2e-6)


def recorded(rows: Rows, noise: float = 0.0) -> Rows:
    error = np.exp(np.random.default_rng(4).normal(0.0, noise, len(rows)))
    return msgspec.structs.replace(rows, watts=TRUE.watts(rows, rows.seconds) * error)


def spread(model: PowerModel, below: float, above: float) -> PowerModel:
    ends = {"gemm": (-below, above)}
    return msgspec.structs.replace(model, spread=ends, short_spread=ends)


def test_the_form_is_the_stated_one() -> None:
    rows = products(1)
    rows = msgspec.structs.replace(rows, form=np.zeros(1, np.int64), seconds=np.array([1e-3]))
    m, n, k = (float(rows.shapes[name][0]) for name in ("m", "n", "k"))
    flop = 2 * m * n * k / 1e-3 / rows.devices[0].matrix["bf16"]
    byte = 2 * (m * k + k * n + m * n) / 1e-3 / rows.devices[0].bandwidth
    asked = 0.2 + 0.15 + 0.7 * min(flop, 1.0) ** 0.6 + 0.3 * min(byte, 1.0) ** 0.5  # 1 ms is far beyond the ramp
    watts = float(TRUE.watts(rows, rows.seconds)[0])
    assert watts == pytest.approx(1000.0 * (1.0 + asked**-12.0) ** (-1.0 / 12.0), rel=1e-9)


def test_planted_shares_are_found_again() -> None:
    rows = products(10_000)
    found = fit_power({"gemm": recorded(rows, 0.05)})
    assert found is not None
    long = rows.seconds >= LONG
    ratio = found.watts(rows, rows.seconds) / TRUE.watts(rows, rows.seconds)
    np.testing.assert_allclose(ratio[long], 1.0, atol=0.03)
    low, high = found.spread["gemm"]
    assert -low == pytest.approx(1.645 * 0.05, rel=0.3)
    assert high == pytest.approx(1.645 * 0.05, rel=0.3)
    (score,) = found.scores
    assert score.median < 0.05 < score.constant
    assert found.devices == ("b200-sxm",)


def test_readings_of_short_kernels_do_not_move_the_fit() -> None:
    rows = recorded(products(), 0.02)
    assert rows.watts is not None
    lagging = msgspec.structs.replace(rows, watts=np.where(rows.seconds < LONG, 240.0, rows.watts))
    first, second = fit_power({"gemm": rows}), fit_power({"gemm": lagging})
    assert first is not None
    assert second is not None
    assert first.flop == second.flop
    assert first.short_spread != second.short_spread


def test_no_recorded_power_gives_no_model() -> None:
    rows = products(300)
    assert fit_power({"gemm": rows}) is None
    assert fit_power({"gemm": msgspec.structs.replace(rows, watts=np.full(300, np.nan))}) is None


@given(st.floats(1.0, 50.0), st.floats(1.0, 3.0), st.integers(0, 999))
def test_energy_grows_with_time_and_power_stays_within_the_limit(slower: float, width: float, row: int) -> None:
    rows = products(1_000).take(np.array([row]))
    seconds = rows.seconds * slower
    found = energy_of(spread(TRUE, 0.3, 0.2), rows, seconds, seconds / width, seconds * width)
    assert found.low[0] <= found.joules[0] <= found.high[0]
    assert found.thermal[0] == pytest.approx(1000.0 * seconds[0])
    assert found.joules[0] == pytest.approx(found.watts[0] * seconds[0])
    assert 199.9 < found.watts[0] <= 1000.0
    assert found.high[0] <= OVERSHOOT * 1000.0 * seconds[0] * width * (1 + 1e-12)
    faster = energy_of(TRUE, rows, rows.seconds, rows.seconds, rows.seconds)
    assert faster.joules[0] <= found.joules[0] * (1 + 1e-12)


def test_power_grows_with_the_rates() -> None:
    rows = products()
    work = FAMILIES["gemm"].work(rows.shapes, rows.columns)
    long = np.full(len(rows), 10.0 * LONG)
    watts = TRUE.watts(rows, long)
    more = msgspec.structs.replace(rows, shapes={**rows.shapes, "k": 2.0 * rows.shapes["k"]})
    assert (work.flops > 0).all()
    assert (TRUE.watts(more, long) >= watts).all()


def test_a_doubtful_latency_moves_the_energy_by_less_than_itself() -> None:
    rows = products()
    rows = rows.take(rows.seconds > LONG)  # shorter ones fill the cores for more of a longer time
    seconds = rows.seconds
    exact = energy_of(spread(TRUE, 0.0, 0.0), rows, seconds, seconds / 1.5, seconds * 1.5)
    assert (exact.high / exact.joules <= 1.5 * (1 + 1e-9)).all()
    assert (exact.high / exact.joules > 1.0).all()
    free = (exact.watts > 500.0) & (exact.watts < 800.0)  # at the limit energy is in proportion to time
    assert free.any()
    assert (exact.high[free] / exact.joules[free] < 1.46).all()


def test_devices_without_recorded_power_have_wider_intervals() -> None:
    model = spread(TRUE, 0.2, 0.2)

    def width(device: str) -> Array:
        rows = products(500, device, ("bf16",))
        s = 20.0 * rows.seconds
        found = energy_of(model, rows, s, s, s)
        return np.asarray(found.joules / found.low)

    seen, same, new = width("b200-sxm"), width("rtx-pro-6000-server"), width("a100-80gb-sxm")
    np.testing.assert_allclose(seen, np.exp(0.2))
    assert (seen < same).all()
    assert (same < new).all()


def test_a_model_file_keeps_the_power(tmp_path: Path) -> None:
    model = model_of({}, 0, {}, power=spread(TRUE, 0.1, 0.2))
    write_model(tmp_path / "m.npz", model)
    assert read_model(tmp_path / "m.npz").card.power == model.card.power
    without = model_of({}, 0, {})
    assert power_of(without) is shipped_model().card.power
    assert power_of(model) is model.card.power


def test_queries_give_energy_beside_the_naive_one() -> None:
    rows: dict[str, Any] = {
        "op": ["gemm"] * 3, "device": ["b200-sxm", "h100-sxm", "v100-sxm"], "dtype": ["bf16", "bf16", "fp16"],
        "m": ["1", "512", "8192"], "n": ["4096"] * 3, "k": ["4096"] * 3,
    }  # fmt: skip
    found = predict_frame(pl.DataFrame(rows), shipped_model())
    values = {name: found[name].to_numpy() for name in found.columns if found[name].dtype.is_numeric()}
    seconds = values["latency_ms"] * 1e-3
    np.testing.assert_allclose(values["energy_j"], values["power_w"] * seconds)
    np.testing.assert_allclose(values["energy_tdp_j"], np.array([1000.0, 700.0, 300.0]) * seconds)
    assert (values["energy_low_j"] < values["energy_j"]).all()
    assert (values["energy_j"] < values["energy_high_j"]).all()


def test_design_power_times_time_stands_beside_the_energy_of_a_model() -> None:
    priced = estimate("llama-3.1-8b", "h100-sxm", batch=8, prompt=512, generate=64, tp=2)
    found = naive_energy(priced.estimate, priced.machine)
    assert found is not None
    name, joules = found
    assert name == "energy_per_token"
    tokens = priced.estimate.columns["throughput"].value
    np.testing.assert_allclose(joules, 2 * 700.0 / tokens, rtol=1e-9)


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    for limit in (700.0, 900.0):
        found = capped(np.array([200.0, 690.0]), limit, 700.0)
        np.testing.assert_array_equal(found.slowdown, 1.0)
        np.testing.assert_array_equal(found.energy_high, 1.0)
    assert capped(150.0, 600.0, 700.0).slowdown < 1.001


@given(st.floats(50.0, 700.0), st.floats(0.0, 1.0))
def test_lower_limits_draw_less_and_take_longer(power: float, clocked: float) -> None:
    limits = np.linspace(150.0, 700.0, 23)
    found = capped(power, limits, 700.0, clocked)
    assert (np.diff(found.power) >= -1e-9).all()
    assert (np.diff(found.slowdown) <= 1e-9).all()
    assert (found.slowdown >= 1.0).all()
    assert (found.power <= power * (1 + 1e-12)).all()
    np.testing.assert_allclose(found.energy * power, found.power * found.slowdown)
    assert ((found.energy_low <= found.energy) & (found.energy <= found.energy_high)).all()


def test_what_waits_for_memory_saves_energy_and_what_computes_slows_down() -> None:
    memory, compute = (capped(600.0, 400.0, 700.0, share) for share in (0.0, 1.0))
    assert memory.slowdown == 1.0
    assert memory.energy < compute.energy
    assert compute.slowdown > 1.2
    deep = capped(600.0, 100.0, 700.0, 1.0)
    assert deep.energy > 1.0  # the static part is paid for longer than the dynamic part saves


def test_impossible_caps_are_refused() -> None:
    for power, limit, rated in ((0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, np.nan)):
        with pytest.raises(UsageError, match="not positive"):
            capped(power, limit, rated)
    with pytest.raises(UsageError, match="outside 0 to 1"):
        capped(1.0, 1.0, 1.0, 1.5)


def test_a_planted_cap_is_found_again() -> None:
    start = table().power.cap
    true = msgspec.structs.replace(start, slack=0.95, static_share=0.2, clocked_share=0.6, sharpness=6.0)
    power, limit = (a.ravel() for a in np.meshgrid(np.linspace(100.0, 290.0, 15), np.linspace(120.0, 300.0, 10)))
    found = capped(power, limit, 300.0, form=true)
    fitted = fit_cap(power, limit, np.full_like(power, 300.0), found.slowdown, found.power / power, start)
    assert fitted.clocked_share == pytest.approx(0.6, abs=0.02)
    assert fitted.static_share == pytest.approx(0.2, abs=0.02)


def traces() -> list[Any]:
    path = SHARED / "carbon" / "power_cap.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    load = ["gpu", "dataset", "network", "batch_size", "optimizer"]
    runs = pl.read_csv(path)
    top = runs.filter(pl.col("power_limit_w") == pl.col("power_limit_w").max().over("gpu"))
    top = top.group_by(load).agg(
        pl.col("time_per_epoch_s").mean().alias("time"), pl.col("average_power_w").mean().alias("power"),
        pl.col("power_limit_w").max().alias("rated"),
    )  # fmt: skip
    runs = runs.join(top, on=load)
    columns = {name: runs[name].cast(pl.Float64).to_numpy() for name in runs.columns if runs[name].dtype.is_numeric()}
    slowdown = columns["time_per_epoch_s"] / columns["time"]
    drawn = columns["average_power_w"] / columns["power"]
    return [runs["gpu"].to_numpy(), columns["power"], columns["power_limit_w"], columns["rated"], slowdown, drawn]


def test_the_shipped_cap_is_the_fit_of_the_traces_and_holds_on_a_gpu_left_out() -> None:
    gpu, power, limit, rated, slowdown, drawn = traces()
    start = table().power.cap
    fitted = fit_cap(power, limit, rated, slowdown, drawn, start)
    for name in ("slack", "sharpness", "static_share", "clocked_share"):
        assert getattr(start, name) == pytest.approx(getattr(fitted, name), rel=0.005)
    for out in np.unique(gpu):
        used, left = gpu != out, gpu == out
        form = fit_cap(power[used], limit[used], rated[used], slowdown[used], drawn[used], start)
        found = capped(power[left], limit[left], rated[left], form=form)
        assert np.mean(np.abs(found.slowdown / slowdown[left] - 1.0)) < 0.055
        assert np.mean(np.abs(found.energy / (slowdown * drawn)[left] - 1.0)) < 0.06


def test_the_shipped_power_beats_a_constant_on_shapes_left_out() -> None:
    shipped = shipped_model().card.power
    assert shipped is not None
    assert {score.family for score in shipped.scores} == {"gemm", "prefill", "decode", "moe"}
    assert all(score.median < 0.15 and score.mean < score.constant for score in shipped.scores)
