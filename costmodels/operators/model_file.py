"""The file of a fitted operator model: one archive of plain arrays and a card in JSON; reading executes nothing.

Layout, version 4: a NumPy archive (``.npz``) without objects. ``card`` holds JSON as bytes; the arrays of expert E are
``E/pooled``, ``E/groups``, ``E/own``, ``E/kernels``, ``E/trees/...`` and ``E/network``. What share of the shape term
holds on devices that were not measured is of the expert, in the program.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.carded_archive import Layout
from codesign.costmodels.operators.experts import EXPERTS, Expert
from codesign.costmodels.operators.family_model import NO_TREES, FamilyModel
from codesign.costmodels.operators.network import Network
from codesign.costmodels.operators.power import PowerModel
from codesign.costmodels.operators.trees import TREE_ARRAYS, checked_trees
from codesign.errors import DataError
from codesign.targets.target import OPERATOR_LAYOUT

VERSION = OPERATOR_LAYOUT
HINT = "expected a file that codesign costmodels fit wrote"
FILE = Layout("operator model", "codesign_operators", VERSION, HINT)


class Fitted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the card says of one fitted expert.

    Attributes:
        groups: Format and stack of each row of its group parameters.
        devices: That it was fitted on.
        architectures: Theirs.
        depth: Of its deepest tree.
        offset: Of its trees.
        scatter: Of the fit.
        halves: 90 % quantile of |ln(measured / predicted)|: ``seen`` of new shapes of its devices, ``unseen`` halfway
            between the mean and the largest over devices left out, ``worst`` the largest, both also for single formats;
            empty where it was not scored.
        distilled: Standard deviation of ln(network / model).
        network: Sizes of the network: rising inputs, inputs, units of a layer.
        own: Device, or device and format, of each row of the changes of devices.
        kernels: Device, format and stack of each row of the parameters of sorts of kernels.
    """

    groups: tuple[tuple[str, str], ...]
    devices: tuple[str, ...]
    architectures: tuple[str, ...]
    depth: int
    offset: float
    scatter: float
    halves: dict[str, float]
    distilled: float = 0.0
    network: tuple[int, int, int] | None = None
    own: tuple[str, ...] = ()
    kernels: tuple[tuple[str, str, str], ...] = ()


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The card of a model file.

    Attributes:
        codesign_operators: Version of the layout.
        seed: Of the fit.
        sources: Tables it was fitted on, with rows used and left out.
        experts: By name.
        power: Of devices while they run operators; None where the tables recorded none.
    """

    codesign_operators: int
    seed: int
    sources: dict[str, dict[str, int]]
    experts: dict[str, Fitted]
    power: PowerModel | None = None


class OperatorModel(msgspec.Struct, frozen=True, eq=False):
    """A fitted model: its card, and the families by the names of their experts."""

    card: Card
    families: Mapping[str, FamilyModel]


def model_of(
    families: Mapping[str, FamilyModel],
    seed: int,
    sources: dict[str, dict[str, int]],
    halves: Mapping[str, dict[str, float]] | None = None,
    power: PowerModel | None = None,
) -> OperatorModel:
    """Return fitted experts, by name, with their card; ``halves`` are those of ``Fitted``, by expert."""
    experts = {
        name: Fitted(
            tuple(family.groups),
            family.devices,
            family.architectures,
            family.trees.depth,
            family.trees.offset,
            family.scatter,
            (halves or {}).get(name, {}),
            family.distilled,
            None if family.network is None else family.network.sizes,
            tuple(family.own),
            tuple(family.kernels),
        )
        for name, family in families.items()
    }
    return OperatorModel(Card(VERSION, seed, sources, experts, power), families)


def write_model(path: Path | str, model: OperatorModel) -> None:
    """Write ``model``; equal models give equal bytes.

    Raises:
        EnvironmentLacks: the place cannot be written.
    """
    arrays: dict[str, Any] = {}
    for name, family in model.families.items():
        arrays[f"{name}/pooled"] = family.pooled
        arrays[f"{name}/groups"] = np.array([family.groups[key] for key in model.card.experts[name].groups])
        arrays |= {f"{name}/trees/{field}": getattr(family.trees, field) for field in TREE_ARRAYS}
        if family.own:
            arrays[f"{name}/own"] = np.array(list(family.own.values()))
        if family.kernels:
            arrays[f"{name}/kernels"] = np.array(list(family.kernels.values()))
        if family.network is not None:
            arrays[f"{name}/network"] = family.network.packed()
    FILE.write(path, model.card, arrays)


def read_model(path: Path | str, *, trees: bool = True) -> OperatorModel:
    """Return the model in a file.

    Args:
        path: Of the file.
        trees: Read the trees as well; without them only networks predict, and reading takes a fraction of the time.

    Raises:
        DataError: it cannot be read, is none, is cut, or is of another version.
    """
    path = Path(path)
    card, arrays = FILE.read(path, Card, lambda name: trees or "/trees/" not in name)
    known = {expert.name: expert for expert in EXPERTS}
    try:
        families = {name: _family(known[name], fitted, arrays, trees) for name, fitted in card.experts.items()}
    except (KeyError, ValueError, IndexError) as error:
        raise DataError(f"{path.name} is damaged: array {error} is missing or wrong", HINT) from None
    return OperatorModel(card, families)


def _family(expert: Expert, fitted: Fitted, arrays: Mapping[str, Any], with_trees: bool) -> FamilyModel:
    """Return one expert."""
    name = expert.name
    network = None if fitted.network is None else Network.of_packed(arrays[f"{name}/network"], fitted.network)
    groups, pooled = arrays[f"{name}/groups"], arrays[f"{name}/pooled"]
    count = len(expert.prior)
    kernels = arrays[f"{name}/kernels"] if fitted.kernels else np.empty((0, count))
    own = arrays[f"{name}/own"] if fitted.own else np.empty((0, count + 1))
    if groups.shape != (len(fitted.groups), count) or pooled.shape != (count,):
        raise ValueError(f"{name}/groups")
    if own.shape != (len(fitted.own), count + 1):
        raise ValueError(f"{name}/own")
    if kernels.shape != (len(fitted.kernels), count):
        raise ValueError(f"{name}/kernels")
    numbers = (groups, pooled, own, kernels, *([network.packed()] if network else []))
    if not all(np.isfinite(array).all() for array in numbers):
        raise ValueError(f"{name}: not finite")
    return FamilyModel(
        expert=expert, pooled=pooled, own=dict(zip(fitted.own, own, strict=True)),
        groups={key: groups[row] for row, key in enumerate(fitted.groups)},
        kernels=dict(zip(fitted.kernels, kernels, strict=True)),
        trees=checked_trees(arrays, f"{name}/trees", fitted.depth, fitted.offset) if with_trees else NO_TREES,
        devices=fitted.devices,
        architectures=fitted.architectures, scatter=fitted.scatter, network=network,
        distilled=fitted.distilled, trust=expert.carried,
    )  # fmt: skip
