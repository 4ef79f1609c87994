"""Bits and compute dtypes of a model's tensors, from the name of a dtype.

Effective bits include scales: nvfp4 has an fp8 scale per 16 elements, mxfp4 an 8-bit scale per 32, int4 a 16-bit scale
per 64 [1]_. The name chooses what the matrix products of the layers store and compute in; norms, embeddings, router,
attention and head keep the plain dtype (bf16 beside any quantised format), as serving engines keep them [2]_. Of a
mixture of experts formats of four bits leave out the projections of attention too, and all but nvfp4 the MLPs that
every token visits, as public checkpoints do [3]_.

.. [1] OCP Microscaling Formats specification 1.0; NVIDIA, Introducing NVFP4.
.. [2] DeepSeek-V3 Technical Report, arXiv:2412.19437, section 3.3.1.
.. [3] OpenAI, gpt-oss model card, arXiv:2508.10925, section 2.1 (mxfp4); ``quantization_config`` of Kimi-K2.5 (int4);
   tensors of nvidia/DeepSeek-R1-0528-FP4 (nvfp4; its second version quantises one projection of attention).
"""

from __future__ import annotations

import msgspec

from codesign.errors import UsageError, nearest
from codesign.workload.einsum import Compute, Extent

BITS: dict[str, float] = {
    "fp64": 64, "fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8,
    "int4": 4.25, "nvfp4": 4.5, "mxfp4": 4.25,
}  # fmt: skip

PLAIN = {"fp64": "fp64", "fp32": "fp32", "tf32": "tf32", "fp16": "fp16"}
"""Dtypes that a whole model runs in; beside any other the unquantised part is bf16."""

WEIGHT_ONLY = frozenset({"int4"})
"""Formats that store weights and compute at the plain dtype."""

EXPERTS_ALONE, MLPS_ALONE = frozenset({"int4", "mxfp4"}), frozenset({"nvfp4"})
"""Formats that hold the routed experts of a mixture, and no other weights of it; and those that hold all its MLPs."""


class Precision(msgspec.Struct, frozen=True):
    """Storage bits per role and compute dtypes.

    Attributes:
        name: The dtype asked for.
        weight_bits: Effective bits of the layers' matrices.
        plain_bits: Bits of norms, embeddings, router, head.
        activation_bits: Bits of activations between kernels.
        kv_bits: Effective bits of cached keys and values.
        compute: Compute dtype of the layers' matrix products.
        plain: Compute dtype of attention, router and head.
    """

    name: str
    weight_bits: Extent
    plain_bits: Extent
    activation_bits: Extent
    kv_bits: Extent
    compute: str
    plain: str

    @property
    def product(self) -> Compute:
        """Return the cost of a multiply-add in the layers."""
        return Compute("tensor", self.compute)

    def in_a_mixture(self, part: str) -> Precision:
        """Return the precision of a ``part`` of a mixture's layers: attention, or the mlp that every token visits."""
        left_out = EXPERTS_ALONE | MLPS_ALONE if part == "attention" else EXPERTS_ALONE
        if self.name not in left_out:
            return self
        return msgspec.structs.replace(self, weight_bits=self.plain_bits, compute=self.plain)

    @property
    def plain_product(self) -> Compute:
        """Return the cost of a multiply-add outside the quantised layers."""
        return Compute("tensor", self.plain)


def bits_of(dtype: str) -> float:
    """Return the effective bits per element of ``dtype``."""
    if dtype not in BITS:
        raise UsageError(f"dtype {dtype!r} is unknown", nearest(dtype, BITS))
    return BITS[dtype]


def plain_dtype(dtype: str) -> str:
    """Return the dtype of what stays unquantised beside ``dtype``."""
    return PLAIN.get(dtype, "bf16")


def precision(dtype: str, kv_dtype: str | None = None) -> Precision:
    """Return the precision named ``dtype``; the cache is plain unless ``kv_dtype`` names another."""
    bits = bits_of(dtype)
    plain = plain_dtype(dtype)
    kv_bits = bits_of(kv_dtype) if kv_dtype is not None else bits_of(plain)
    compute = plain if dtype in WEIGHT_ONLY else dtype
    return Precision(dtype, _exact(bits), int(BITS[plain]), int(BITS[plain]), _exact(kv_bits), compute, plain)


def _exact(bits: float) -> int | float:
    return int(bits) if float(bits).is_integer() else bits
