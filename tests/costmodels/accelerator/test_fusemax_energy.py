"""Energy of 1-pass attention: published rows as ratios, sums of parts, and laws that hold for any machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.accelerator.attention_cascades import AttentionShape
from codesign.costmodels.accelerator.fusemax import Machine, one_pass_attention
from codesign.costmodels.accelerator.fusemax_energy import (
    Actions,
    attention_counts,
    attention_energy,
    energy_parts,
    published_actions,
)
from codesign.quantity import Array
from tests.costmodels.accelerator.test_fusemax import SHAPE, published

TOLERANCE = 0.01
"""Of ratios to published energies: what the counts leave open."""


def energies() -> Array:
    """Return the energy of the twelve rows with the DRAM of the artifact: 3.9 pJ a bit, the low end of HBM2."""
    actions = published_actions()
    low = actions.memory.low
    actions = actions._replace(memory=actions.memory._replace(value=low))
    return attention_energy(SHAPE, one_pass_attention(SHAPE), actions=actions).value


@pytest.mark.parametrize("design", ["binding", "arch"])
def test_ratios_of_published_rows(design: str) -> None:
    rows, found = published(f"attn-{design}")["energy"], energies()
    np.testing.assert_allclose(found / found[0], rows / rows[0], rtol=TOLERANCE)
    np.testing.assert_allclose(found, rows * 1e-12, rtol=TOLERANCE)


def test_the_saving_over_flat_is_the_published_one() -> None:
    flat, fused = published("attn-flat")["energy"] * 1e-12, published("attn-binding")["energy"] * 1e-12
    assert np.mean(energies() / flat) == pytest.approx(np.mean(fused / flat), rel=TOLERANCE)
    assert np.mean(fused / flat) == pytest.approx(0.764, abs=5e-4)


@given(*[st.integers(1, 600)] * 2, st.sampled_from((4, 16, 64)))
def test_parts_sum_and_ends_hold_the_value(queries: int, keys: int, side: int) -> None:
    shape = AttentionShape(2, 3, queries, keys, 8, 16)
    machine = Machine(rows=side, columns=side, lanes=side)
    run = one_pass_attention(shape, machine)
    counts = attention_counts(shape, run.traffic_bytes, machine)
    parts = energy_parts(counts, published_actions())
    whole = attention_energy(shape, run, machine)
    assert whole.low < whole.value < whole.high
    assert float(whole.value) == pytest.approx(sum(float(part.value) for part in parts.values()))
    assert counts.mac >= 6 * queries * keys * (8 + 16)
    assert counts.divide == 6 * queries * 16
    assert set(parts) == set(Actions._fields)


def test_designs_broadcast() -> None:
    side = np.array([64, 128, 256])
    machine = Machine(rows=side, columns=side, lanes=side)
    shape = AttentionShape(1, 12, 4096, 4096)
    whole = attention_energy(shape, one_pass_attention(shape, machine), machine)
    assert whole.value.shape == (3,)
    assert (np.diff(whole.value) < 0).all(), "larger tiles correct less often and read the buffer less"
