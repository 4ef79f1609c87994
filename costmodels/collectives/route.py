"""The way that collectives over one axis of a mesh take: inside a node, or over the network between nodes.

Inside a node it is the curve of the link between devices. Over the network it is a collective among the devices of each
node, then one between nodes in which the ports of a node share its bytes. Units: bytes, seconds, B/s of one direction.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.collectives.links import Figures, Reference, curve_of
from codesign.costmodels.collectives.ring import collective_seconds


class Route(msgspec.Struct, frozen=True):
    """Links under an axis.

    Attributes:
        node: Measured links that stand for the one inside a node; empty if there is none.
        network: One port of the network between nodes, at its sustained rate; None if the axis stays inside a node.
        inside: Devices of the axis within one node, where it spans several.
        ports: Ports that these devices have together.
    """

    node: tuple[Reference, ...]
    network: Figures | None = None
    inside: int = 1
    ports: int = 1

    def seconds(self, kind: str, payload: Any, participants: int) -> Any:
        """Return the time of one collective; no bytes and a single device take none.

        Args:
            kind: Name in ``TRAFFIC``.
            payload: Bytes, of any shape: the full vector of a reduction or gathering, else what one device holds.
            participants: Devices.
        """
        if participants <= 1:
            return 0.0
        if self.network is None:
            return curve_of(self.node, kind, participants).seconds(payload)
        bytes_ = np.asarray(payload, dtype=np.float64)
        inside = min(self.inside, participants)
        nodes = -(-participants // inside)
        # an exchange counts what one device holds, the others what all devices of a node hold alike
        portion = {"send": 1.0, "all_to_all": inside / self.ports}.get(kind, 1.0 / self.ports)
        across = collective_seconds(kind, bytes_ * portion, nodes, self.network.bandwidth, self.network.latency)
        return np.where(bytes_ > 0.0, across + self._within(kind, bytes_, inside, nodes), 0.0)

    def _within(self, kind: str, payload: Any, inside: int, nodes: int) -> Any:
        """Return the part inside nodes: that of the devices of a node, or the launch alone."""
        if not self.node:
            return 0.0
        if inside == 1 or kind == "send":
            return curve_of(self.node, kind, 2).floor
        return curve_of(self.node, kind, inside).seconds(payload / nodes if kind == "all_to_all" else payload)
