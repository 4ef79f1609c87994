"""Penalty curves: chords, and convex fits of samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.search.demand_response.convex_fit import fit_convex
from codesign.search.demand_response.curves import Kind, at, chords, smooth

kinds = st.sampled_from(["online", "batch"])


@given(kinds, st.floats(0.01, 10.0), st.floats(0.05, 6.0), st.integers(1, 32), st.sampled_from(["dense", "uniform"]))
def test_chords_bound_the_curve_from_above_and_meet_it_at_knots(
    kind: Kind, weight: float, largest: float, segments: int, spacing: str
) -> None:
    curve = chords(kind, weight, largest, segments, spacing)  # type: ignore[arg-type]
    x = np.linspace(0.0, largest, 101)
    found = at(curve.knots[None], curve.values[None], x[None])[0]
    exact = weight * smooth(kind, x)
    assert (found >= exact - 1e-9 * exact.max()).all()
    assert found == pytest.approx(np.interp(x, curve.knots, curve.values), rel=1e-9, abs=1e-12)
    assert np.allclose(curve.values, weight * smooth(kind, curve.knots))


def test_denser_chords_near_zero_are_closer_where_plans_are() -> None:
    x = np.linspace(0.0, 0.05, 51)[None]

    def worst(spacing: str, segments: int) -> float:
        curve = chords("online", 1.0, 0.5, segments, spacing)  # type: ignore[arg-type]
        return float((at(curve.knots[None], curve.values[None], x)[0] - smooth("online", x[0])).max())

    assert worst("dense", 16) < 0.15 * worst("uniform", 8)


bends = st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(0.0, 10.0)), min_size=1, max_size=8)


@given(bends)
def test_a_fit_of_a_convex_curve_is_the_curve(parts: list[tuple[float, float]]) -> None:
    x = np.unique(np.round(np.cumsum([width for width, _ in parts]), 6))
    slopes = np.cumsum([rise for _, rise in parts])[: len(x)]
    y = np.cumsum(slopes * np.diff(x, prepend=0.0))
    fit = fit_convex(x, y, 32)
    assert fit.largest_miss <= 1e-8 * max(1.0, y.max())
    assert fit.missed == 0


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 100.0)), min_size=1, max_size=30), st.integers(1, 12))
def test_a_fit_is_convex_rises_from_zero_and_is_best(samples: list[tuple[float, float]], segments: int) -> None:
    x, y = (np.array(column) for column in zip(*samples, strict=True))
    if not x.max() > 1e-3:
        return
    fit = fit_convex(x, y, segments)
    assert len(fit.curve.knots) <= segments + 1
    assert fit.curve.values[0] == 0.0
    slopes = np.diff(fit.curve.values) / np.diff(fit.curve.knots)
    assert (np.diff(slopes, prepend=0.0) >= -1e-6 * max(1.0, np.abs(slopes).max())).all()
    miss = np.interp(x, *fit.curve) - y
    straight = (x @ y) / (x @ x)  # the best straight line through 0 is one of the candidates
    assert (miss**2).sum() <= ((straight * x - y) ** 2).sum() * (1 + 1e-9) + 1e-9


def test_samples_that_are_not_convex_are_counted() -> None:
    fit = fit_convex(np.array([0.1, 0.2, 0.3]), np.array([1.0, 1.1, 1.2]), 8)
    assert fit.missed >= 2
    assert fit.largest_miss > 0.1
