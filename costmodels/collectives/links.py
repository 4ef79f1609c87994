"""Measured links, and the curve of any link: its own, or those of like links in units of its rate and latency.

A curve carries over between links by similarity: with seconds in hops of the link (its latency) and bytes in what it
moves in a hop (rate x latency), links of one kind have nearly the same curves. So a link that was not measured takes
the geometric mean of those that were, stretched to its own rate and latency. Units: bytes, seconds, B/s of one
direction of a device's link.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec
import numpy as np

from codesign.costmodels.collectives.curve import Curve, mean_of
from codesign.costmodels.collectives.ring import TRAFFIC
from codesign.quantity import Method

BUS = "PCIe"
"""Name of the links over which devices share a bus instead of a switch of their own."""

SWITCHED = "NVLink"
"""How the names of the other measured links begin."""


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link as its target file states it: B/s in one direction, seconds a hop."""

    name: str
    bandwidth: float
    latency: float

    @property
    def bus(self) -> bool:
        """Whether devices share a bus."""
        return self.name == BUS


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True, eq=False):
    """What was measured between the devices of a node of one target.

    Attributes:
        link: Figures that the target file stated then.
        curves: Kind of collective -> number of devices -> curve.
    """

    link: Figures
    curves: dict[str, dict[int, Curve]]


class Reference(msgspec.Struct, frozen=True):
    """A measured link as another link sees it.

    Attributes:
        measured: Its curves.
        weight: Share in the mean.
        size: Bytes of the other link for one of this.
        time: Seconds of the other link for one of this.
    """

    measured: Measured
    weight: float
    size: float
    time: float


class Likeness(msgspec.Struct, frozen=True):
    """Where the curves of a link come from: the measured links, and how far they may be trusted."""

    references: tuple[Reference, ...]
    method: Method


def likeness(target: str, link: Figures, measured: Mapping[str, Measured]) -> Likeness:
    """Return the measured links that stand for ``link`` of the target named ``target``.

    Its own, where it was measured; else those of the same name; else all of its kind, each name and rate counting once.
    """
    own = measured.get(target)
    if own is not None and own.link.name == link.name:
        same = own.link == link
        return Likeness((_reference(own, link, 1.0),), Method.INTERPOLATED if same else Method.SAME_FAMILY)
    known = list(measured.values())
    # a bus of one name differs by generation and by how the host routes between cards
    alike = [one for one in known if one.link.name == link.name and not link.bus]
    if alike:
        return Likeness(_weighted(alike, link), Method.SAME_FAMILY)
    method = Method.NEW_FAMILY if link.bus or link.name.startswith(SWITCHED) else Method.ANALYTICAL
    return Likeness(_weighted([one for one in known if one.link.bus == link.bus], link), method)


def _weighted(found: Iterable[Measured], link: Figures) -> tuple[Reference, ...]:
    groups: dict[tuple[str, float], list[Measured]] = {}
    for one in found:
        groups.setdefault((one.link.name, one.link.bandwidth), []).append(one)
    return tuple(
        _reference(one, link, 1.0 / len(groups) / len(members)) for members in groups.values() for one in members
    )


def _reference(measured: Measured, link: Figures, weight: float) -> Reference:
    time = link.latency / measured.link.latency
    return Reference(measured, weight, time * link.bandwidth / measured.link.bandwidth, time)


@lru_cache(maxsize=4096)
def curve_of(references: tuple[Reference, ...], kind: str, participants: int) -> Curve:
    """Return the curve of ``kind`` over ``participants`` (at least 2) devices of a node."""
    own = [measured_curve(one.measured, kind, participants).scaled(one.size, one.time) for one in references]
    return mean_of(own, [one.weight for one in references])


def measured_curve(measured: Measured, kind: str, participants: int) -> Curve:
    """Return the curve of a measured link for any number of devices (at least 2).

    Between numbers that were measured, the logarithm of the time is linear in that of the number. A send that was not
    measured is an exchange between two of twice its payload.
    """
    if kind == "send":
        if "send" in measured.curves:
            return measured.curves["send"][2]
        return measured_curve(measured, "all_to_all", 2).scaled(0.5, 1.0)
    curves = measured.curves[kind]
    counts = sorted(curves)
    if participants in curves:
        return curves[participants]
    if participants > counts[-1]:
        return _beyond(curves, kind, participants)
    above = next(count for count in counts if count > participants)
    below = max((count for count in counts if count < participants), default=above)
    if below == above:
        return curves[above]
    weight = float(np.log(participants / below) / np.log(above / below))
    return mean_of((curves[below], curves[above]), (1.0 - weight, weight))


def _beyond(curves: Mapping[int, Curve], kind: str, participants: int) -> Curve:
    """Return a curve for more devices than were measured: the floor goes on linearly, the rate stays."""
    most = max(curves)
    last = curves[most]
    before = max((count for count in curves if count < most), default=None)
    slope = 0.0 if before is None else max(0.0, last.floor - curves[before].floor) / (most - before)
    time = 1.0 + slope * (participants - most) / last.floor
    return last.scaled(time * TRAFFIC[kind](most) / TRAFFIC[kind](participants), time)
