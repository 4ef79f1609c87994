"""Number formats of operators: what computes, and how many bytes each tensor's elements take, scales included."""

from __future__ import annotations

import msgspec

from codesign.errors import UsageError, nearest


class Format(msgspec.Struct, frozen=True):
    """One format.

    Attributes:
        name: Ours.
        compute: Dtype whose peak bounds it.
        weight: Bytes an element of the second operand (weights, or keys and values).
        activation: Bytes an element of the first operand.
        output: Bytes an element of the result.
        converting: Bytes that move for each element of the first operand in a kernel that converts it from 16 bits,
            where engines (and public tables) count that to the product; 0 where they do not, or nothing is converted.
        tile: Rows that a tile of a single product has at least; grouped products of few rows take others.
        aliases: How frameworks and public tables spell it.
    """

    name: str
    compute: str
    weight: float
    activation: float
    output: float = 2.0
    converting: float = 0.0
    tile: float = 16.0
    aliases: tuple[str, ...] = ()

    @property
    def full(self) -> float:
        """Return 1 for what computes in fp32, else 0."""
        return float(self.compute == "fp32")


FORMATS = (
    Format("fp32", "fp32", 4.0, 4.0, 4.0, aliases=("float32", "float", "torch.float32")),
    Format("tf32", "tf32", 4.0, 4.0, 4.0, aliases=("tensorfloat32",)),
    Format("bf16", "bf16", 2.0, 2.0, 2.0, aliases=("bfloat16", "torch.bfloat16")),
    Format("fp16", "fp16", 2.0, 2.0, 2.0, aliases=("float16", "half", "torch.float16")),
    Format("fp8", "fp8", 1.0, 1.0, 2.0, 3.0, aliases=("float8", "e4m3", "fp8_e4m3", "fp8_static", "float8_e4m3fn",
           "torch.float8_e4m3fn")),
    Format("fp8_block", "fp8", 1.0, 1.0, 2.0, 3.0, aliases=("fp8_blockwise", "block_fp8")),
    Format("int8", "int8", 1.0, 1.0, 2.0, aliases=("sq", "smooth_quant", "w8a8", "int8_sq")),
    Format("int8_wo", "bf16", 1.0, 2.0, 2.0, aliases=("int8_weight_only", "w8a16")),
    Format("int4_wo", "bf16", 0.53, 2.0, 2.0, aliases=("int4", "int4_weight_only", "w4a16", "awq", "gptq")),
    Format("nvfp4", "nvfp4", 0.5625, 0.5625, 2.0, 2.5625, 128.0, aliases=("fp4",)),
    Format("w4a16_mxfp4", "bf16", 0.53125, 2.0, 2.0, aliases=("mxfp4",)),
)  # fmt: skip
"""Bytes of narrow formats hold their scales: nvfp4 one fp8 a 16 elements, mxfp4 one byte a 32, int4 in groups. Matrix
units of data-centre Blackwell that apply such scales by themselves take 128 rows at once [1]_; on others the tiles of
libraries have as many (assumed: measured rows of the RTX PRO 6000 are closer so).

.. [1] NVIDIA, PTX ISA 8.7, tcgen05.mma with block scaling: M is 128 or more.
"""

_BY_NAME = {name: form for form in FORMATS for name in (form.name, *form.aliases)}


def format_of(name: str) -> Format:
    """Return the format of any known spelling.

    Raises:
        UsageError: it is unknown; the nearest known follow.
    """
    found = _BY_NAME.get(name.strip().lower())
    if found is None:
        raise UsageError(f"dtype {name!r} is unknown", nearest(name, [form.name for form in FORMATS]))
    return found
