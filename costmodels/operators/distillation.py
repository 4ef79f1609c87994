"""From a fitted model to one whose shape term is a small network (``network``)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from codesign.costmodels.operators.device import Device
from codesign.costmodels.operators.family_model import FamilyModel, of_devices, own_parameters
from codesign.costmodels.operators.fit import network_inputs, predict
from codesign.costmodels.operators.monotone import Inputs
from codesign.costmodels.operators.network import fit_network
from codesign.costmodels.operators.tables import Rows
from codesign.quantity import COVERAGE, Z90, Array

MOST = 60_000
"""Rows that the network learns from; as many again as if they had run on other devices."""


def distilled(model: FamilyModel, rows: Rows, others: Sequence[Device], seed: int = 0) -> FamilyModel:
    """Return ``model`` with a network that says what its trees say.

    Args:
        model: Of the expert of ``rows``.
        rows: That it was fitted on.
        others: Devices that it will be asked about.
        seed: Of what is drawn.
    """
    rng = np.random.default_rng(seed)
    some = rows.take(np.sort(rng.choice(len(rows), min(MOST, len(rows)), replace=False)))
    parts = [some, *_elsewhere(some, others, rng)]
    given, wanted = [], []
    for part in parts:
        parameters = own_parameters(model, part)
        given.append(network_inputs(part, parameters)[0])
        wanted.append(np.log(_said(model, part)) - parameters[0])
    whole, said = Inputs(*(np.concatenate(columns) for columns in zip(*given, strict=True))), np.concatenate(wanted)
    network = fit_network(whole, said, seed)
    deviation = float(np.quantile(np.abs(network.predict(whole) - said), COVERAGE) / Z90)
    return msgspec.structs.replace(model, network=network, distilled=deviation)


def _said(model: FamilyModel, rows: Rows) -> Array:
    """Return what ``model`` says without the changes of devices, s, by what each device has of its own.

    The whole shape term is in it: the network is asked for a share of it as the trees are.
    """
    model = msgspec.structs.replace(model, trust=1.0)
    found = np.empty(len(rows))
    for own, mine in of_devices(model, rows):
        found[mine] = predict(own, rows.take(mine))
    return found


def _elsewhere(rows: Rows, others: Sequence[Device], rng: np.random.Generator) -> list[Rows]:
    """Return ``rows`` as if each had run on one of ``others`` that computes in its format."""
    able = np.array([[_computes(device, rows, form) for form in range(len(rows.formats))] for device in others])
    if not able.size:
        return []
    drawn = rng.integers(len(others), size=len(rows))
    mask = able[drawn, rows.form]
    moved = msgspec.structs.replace(rows, devices=tuple(others), device=drawn)
    return [moved.take(mask)] if mask.any() else []


def _computes(device: Device, rows: Rows, form: int) -> bool:
    name = rows.formats[form].compute
    return name in device.matrix or name == "fp32"
