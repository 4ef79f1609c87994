"""How public tables of measured kernels name operators and their shape columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from codesign.costmodels.operators.vector_kinds import BINARY, FUNCTION, LOOKUP, NORMALISATION, SOFTMAX, UNARY


class Operator(NamedTuple):
    """How one operator is named.

    Attributes:
        family: Name in ``FAMILIES``.
        columns: Shape column of the family -> column of the table.
        fixed: Shape columns that the operator itself decides.
        measured: Whether public tables measure it; else another of its family stands for it.
    """

    family: str
    columns: Mapping[str, str]
    fixed: Mapping[str, float] = {}
    measured: bool = True


_ATTENTION = {"batch": "batch_size", "heads": "num_heads", "kv_heads": "num_key_value_heads", "head_width": "head_dim",
              "window": "window_size"}  # fmt: skip
_MOE = {"tokens": "num_tokens", "hidden": "hidden_size", "inter": "inter_size", "topk": "topk",
        "experts": "num_experts", "tp": "moe_tp_size", "ep": "moe_ep_size"}  # fmt: skip
_CONVOLUTION = {"batch": "B", "inputs": "Input_Channel", "outputs": "Output_Channel", "size": "Input_Size",
                "kernel": "Kernel_Size", "stride": "Stride", "padding": "Padding"}  # fmt: skip

VECTOR_KINDS = {
    **dict.fromkeys(("add", "mul", "div", "pow"), BINARY),
    **dict.fromkeys(("addu", "mulu", "divu", "powu", "relu"), UNARY), **dict.fromkeys(("gelu", "tanh"), FUNCTION),
    "softmax": SOFTMAX, "ln": NORMALISATION, "layernorm": NORMALISATION,
}  # fmt: skip
"""Name of a vector operator -> its kind."""

OPERATORS: dict[str, Operator] = {
    "gemm": Operator("gemm", {"m": "m", "n": "n", "k": "k"}, {"batch": 1.0}),
    **dict.fromkeys(("bmm", "linear"), Operator("gemm", {"batch": "B", "m": "M", "n": "K", "k": "N"})),
    **dict.fromkeys(
        ("context_attention", "prefill"), Operator("prefill", {**_ATTENTION, "new": "isl", "cached": "step"})
    ),
    **dict.fromkeys(("generation_attention", "decode"), Operator("decode", {**_ATTENTION, "cached": "isl"})),
    "moe": Operator("moe", _MOE),
    "conv": Operator("convolution", _CONVOLUTION),
    **{name: Operator("vector", {"rows": "B", "length": "H"}, {"kind": kind}) for name, kind in VECTOR_KINDS.items()},
    "embedding": Operator("vector", {"rows": "B", "length": "H"}, {"kind": LOOKUP}, measured=False),
}
"""Name of an operator -> how it is asked for. A product of ``linear`` and ``bmm`` is M x N times N x K."""
