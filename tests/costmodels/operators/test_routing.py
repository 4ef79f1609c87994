"""How tokens spread over experts: closed forms beside draws of the same power law, and what must hold of any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.operators.routing import FEW, MANY, busiest, skew_of


def shapes(**sizes: float | list[float]) -> dict[str, np.ndarray]:
    return {name: np.atleast_1d(np.asarray(value, np.float64)) for name, value in sizes.items()}


def drawn(tokens: int, experts: int, topk: int, ep: int, skew: float, draws: int = 200) -> tuple[float, float]:
    """Return the mean rows of the device with most, and its experts with any, of draws of the tables' routing."""
    rng = np.random.default_rng(0)
    low, high = (1.0, MANY * tokens) if tokens * topk > experts else FEW
    rows, used = [], []
    for _ in range(draws):
        u = rng.random(experts)
        share = ((high ** (1 - skew) - low ** (1 - skew)) * u + low ** (1 - skew)) ** (1 / (1 - skew))
        counts = np.rint(share / share.sum() * tokens * topk)
        device = counts.reshape(ep, -1)[counts.reshape(ep, -1).sum(axis=1).argmax()]
        rows.append(device.sum())
        used.append((device > 0).sum())
    return float(np.mean(rows)), float(np.mean(used))


@pytest.mark.parametrize("skew", [1.01, 1.2])
@pytest.mark.parametrize(("tokens", "experts", "topk", "ep"), [
    (64, 128, 8, 8), (256, 128, 8, 2), (256, 256, 8, 8), (1024, 128, 8, 8), (1024, 256, 8, 32), (8192, 128, 8, 8),
    (8192, 256, 8, 2), (8192, 256, 8, 32),
])  # fmt: skip
def test_the_busiest_device_gets_what_draws_of_the_power_law_give_it(
    tokens: int, experts: int, topk: int, ep: int, skew: float
) -> None:
    rows, used = busiest(shapes(tokens=tokens, experts=experts, topk=topk, ep=ep, skew=skew))
    expected_rows, expected_used = drawn(tokens, experts, topk, ep, skew)
    assert rows[0] == pytest.approx(expected_rows, rel=0.15)
    assert used[0] == pytest.approx(expected_used, rel=0.12)


def test_even_routing_divides_by_the_devices() -> None:
    rows, used = busiest(shapes(tokens=[512.0, 4.0], experts=128, topk=8, ep=[16.0, 4.0], skew=[1.0, 1.0]))
    assert rows.tolist() == [256.0, 8.0]
    assert used.tolist() == [8.0, 8.0]


@given(
    st.integers(1, 65_536), st.sampled_from([8, 64, 256]), st.sampled_from([1, 2, 8]), st.sampled_from([1, 2, 8]),
    st.sampled_from([1.0, 1.01, 1.2, 1.5]),
)  # fmt: skip
def test_rows_and_experts_stay_within_what_there_is(tokens: int, experts: int, topk: int, ep: int, skew: float) -> None:
    rows, used = busiest(shapes(tokens=tokens, experts=experts, topk=topk, ep=ep, skew=skew))
    routed = tokens * topk
    assert routed / ep * (1 - 1e-9) <= rows[0] <= routed * (1 + 1e-9)
    assert 1.0 <= used[0] <= experts / ep


@pytest.mark.parametrize("skew", [1.0, 1.01, 1.2])
@pytest.mark.parametrize("ep", [1, 8, 64])
def test_more_tokens_never_mean_fewer_rows_or_experts(ep: int, skew: float) -> None:
    tokens = np.unique(np.geomspace(1, 65_536, 400).astype(int)).astype(np.float64)
    rows, used = busiest({"tokens": tokens, **shapes(experts=256, topk=8, ep=ep, skew=skew)})
    assert (np.diff(rows) >= -1e-6).all()
    assert (np.diff(used) >= -1e-6).all()


def test_skew_loads_the_busiest_device_only_where_there_are_several() -> None:
    one = busiest(shapes(tokens=4096, experts=256, topk=8, ep=1, skew=1.2))[0][0]
    assert one == 4096 * 8
    eight = [busiest(shapes(tokens=4096, experts=256, topk=8, ep=8, skew=skew))[0][0] for skew in (1.0, 1.01, 1.2)]
    assert eight[0] == 4096
    assert eight[0] < eight[1] < eight[2]


def test_names_of_distributions() -> None:
    assert [skew_of(name) for name in ("", "balanced", "Uniform", "power_law_1.01_eplb")] == [1.0] * 4
    assert [skew_of(name) for name in ("power_law_1.2", " power_law_1.01 ", "power_law_2")] == [1.2, 1.01, 2.0]


def test_an_exponent_of_one_is_a_power_law_and_smaller_ones_are_flatter() -> None:
    names = ("balanced", "power_law_0.5", "power_law_1.0", "power_law_1.01")
    rows = [busiest(shapes(tokens=4096, experts=256, topk=8, ep=8, skew=skew_of(name)))[0][0] for name in names]
    assert rows[0] < rows[1] < rows[2] < rows[3]
    assert rows[2] == pytest.approx(rows[3], rel=0.02)
    assert rows[1] == pytest.approx(drawn(4096, 256, 8, 8, 0.5)[0], rel=0.15)
