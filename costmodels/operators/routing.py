"""How tokens spread over experts: the rows, and the experts in use, of the device that gets most.

Public tables measure the device with most work where experts are spread over several. Their routing is even, or each
expert's share is drawn from a power law: density ``x ** -skew`` between 1 and 0.8 of the tokens, or between 0.01 and 2
where there are fewer routed tokens than experts, all scaled to the routed tokens and rounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from codesign.errors import UsageError
from codesign.quantity import Array

SKEW_EXPERTS = 1.0
"""Routing skew of an even distribution over experts: no exponent of a power law, whose 1 is a hair more."""

POWER_LAW = r"power_law_([0-9]*\.?[0-9]+)"
"""How the name of a distribution over experts begins that is a power law: with its exponent."""

EVEN, BALANCED = frozenset(("", "balanced", "uniform")), "eplb"
"""Names of even distributions, and what ends the names of those that copies of busy experts make even."""

FEW = (0.01, 2.0)
"""Between which shares are drawn where there are fewer routed tokens than experts."""

MANY = 0.8
"""Share of the tokens that an expert gets at most."""

FEW_IN_USE = 0.65
"""Experts in use for each routed token, where there are few (of 40 draws each of 8 to 256 experts; 0.5 to 1)."""


def skew_of(name: str) -> float:
    """Return the routing skew of a distribution over experts by its name.

    Raises:
        UsageError: there is no such distribution.
    """
    text = name.strip().lower()
    found = re.match(POWER_LAW, text)
    if found is None and text not in EVEN:
        raise UsageError(f"distribution {name!r} is unknown", "expected balanced, or power_law_ and its exponent")
    if found is None or text.endswith(BALANCED):
        return SKEW_EXPERTS
    exponent = float(found[1])
    return exponent + 1e-6 if exponent == SKEW_EXPERTS else exponent


def busiest(s: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return the rows of the device with most, and how many of its experts get any, shape (n,) each.

    Both rise with the tokens.

    Args:
        s: Shape columns of a mixture of experts: ``tokens, topk, experts, ep, skew``.
    """
    tokens, experts, ep = s["tokens"], s["experts"], s["ep"]
    here, routed = np.maximum(experts / ep, 1.0), tokens * s["topk"]
    rows = np.maximum(routed / ep, 1.0)
    used = np.minimum(here, rows)
    skewed = np.broadcast_arrays(s["skew"] != SKEW_EXPERTS, rows)[0]
    if not skewed.any():
        return rows, used
    few = np.minimum(routed, experts)
    small = np.full(np.shape(routed), FEW[1] / FEW[0])
    heavy, part = _drawn(s, few, small)
    rows_few = np.maximum(few / ep * heavy, np.minimum(np.minimum(s["topk"], here), few))
    used_few = np.maximum(here * part, FEW_IN_USE * rows_few)
    heavy, part = _drawn(s, routed, np.maximum(MANY * tokens, 1.001))
    many = routed > experts
    skewed_rows = np.where(many, np.maximum(routed / ep * heavy, rows_few), rows_few)
    skewed_used = np.where(many, np.maximum(here * part, used_few), used_few)
    rows = np.where(skewed, skewed_rows, rows)
    return rows, np.clip(np.where(skewed, skewed_used, used), 1.0, np.minimum(here, np.maximum(rows, 1.0)))


def _drawn(s: Mapping[str, Array], routed: Array, reach: Array) -> tuple[Array, Array]:
    """Return the rows of the busiest device over the mean, and the share of experts that get any.

    The busiest of ``ep`` sums of shares: their mean, spread and skewness are those of the power law, and the largest is
    where Cornish and Fisher's expansion (1938) puts the last of as many.

    Args:
        s: Shape columns.
        routed: Tokens times experts a token visits.
        reach: Largest over smallest share that is drawn.
    """
    from scipy.special import ndtri

    ep, experts = s["ep"], s["experts"]
    here = np.maximum(experts / ep, 1.0)
    skew = np.where(s["skew"] == SKEW_EXPERTS, SKEW_EXPERTS + 1e-6, s["skew"])

    def integral(power: int) -> Array:
        left = power - skew + 1.0
        left = np.where(np.abs(left) < 1e-9, 1e-9, left)
        return np.asarray((reach**left - 1.0) / left)

    first, second, third = (integral(power) / integral(0) for power in (1, 2, 3))
    spread = np.sqrt(np.maximum(second - first**2, 1e-12))
    leaning = (third - 3.0 * first * second + 2.0 * first**3) / spread**3
    largest = ndtri((np.maximum(ep, 2.0) - 0.375) / (np.maximum(ep, 2.0) + 0.25))  # Blom's score of the last of ep
    largest = largest + (largest**2 - 1.0) * leaning / (6.0 * np.sqrt(here))
    heavy = np.where(ep > 1.0, 1.0 + spread / first / np.sqrt(here) * np.maximum(largest, 0.0), 1.0)
    # shares below half a token are rounded to none
    least = np.clip(0.5 * experts * first / routed, 1.0, reach)
    none = (least ** (1.0 - skew) - 1.0) / (reach ** (1.0 - skew) - 1.0)
    return np.clip(heavy, 1.0, np.maximum(np.minimum(reach / first, ep), 1.0)), 1.0 - none
