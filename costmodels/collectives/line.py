"""A link of a target as one device on an axis of a mesh sees it: its figures, and what collectives over it take."""

from __future__ import annotations

from math import hypot, log
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.collectives.links import BUS, SWITCHED, Figures
from codesign.costmodels.collectives.ring import collective_seconds
from codesign.costmodels.collectives.route import Route
from codesign.costmodels.collectives.shipped import shipped
from codesign.costmodels.efficiency import table
from codesign.quantity import Method, Origin
from codesign.targets import Target
from codesign.targets.target import Link, Value

ASSUMED_SIGMA = 0.25
"""Standard deviation of the logarithm of times over links that nothing measured stands for (assumed)."""

ONE_KERNEL = 2e-6
"""Seconds from launch to the first read of an all-reduce that is one kernel (assumed)."""

NORMAL_90 = 1.6448536269514722
"""A normal error stays within this many standard deviations nine times of ten."""


class Line(msgspec.Struct, frozen=True):
    """A link in use.

    Attributes:
        bandwidth: Sustained, B/s in one direction.
        latency: Seconds per hop.
        name: As the target file names it.
        route: What collectives over it take; None for links that nothing measured stands for.
        scale: Measured over modelled seconds of collectives.
        sigma: Standard deviation of the logarithm of their time.
        method: How that time is known.
        origin: Where the figures of the link are from.
    """

    bandwidth: float
    latency: float
    name: str
    route: Route | None = None
    scale: float = 1.0
    sigma: float = ASSUMED_SIGMA
    method: Method = Method.ANALYTICAL
    origin: Origin = Origin.PUBLISHED

    def collective(self, kind: str, payload: Any, participants: int) -> Any:
        """Return the seconds of a collective of ``payload`` bytes (any shape) over ``participants`` devices."""
        if self.route is None:
            return collective_seconds(kind, payload, participants, self.bandwidth, self.latency)
        return self.scale * self.route.seconds(kind, payload, participants)

    def in_engine(self, kind: str, payload: Any, participants: int) -> Any:
        """Return the seconds of a collective as serving engines run it.

        Small all-reduces between the devices of a node with links of their own are one kernel: each device reads the
        whole vector of every other and adds, which costs bandwidth and saves hops (vLLM's and TensorRT-LLM's custom
        all-reduce; its start is assumed). The library runs the others.
        """
        usual = self.collective(kind, payload, participants)
        inside = self.route is not None and self.route.network is None and self.name.startswith(SWITCHED)
        if kind != "all_reduce" or not inside:
            return usual
        start = 2.0 * self.latency + self.scale * ONE_KERNEL
        return np.minimum(usual, (participants - 1) * np.asarray(payload) / self.bandwidth + start)


def line_of(target: Target, place: str, scale: float = 1.0, participants: int = 2, inside: int = 1) -> Line | None:
    """Return a link of ``target``, None where it has none.

    Args:
        target: Target.
        place: "node", "network" or "host".
        scale: Measured over modelled seconds.
        participants: Devices of the axis.
        inside: Those of them within one node.
    """
    link = target.link(place)
    if link is None:
        return None
    share = sustained_share(link)
    line = Line(link.bandwidth.value * share / scale, link.latency.value * scale, link.name, scale=scale)
    if place == "node":
        return _within(line, link, target, participants)
    if place == "network":
        return _across(line, link, target, inside, share)
    return line


def sustained_share(link: Link) -> float:
    """Return the share of its rate that a link sustains where nothing measured says it by payload."""
    shares = table().links
    return float(shares.pcie if link.place == "node" and link.name == BUS else getattr(shares, link.place))


def _within(line: Line, link: Link, target: Target, participants: int) -> Line:
    figures = _figures(link)
    like = shipped().likeness(target.id, figures)
    if not like.references:
        return line
    sigma = shipped().sigma(figures, like, participants)
    return msgspec.structs.replace(
        line, route=Route(like.references), sigma=sigma, method=like.method, origin=link.bandwidth.origin
    )


def _across(line: Line, link: Link, target: Target, inside: int, share: float) -> Line:
    node = target.link("node")
    references = () if node is None else shipped().likeness(target.id, _figures(node)).references
    network = Figures(link.name, float(link.bandwidth.value) * share, float(link.latency.value))
    return msgspec.structs.replace(
        line,
        route=Route(references, network, inside, ports=inside),
        sigma=hypot(shipped().spreads.network, _spread(link.bandwidth)),
        origin=link.bandwidth.origin,
    )


def _figures(link: Link) -> Figures:
    return Figures(link.name, float(link.bandwidth.value), float(link.latency.value))


def _spread(value: Value) -> float:
    """Return the standard deviation of the logarithm that a stated range implies; a missing end mirrors the other."""
    low, high = value.low or None, value.high or None
    if low is None and high is None:
        return 0.0
    low = low or value.value**2 / (high or value.value)
    high = high or value.value**2 / low
    return log(high / low) / (2.0 * NORMAL_90)
