"""A program with waste in it: the digits MLP computing what it does not need, to see whether a search removes it.

Three branches whose results are too small to matter, each with a matrix product of its own: one edit removes one. And
a detour: something is added before the second layer, and what the layer makes of it is subtracted after. Without either
half the answers are wrong, without both they are right, and two matrix products fewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SMALL = 1e-5
"""What a wasteful branch is multiplied by."""
LARGE = 10.0
"""And the detour."""


def planted(module: torch.nn.Module) -> torch.nn.Module:
    """Return the digits MLP ``module`` with waste: the same answers but for rounding and the small branches."""
    import torch
    from torch import nn

    flatten, first, _, second, _, last = module.children()

    class Wasteful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = first, second, last
            self.branch1 = nn.Linear(64, 128, bias=False)
            self.branch2 = nn.Linear(128, 64, bias=False)
            self.branch3 = nn.Linear(64, 10, bias=False)
            self.detour = nn.Linear(64, 128, bias=False)

        def forward(self, x: Any) -> Any:
            x = flatten(x)
            away = LARGE * self.detour(x)
            x = torch.relu(self.first(x) + SMALL * self.branch1(x))
            back = away @ self.second.weight.T
            x = torch.relu(self.second(x + away) - back + SMALL * self.branch2(x))
            return self.last(x) + SMALL * self.branch3(x)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Wasteful().eval()
