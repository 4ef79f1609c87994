"""Mixture-of-experts layer in plain torch: top-k routing, one grouped matrix product per projection.

Tokens are sorted by expert and the products run over ragged groups, so shapes never depend on data (the layer can be
captured) and the work is exactly ``per_token`` experts per token.
"""

# mypy: disable-error-code="no-any-return"
# (torch types the call of a submodule as Any)

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from codesign.models.figures import Experts

ROUTED_SCALE = 2.5
"""Scale of sigmoid-routed experts (DeepSeek-V3 config.json, routed_scaling_factor)."""


class GatedMlp(nn.Module):
    """``down(silu(gate(x)) * up(x))`` with gate and up as one projection."""

    def __init__(self, width: int, hidden: int, bias: bool = False) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=bias)
        self.down = nn.Linear(hidden, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., width) of ``x`` (..., width)."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(functional.silu(gate) * up)


class MixtureOfExperts(nn.Module):
    """Routed gated experts, and optionally a shared one."""

    def __init__(self, width: int, experts: Experts) -> None:
        super().__init__()
        self.experts = experts
        self.router = nn.Linear(width, experts.count, bias=False)
        if experts.scoring == "sigmoid":
            self.correction = nn.Parameter(torch.empty(experts.count))
        self.gate_up = nn.Parameter(torch.empty(experts.count, width, 2 * experts.width))
        self.down = nn.Parameter(torch.empty(experts.count, experts.width, width))
        if experts.shared:
            self.shared = GatedMlp(width, experts.shared * experts.width)

    def route(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return (weights, experts), both (T, per_token), of ``tokens`` (T, width)."""
        e = self.experts
        logits = self.router(tokens).float()
        if e.scoring == "softmax":
            weight, chosen = logits.topk(e.per_token, dim=-1)
            return weight.softmax(dim=-1).to(tokens.dtype), chosen
        score = logits.sigmoid()
        ranked = score + self.correction
        if e.groups > 1:
            grouped = ranked.view(-1, e.groups, e.count // e.groups)
            best = grouped.topk(2, dim=-1).values.sum(dim=-1).topk(e.kept_groups, dim=-1).indices
            allowed = torch.zeros_like(grouped[..., 0], dtype=torch.bool).scatter(1, best, True)
            ranked = grouped.masked_fill(~allowed.unsqueeze(-1), float("-inf")).flatten(1)
        chosen = ranked.topk(e.per_token, dim=-1).indices
        weight = score.gather(1, chosen)
        weight = ROUTED_SCALE * weight / weight.sum(dim=-1, keepdim=True)
        return weight.to(tokens.dtype), chosen

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., width) of ``x`` (..., width)."""
        tokens = x.reshape(-1, x.shape[-1])
        weight, chosen = self.route(tokens)
        order = chosen.flatten().argsort(stable=True)
        ends = functional.one_hot(chosen.flatten(), self.experts.count).sum(dim=0).cumsum(0).to(torch.int32)
        gate, up = grouped_product(tokens[order // self.experts.per_token], self.gate_up, ends).chunk(2, dim=-1)
        rows = grouped_product(functional.silu(gate) * up, self.down, ends)
        rows = rows * weight.flatten()[order].unsqueeze(-1)
        mixed = torch.zeros_like(rows).index_copy(0, order, rows).view(-1, self.experts.per_token, x.shape[-1]).sum(1)
        mixed = mixed.view(x.shape)
        return mixed + self.shared(x) if self.experts.shared else mixed


def grouped_product(rows: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """Return ``rows`` (R, m) times the matrix (m, n) of its group; group ``i`` ends at row ``ends[i]``."""
    return functional.grouped_mm(rows, weight, offs=ends)


def grouped_flops() -> dict[Any, Callable[..., int]]:
    """Return the FLOP formula of grouped products for ``FlopCounterMode(custom_mapping=...)``, which lacks it.

    Each of the R rows meets one matrix (m, n): ``2 R m n``, whatever the groups.
    """

    def formula(rows: Any, weight: Any, *rest: Any, **names: Any) -> int:
        # the counter passes shapes
        return int(2 * prod(rows[:-1]) * weight[-2] * weight[-1])

    return {torch.ops.aten._grouped_mm: formula}
