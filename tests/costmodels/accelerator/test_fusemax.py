"""FuseMax: every published row of the data folder, published figures as facts, and laws that hold for any machine."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.accelerator.attention_cascades import AttentionShape, one_pass
from codesign.costmodels.accelerator.cascade_traffic import compulsory_bytes
from codesign.costmodels.accelerator.divisors import largest_divisor
from codesign.costmodels.accelerator.fusemax import (
    FLAT_BUFFER,
    ONE_PASS,
    AttentionRun,
    Granularity,
    Machine,
    flat_attention,
    flat_traffic,
    one_pass_attention,
    unfused_attention,
)
from codesign.costmodels.accelerator.linear_layers import linear_layers, product_bytes
from codesign.errors import UsageError
from codesign.quantity import Array

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "accelerators" / "fusemax"
LENGTHS = {"1K": 2**10, "4K": 2**12, "16K": 2**14, "64K": 2**16, "256K": 2**18, "1M": 2**20}
HEADS, WIDTH = {"BERT": 12, "T5": 8}, {"BERT": 768, "T5": 512}

LENGTH = np.array([length for _ in HEADS for length in LENGTHS.values()])
SHAPE = AttentionShape(64, np.repeat(list(HEADS.values()), len(LENGTHS)), LENGTH, LENGTH)
# blocks that FLAT's own search takes: a head, then 1024 or 256 queries; from 256K on scores leave the chip
BLOCKS = np.select([LENGTH <= 2**12, LENGTH == 2**16], [LENGTH, 256], 1024)


def flat() -> AttentionRun:
    machine = Machine(buffer_bytes=FLAT_BUFFER)
    return flat_attention(SHAPE, flat_traffic(SHAPE, Granularity(BLOCKS, LENGTH <= 2**16), machine), machine)


def published(name: str) -> dict[str, Array]:
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data/accelerators/fusemax here")
    with (SHARED / f"{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    columns = {k: [row[k] for row in rows] for k in rows[0] if k}
    if "seq_len" in columns:
        assert [LENGTHS[text] for text in columns["seq_len"]] == LENGTH.tolist()
    return {k: np.array(v, float) for k, v in columns.items() if k not in ("model", "accel", "seq_len")}


def compare(run: AttentionRun, rows: dict[str, Array]) -> None:
    for found, name in (
        (run.seconds, "latency"),
        (run.traffic_bytes, "traffic"),
        (run.array_utilisation, "util_2d"),
        (run.lane_utilisation, "util_1d"),
    ):
        np.testing.assert_allclose(found, rows[name], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("design", ONE_PASS)
def test_published_rows_of_one_pass(design: str) -> None:
    compare(one_pass_attention(SHAPE, design=design), published(f"attn-{design}"))


def test_published_rows_of_the_baselines() -> None:
    compare(unfused_attention(SHAPE), published("attn-unfused"))
    compare(flat(), published("attn-flat"))
    rows = published("attn-flat")
    compare(flat_attention(SHAPE, rows["traffic"]), rows)


@pytest.mark.parametrize("name", ["end2end-flat", "end2end-proposal"])
def test_published_rows_of_linear_layers(name: str) -> None:
    width = np.repeat(list(WIDTH.values()), len(LENGTHS))
    run, rows = linear_layers(64 * LENGTH, width, 4 * width), published(name)
    np.testing.assert_allclose(run.seconds, rows["latency"], rtol=1e-9)
    np.testing.assert_allclose(run.traffic_bytes, rows["traffic"], rtol=1e-9)


def test_published_rows_of_other_array_sizes() -> None:
    rows = published("pareto")
    side = rows["PE_dim"]
    heads = np.repeat(list(HEADS.values()), len(side) // 2)
    run = one_pass_attention(AttentionShape(64, heads, 2**18, 2**18), Machine(side, side, side))
    np.testing.assert_allclose(run.seconds, rows["latency"], rtol=1e-9)
    np.testing.assert_allclose(run.array_cycles / 940e6, rows["comp_2d_lat"], rtol=1e-9)
    np.testing.assert_allclose(run.lane_cycles / 940e6, rows["comp_1d_lat"], rtol=1e-9)


def test_published_energy_ratios() -> None:
    ours, theirs = published("attn-binding"), published("attn-flat")
    assert (ours["energy"] / theirs["energy"]).mean() == pytest.approx(0.7640, abs=5e-5)
    linear, baseline = published("end2end-proposal"), published("end2end-flat")
    ratio = (ours["energy"] + linear["energy"]) / (theirs["energy"] + baseline["energy"])
    assert ratio.mean() == pytest.approx(0.8085, abs=5e-5)


def test_figures_of_the_paper() -> None:
    bert = one_pass_attention(AttentionShape(64, 12, 1024, 1024))
    assert bert.lane_cycles == 1_892_352
    assert bert.seconds == pytest.approx(2.013140e-3, rel=1e-6)
    assert bert.array_utilisation == pytest.approx(0.889610, rel=1e-6)
    assert bert.traffic_bytes == 402_653_184
    assert flat().traffic_bytes[0] == 1_308_622_848
    assert unfused_attention(AttentionShape(64, 12, 1024, 1024)).traffic_bytes == 6_845_104_128


def test_headline_ratios() -> None:
    ours, width = one_pass_attention(SHAPE), np.repeat(list(WIDTH.values()), len(LENGTHS))
    linear = linear_layers(64 * LENGTH, width, 4 * width).seconds
    speedup = flat().seconds / ours.seconds
    assert speedup.mean() == pytest.approx(7.6301, abs=5e-5)
    assert np.exp(np.log(speedup).mean()) == pytest.approx(7.5974, abs=5e-5)
    assert (unfused_attention(SHAPE).seconds / ours.seconds).mean() == pytest.approx(11.4117, abs=5e-5)
    assert ((flat().seconds + linear) / (ours.seconds + linear)).mean() == pytest.approx(6.1772, abs=5e-5)


SHAPES = st.tuples(*[st.integers(1, n) for n in (4, 4, 3000, 3000, 128, 128)])
MACHINES = st.builds(
    Machine,
    *[st.integers(1, 128)] * 3,
    st.just(1e9),
    st.integers(10**3, 10**7),
    st.floats(1e8, 1e12),
    st.integers(1, 4),
)


def attention(shape: AttentionShape, machine: Machine, design: str) -> AttentionRun:
    return unfused_attention(shape, machine) if design == "unfused" else one_pass_attention(shape, machine, design)


DESIGNS = st.sampled_from([*ONE_PASS, "unfused"])


@given(SHAPES, MACHINES, DESIGNS)
def test_laws(extents: tuple[int, ...], machine: Machine, design: str) -> None:
    shape, price = AttentionShape(*extents), partial(attention, design=design)
    run = price(shape, machine)
    b, h, p, m, e, f = extents
    compulsory = machine.word_bytes * b * h * (p + m) * (e + f)
    assert run.traffic_bytes >= compulsory
    assert run.seconds >= compulsory / machine.bandwidth * (1 - 1e-12)
    assert run.seconds >= b * h * p * m * (e + f) / (machine.rows * machine.columns * 1e9) * (1 - 1e-12)
    assert 0 < run.array_utilisation <= 1 + 1e-12
    assert 0 < run.lane_utilisation <= 1 + 1e-12
    assert price(shape, machine._replace(bandwidth=2 * machine.bandwidth)).seconds <= run.seconds
    assert price(shape, machine._replace(clock_hz=2e9)).seconds <= run.seconds
    larger = price(shape, machine._replace(buffer_bytes=2 * machine.buffer_bytes))
    assert larger.traffic_bytes <= run.traffic_bytes
    assert larger.fits >= run.fits
    assert price(shape._replace(batch=2 * b), machine).array_cycles == 2 * run.array_cycles


@given(st.lists(st.tuples(SHAPES, MACHINES), min_size=1, max_size=5), DESIGNS)
def test_arrays_equal_scalars(points: list[tuple[tuple[int, ...], Machine]], design: str) -> None:
    shape = AttentionShape(*np.array([extents for extents, _ in points]).T)
    machine = Machine(*np.array([machine for _, machine in points]).T)
    together = attention(shape, machine, design)
    for i, (extents, one) in enumerate(points):
        alone = attention(AttentionShape(*extents), one, design)
        assert [float(x) for x in alone] == [float(x[i]) for x in together]


def test_whole_blocks_move_the_compulsory_traffic_of_the_cascade() -> None:
    shape = AttentionShape(2, 3, 512, 1024)
    assert one_pass_attention(shape).traffic_bytes == compulsory_bytes(one_pass(shape))


def test_a_buffer_too_small_for_one_block_is_said() -> None:
    run = one_pass_attention(AttentionShape(1, 1, 1024, 1024), Machine(buffer_bytes=np.array([2**10, 2**24])))
    assert run.fits.tolist() == [False, True]
    assert np.isfinite(run.seconds).all()


@given(st.integers(1, 5000), st.integers(1, 6000))
def test_largest_divisor(number: int, limit: int) -> None:
    assert largest_divisor(number, limit) == max(d for d in range(1, number + 1) if number % d == 0 and d <= limit)


@given(*[st.integers(1, 3000)] * 3, st.integers(8, 10**6))
def test_products_are_never_below_compulsory_and_fall_with_the_buffer(n: int, i: int, o: int, room: int) -> None:
    moved = product_bytes(n, i, o, Machine(buffer_bytes=np.array([room, 2 * room, 1e12])))
    assert moved[0] >= moved[1] >= moved[2] == 2 * (n * i + i * o + n * o)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: one_pass_attention(SHAPE, design="bindings"), "did you mean binding"),
        (lambda: one_pass_attention(AttentionShape(64, 12, 0, 1024)), "queries: found 0"),
        (lambda: one_pass_attention(SHAPE, Machine(rows=2.5)), "rows: found 2.5"),
        (lambda: unfused_attention(SHAPE, Machine(bandwidth=0.0)), "bandwidth: found 0"),
        (lambda: flat_attention(SHAPE, -1.0), "traffic_bytes: found -1"),
        (lambda: flat_traffic(SHAPE, Granularity(0)), "granularity: found 0"),
        (lambda: linear_layers(10, 20, float("inf")), "feed_forward: found inf"),
        (lambda: product_bytes(1, 1, 1, Machine(buffer_bytes=1)), "buffer_bytes, in words: found 0"),
        (lambda: largest_divisor(2.0**33, 2), "expected at most"),
        (lambda: largest_divisor(4, 0.5), "limit: expected at least 1"),
    ],
)
def test_bad_input_is_named(call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()
