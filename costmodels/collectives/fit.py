"""From tables of measured collectives to the curves of each measured link, and their errors on what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from codesign.costmodels.collectives.curve import Curve, fit_curve
from codesign.costmodels.collectives.links import Figures, Measured
from codesign.costmodels.collectives.ring import TRAFFIC
from codesign.costmodels.collectives.tables import Series
from codesign.errors import DataError
from codesign.quantity import Array
from codesign.targets import load_target

SUMS = ("all_reduce", "reduce_scatter")
"""Kinds that add: what they take depends on the dtype, and sums of bytes are slower than those that models use."""

BYTE = "int8"
NEEDED = frozenset(TRAFFIC) - {"send"}
"""Kinds that a link needs to have measured."""

Key = tuple[str, str, int]
"""Target, kind and number of devices."""


class Rows(msgspec.Struct, frozen=True, eq=False):
    """Payloads in bytes and seconds of one curve, both of shape (n,)."""

    sizes: Array
    seconds: Array


def fit_rows(series: Iterable[Series]) -> dict[Key, Rows]:
    """Return what each curve is fitted on: inside one node, of the first source that has it, without sums of bytes."""
    chosen: dict[Key, list[Series]] = {}
    for one in series:
        if one.nodes > 1 or (one.kind in SUMS and one.dtype == BYTE):
            continue
        members = chosen.setdefault((one.target, one.kind, one.participants), [])
        if not members or members[0].source == one.source:
            members.append(one)
    whole = {target for target, _, _ in chosen if {k for t, k, _ in chosen if t == target} >= NEEDED}
    return {
        key: Rows(np.concatenate([one.sizes for one in members]), np.concatenate([one.seconds for one in members]))
        for key, members in sorted(chosen.items())
        if key[0] in whole
    }


def curves_of(rows: Mapping[Key, Rows]) -> dict[str, Measured]:
    """Return the curves of each measured link; its figures are those of its target's file."""
    found: dict[str, dict[str, dict[int, Curve]]] = {}
    for (target, kind, participants), one in rows.items():
        by_kind = found.setdefault(target, {})
        by_kind.setdefault(kind, {})[participants] = fit_curve(one.sizes, one.seconds)
    return {target: Measured(figures_of(target), curves) for target, curves in found.items()}


def figures_of(target: str, place: str = "node") -> Figures:
    """Return the figures of a link of a target of the catalogue.

    Raises:
        DataError: it has no such link.
    """
    link = load_target(target).link(place)
    if link is None:
        raise DataError(f"target {target} states no {place} link, but collectives over it were measured")
    return Figures(link.name, float(link.bandwidth.value), float(link.latency.value))
