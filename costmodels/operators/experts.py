"""Which rows are fitted together: one expert for each family and class of formats that behave alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.physics import BEGINS, CONVERTS, JOULES, PASSES, PRIOR, RATE_SHARE
from codesign.quantity import Array


class Expert(NamedTuple):
    """One fitted model.

    Attributes:
        name: Ours.
        table: Of ``read_tables``.
        trained: Formats of its rows; empty for all.
        serves: Formats that it predicts.
        by_power: Whether watts for the peak rate tell devices apart: sustained clocks follow them. It helps only where
            devices of all kinds were measured.
        levelled: Whether the level of each device is taken out before the shape term is fitted. Where it is not, the
            shape term holds what the devices have in common.
        by_generation: Whether the generation of the architecture tells devices apart: which kernels a library has.
        by_device: Whether each device gets its own physical parameters before the shape term is fitted: those of a
            device left out are then the mean of the others.
        within_power: Whether the power of the device limits its matrix rate.
        converts: Whether some of its formats convert activations in a kernel before the product.
        apart: Whether each device gets its own shape term, and a device left out the mean of theirs: kernels of
            different devices have little in common.
        by_kernel: Whether each sort of kernels gets its own physical parameters on each device, and a device left out
            their median (``kernels``).
        rate_share: Share of the matrix rate that kernels sustain by how they are written, where that is known; None
            where it is fitted. What a device has of its own is fitted in any case.
        short_runs: Whether physical parameters are of the rows that the source measured apart, for testing. Those for
            training come from sweeps of many hours, in which cards run slower: large products take 1.1 to 1.4 times as
            long on the five cards measured.
        carried: Share of the shape term that is taken to hold on a device that was not measured (chosen on the
            development devices, each left out).
    """

    name: str
    table: str
    trained: tuple[str, ...]
    serves: tuple[str, ...]
    by_power: bool
    levelled: bool
    by_generation: bool = False
    by_device: bool = False
    within_power: bool = False
    converts: bool = False
    apart: bool = False
    by_kernel: bool = False
    rate_share: float | None = None
    short_runs: bool = False
    carried: float = 1.0

    @property
    def family(self) -> str:
        """Return the name in ``FAMILIES``."""
        found = self.table.partition("-")[0]
        assert found in FAMILIES
        return found

    @property
    def prior(self) -> Array:
        """Return where a search for its physical parameters begins, shape (7,) or (8,)."""
        eighth = JOULES if self.within_power else CONVERTS if self.converts else EIGHTH.get(self.family)
        found = PRIOR if eighth is None else np.append(PRIOR, eighth.prior)
        if self.rate_share is None:
            return found
        return np.where(np.arange(len(found)) == RATE_SHARE, np.log(self.rate_share), found)

    @property
    def held(self) -> tuple[int, ...]:
        """Return the positions of parameters that stay as they are in ``prior``, but for what devices have apart."""
        return () if self.rate_share is None else (RATE_SHARE,)


EIGHTH = {"prefill": BEGINS, "moe": PASSES}
"""Family -> the eighth parameter of its fitted models."""

SIXTEEN, EIGHT = ("bf16", "fp16"), ("fp8", "fp8_block")
NARROW = ("int8", "int8_wo", "int4_wo", "nvfp4", "w4a16_mxfp4")

EXPERTS = (
    Expert("gemm-16", "gemm", ("bf16",), (*SIXTEEN, "tf32"), True, False),
    Expert("gemm-8", "gemm", EIGHT, EIGHT, True, False, converts=True),
    Expert("gemm-narrow", "gemm", (), NARROW, True, False, converts=True, carried=0.5),
    Expert("gemm-32", "gemm-fp32", (), ("fp32",), by_power=False, levelled=True, by_generation=True, by_device=True,
           within_power=True, rate_share=1.0, short_runs=True, carried=0.25),
    Expert("convolution-32", "convolution-fp32", (), ("fp32", *SIXTEEN), False, True, False, True, True),
    Expert("vector-32", "vector-fp32", (), ("fp32", *SIXTEEN), False, True, False, True, carried=0.75),
    Expert("prefill", "prefill", (), (*SIXTEEN, *EIGHT), False, True, by_kernel=True),
    Expert("decode", "decode", (), (*SIXTEEN, *EIGHT), False, True, by_device=True, apart=True),
    Expert("moe-16", "moe", ("bf16",), SIXTEEN, False, True, by_kernel=True),
    Expert("moe-narrow", "moe", (), (*EIGHT, *NARROW), False, True, apart=True, by_kernel=True, carried=0.5),
)  # fmt: skip
"""Formats measured on few devices learn from all; those measured on many do better alone: mixing bf16 products with
others costs 17 points on the RTX PRO 6000."""
