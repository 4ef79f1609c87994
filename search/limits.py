"""Stated limits on an estimate: which one its first point crosses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from codesign.costmodels.estimate import Estimate
from codesign.search.constraints import Constraint, parse_where
from codesign.search.deployment_spec import ALIASES, COUNTS


def limits_on(estimate: Estimate, texts: Sequence[str]) -> list[tuple[Constraint, float, float]]:
    """Return (limit, value, violation) of every limit on a metric of ``estimate``; > 0 is crossed.

    Raises:
        UsageError: a limit cannot be read, or names no metric of the estimate.
    """
    units = {name: metric.unit for name, metric in estimate.metrics.items()}
    units |= {alias: units[name] for alias, name in ALIASES.items() if name in units and alias not in units}
    found = []
    for text in texts:
        limit = parse_where(text, units)
        name = limit.metric if limit.metric in estimate.columns else ALIASES[limit.metric]
        value = estimate.columns[name].value.reshape(-1)[:1]
        found.append((limit, float(value[0]), float(limit.violation(value)[0])))
    return found


def excluder(texts: Sequence[str]) -> Callable[[Estimate], str]:
    """Return what ``explain`` asks: the first limit that an estimate crosses, as a reason."""
    metrics = [text for text in texts if text.split()[0] not in (*COUNTS, "quality")]

    def excluded(estimate: Estimate) -> str:
        crossed = [limit.text for limit, _, violation in limits_on(estimate, metrics) if violation > 0]
        return f"violates {crossed[0]}" if crossed else ""

    return excluded
