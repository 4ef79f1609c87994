"""Which rows are fitted together: one expert for each family and class of formats that behave alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.physics import BEGINS, JOULES, PASSES, PRIOR
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
        apart: Whether each device gets its own shape term, and a device left out the mean of theirs: kernels of
            different devices have little in common.
        by_kernel: Whether each sort of kernels gets its own physical parameters on each device, and a device left out
            their median (``kernels``).
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
    apart: bool = False
    by_kernel: bool = False

    @property
    def family(self) -> str:
        """Return the name in ``FAMILIES``."""
        found = self.table.partition("-")[0]
        assert found in FAMILIES
        return found

    @property
    def prior(self) -> Array:
        """Return where a search for its physical parameters begins, shape (7,) or (8,)."""
        eighth = JOULES if self.within_power else EIGHTH.get(self.family)
        return PRIOR if eighth is None else np.append(PRIOR, eighth.prior)


EIGHTH = {"prefill": BEGINS, "moe": PASSES}
"""Family -> the eighth parameter of its fitted models."""

SIXTEEN, EIGHT = ("bf16", "fp16"), ("fp8", "fp8_block")
NARROW = ("int8", "int8_wo", "int4_wo", "nvfp4", "w4a16_mxfp4")

EXPERTS = (
    Expert("gemm-16", "gemm", ("bf16",), (*SIXTEEN, "tf32"), True, False),
    Expert("gemm-8", "gemm", EIGHT, EIGHT, True, False),
    Expert("gemm-narrow", "gemm", (), NARROW, True, False),
    Expert("gemm-32", "gemm-fp32", (), ("fp32",), False, True, True, True, True),
    Expert("convolution-32", "convolution-fp32", (), ("fp32", *SIXTEEN), False, True, False, True, True),
    Expert("vector-32", "vector-fp32", (), ("fp32", *SIXTEEN), False, True, False, True),
    Expert("prefill", "prefill", (), (*SIXTEEN, *EIGHT), False, True, by_kernel=True),
    Expert("decode", "decode", (), (*SIXTEEN, *EIGHT), False, True, by_device=True, apart=True),
    Expert("moe-16", "moe", ("bf16",), SIXTEEN, False, True, by_kernel=True),
    Expert("moe-narrow", "moe", (), (*EIGHT, *NARROW), False, True, apart=True, by_kernel=True),
)
"""Formats measured on few devices learn from all; those measured on many do better alone: mixing bf16 products with
others costs 17 points on the RTX PRO 6000."""
