"""Simulated quantization: closed forms of scales, what few bits can say, and which granularity errs less."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codesign.search.quantization.fake_quantize import (
    calibrated_range,
    fake_quantize_activation,
    fake_quantize_cache,
    fake_quantize_weight,
    on_grid,
    scale_and_zero,
)
from codesign.workload.quantization import Granularity, LayerScheme, Width

NARROW: tuple[Width, ...] = (8, 6, 4, 3, 2)
FORMS: tuple[Granularity, ...] = ("tensor", "channel", "group")


def weight(seed: int = 0, rows: int = 16, columns: int = 40) -> torch.Tensor:
    """Return a weight whose channels differ in size, as those of trained layers do."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.logspace(-1, 1, rows)[:, None]
    return torch.randn(rows, columns, generator=generator) * sizes


def squared(scheme: LayerScheme, of: torch.Tensor) -> float:
    return float(torch.square(fake_quantize_weight(of, scheme) - of).mean())


def test_scales_and_zero_points_are_those_of_the_formulas() -> None:
    low, high = torch.tensor(-1.0), torch.tensor(3.0)
    scale, zero = scale_and_zero(low, high, 4, symmetric=True)
    assert float(scale) == pytest.approx(3.0 / 7.0)
    assert float(zero) == 0.0
    scale, zero = scale_and_zero(low, high, 4, symmetric=False)
    assert float(scale) == pytest.approx(4.0 / 15.0)
    assert float(zero) == 4.0
    scale, zero = scale_and_zero(torch.tensor(2.0), high, 8, symmetric=False)
    assert float(scale) == pytest.approx(3.0 / 255.0), "a range always holds 0"
    assert float(zero) == 0.0


@given(st.sampled_from(NARROW), st.booleans(), st.integers(0, 20))
def test_zero_stays_zero_and_rounding_errs_by_half_a_step(bits: int, symmetric: bool, seed: int) -> None:
    x = torch.randn(64, generator=torch.Generator().manual_seed(seed))
    x[0] = 0.0
    scale, zero = scale_and_zero(x.amin(), x.amax(), bits, symmetric)
    rounded = on_grid(x, scale, zero, bits, symmetric)
    assert rounded[0] == 0.0
    # the zero point is rounded, too: at the ends of the range that moves the grid by up to half a step more
    assert float((rounded - x).abs().max()) <= float(scale) * (0.5 if symmetric else 1.0) * 1.0001
    assert len(set(rounded.tolist())) <= 2**bits


def test_32_bits_are_the_identity_and_16_are_bf16() -> None:
    w = weight()
    assert fake_quantize_weight(w, LayerScheme(32)) is w
    assert torch.equal(fake_quantize_weight(w, LayerScheme(16)), w.bfloat16().float())
    assert fake_quantize_activation(w, 32, None) is w
    assert fake_quantize_cache(w, 32) is w


@pytest.mark.parametrize("granularity", FORMS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_fewer_bits_err_more(granularity: Granularity, symmetric: bool) -> None:
    widths: tuple[Width, ...] = (16, *NARROW)
    errors = [
        sum(
            squared(LayerScheme(bits, granularity=granularity, group_size=8, symmetric=symmetric), weight(seed))
            for seed in range(4)
        )
        for bits in widths
    ]
    assert errors == sorted(errors)
    assert errors[0] < errors[-1]


@pytest.mark.parametrize("bits", NARROW)
def test_finer_scales_err_less(bits: Width) -> None:
    w = weight()
    tensor, channel, group = (squared(LayerScheme(bits, granularity=one, group_size=8), w) for one in FORMS)
    assert group <= channel <= tensor


def test_zero_points_help_weights_of_one_sign() -> None:
    w = weight().abs()
    assert squared(LayerScheme(4, symmetric=False), w) < squared(LayerScheme(4), w)


def test_a_last_shorter_group_has_a_scale_of_its_own() -> None:
    w = torch.cat([torch.full((2, 8), 100.0), torch.full((2, 3), 0.01)], dim=1)
    rounded = fake_quantize_weight(w, LayerScheme(4, granularity="group", group_size=8))
    assert torch.allclose(rounded, w, rtol=1e-5)


def test_ranges_are_calibrated_to_the_least_squared_error() -> None:
    x = torch.cat([torch.rand(5000, generator=torch.Generator().manual_seed(0)), torch.tensor([4.0])])

    def error(limits: tuple[float, float], bits: int) -> float:
        return float(torch.square(fake_quantize_activation(x, bits, limits) - x).sum())

    for bits in NARROW:
        best = calibrated_range(x, bits)
        assert best[0] == 0.0
        assert error(best, bits) <= error((0.0, 4.0), bits)
    assert calibrated_range(x, 2)[1] < calibrated_range(x, 8)[1], "few bits cut outliers off"


def test_every_token_of_a_cache_has_its_own_range() -> None:
    keys = torch.stack([torch.linspace(-1, 1, 16), 1000.0 * torch.linspace(-1, 1, 16)])
    rounded = fake_quantize_cache(keys, 8)
    assert float((rounded[0] - keys[0]).abs().max()) < 0.01
