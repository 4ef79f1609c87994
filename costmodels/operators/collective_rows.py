"""Collectives in a table of operators: ``num_gpus`` devices of one node exchange ``message_size`` elements each."""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.costmodels.collectives import line_of
from codesign.costmodels.factors import LABELS, LONG_MESSAGE, F
from codesign.costmodels.operators.asked import Asked
from codesign.costmodels.operators.formats import format_of
from codesign.errors import UsageError
from codesign.quantity import Array

KINDS = {
    "all_reduce": "all_reduce", "all_gather": "all_gather", "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all", "all_to_all": "all_to_all", "send": "send", "send_recv": "send",
}  # fmt: skip
"""Spelling -> kind of collective."""

LEAST_DEVICES = 2


def predict_collectives(asked: Asked) -> tuple[Array, Array, Any]:
    """Return seconds, the standard deviation of their logarithm, and the source of each row.

    Raises:
        DataError: a row names something unknown or impossible, or a device without a link to its neighbours.
    """
    names = np.char.lower(np.char.strip(asked.column("op")))
    targets, device = asked.targets()
    formats, form = asked.each("dtype", format_of)
    whole = np.arange(len(names))
    elements, devices = asked.numbers("message_size", whole, None), asked.numbers("num_gpus", whole, None)
    payload = elements * np.array([found.activation for found in formats])[form]
    seconds, sigma = np.empty(len(names)), np.empty(len(names))
    source = np.empty(len(names), object)
    keys = np.stack([device, devices.astype(np.int64), np.unique(names, return_inverse=True)[1]], axis=1)
    _, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    for number, row in enumerate(first.tolist()):
        at = np.flatnonzero(place.ravel() == number)
        target, participants = targets[device[row]], int(devices[row])
        line = line_of(target, "node", 1.0, participants)
        try:
            if participants < LEAST_DEVICES:
                raise UsageError(f"expected at least {LEAST_DEVICES}", "one device alone exchanges nothing")
            if line is None:
                raise UsageError(f"{target.id} has no link within a node", "add machine.links.node to its file")
            if participants > target.devices_per_node:
                raise UsageError(
                    f"a node has {target.devices_per_node} devices", "collectives of one node are predicted"
                )
        except UsageError as error:
            raise asked.wrong(row, "num_gpus", str(participants), f"{error.message}; {error.hint}") from None
        seconds[at] = line.collective(KINDS[names[row]], payload[at], participants)
        sigma[at], source[at] = line.sigma, line.method.value
        entries = {entry.name: entry for entry in target.calibration}
        link = entries.get(LABELS[F.LINK])
        long = entries.get(LABELS[F.LONG_LINK], link)
        for own, mine in ((link, payload[at] <= LONG_MESSAGE), (long, payload[at] > LONG_MESSAGE)):
            if own is not None:
                seconds[at[mine]] *= own.scale
                sigma[at[mine]], source[at[mine]] = own.sigma, own.method.value
    return seconds, sigma, source
