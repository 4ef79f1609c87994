"""The file of a fitted operator model: one archive of plain arrays and a card in JSON; reading executes nothing.

Layout, version 2: a NumPy archive (``.npz``) without objects. ``card`` holds JSON as bytes; the arrays of expert E are
``E/pooled``, ``E/groups``, ``E/own``, ``E/trees/...`` and ``E/network``.
"""

from __future__ import annotations

import io
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.experts import EXPERTS, Expert
from codesign.costmodels.operators.fit import NO_TREES, FamilyModel
from codesign.costmodels.operators.network import Network
from codesign.costmodels.operators.power import PowerModel
from codesign.costmodels.operators.trees import Trees
from codesign.errors import DataError
from codesign.run import write_file

VERSION = 2
LARGEST = 256 << 20
"""Bytes that the arrays of a model may take together."""

DEEPEST = 256
"""Levels of a tree: each is a pass over the rows."""

DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, ValueError, EOFError, RuntimeError,
)  # fmt: skip
"""What reading an archive raises of one that is none, was cut or changed, or is locked."""

HINT = "expected a file that codesign costmodels fit wrote"
TREE_ARRAYS = ("feature", "threshold", "left", "right", "value", "root")


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
        )
        for name, family in families.items()
    }
    return OperatorModel(Card(VERSION, seed, sources, experts, power), families)


def write_model(path: Path | str, model: OperatorModel) -> None:
    """Write ``model``; equal models give equal bytes.

    Raises:
        EnvironmentLacks: the place cannot be written.
    """
    arrays: dict[str, Any] = {"card": np.frombuffer(msgspec.json.encode(model.card), np.uint8)}
    for name, family in model.families.items():
        arrays[f"{name}/pooled"] = family.pooled
        arrays[f"{name}/groups"] = np.array([family.groups[key] for key in model.card.experts[name].groups])
        arrays |= {f"{name}/trees/{field}": getattr(family.trees, field) for field in TREE_ARRAYS}
        if family.own:
            arrays[f"{name}/own"] = np.array(list(family.own.values()))
        if family.network is not None:
            arrays[f"{name}/network"] = family.network.packed()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue(), zipfile.ZIP_DEFLATED)
    write_file(Path(path), content.getvalue())


def read_model(path: Path | str, *, trees: bool = True) -> OperatorModel:
    """Return the model in a file.

    Args:
        path: Of the file.
        trees: Read the trees as well; without them only networks predict, and reading takes a fraction of the time.

    Raises:
        DataError: it cannot be read, is none, is cut, or is of another version.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > LARGEST:
                raise DataError(f"{path.name} unpacks to more than {LARGEST >> 20} MiB", HINT)
            wanted = [part for part in archive.namelist() if trees or "/trees/" not in part]
            arrays = {part.removesuffix(".npy"): _array(archive, part) for part in wanted}
    except OSError as error:
        raise DataError(f"cannot read {path.name}: {(error.strerror or str(error)).lower()}", HINT) from None
    except DAMAGE as error:
        raise DataError(f"{path.name} is no operator model, or is damaged: {error}", HINT) from None
    card = _card(arrays.pop("card", None), path.name)
    known = {expert.name: expert for expert in EXPERTS}
    try:
        families = {name: _family(known[name], fitted, arrays, trees) for name, fitted in card.experts.items()}
    except (KeyError, ValueError, IndexError) as error:
        raise DataError(f"{path.name} is damaged: array {error} is missing or wrong", HINT) from None
    return OperatorModel(card, families)


def _array(archive: zipfile.ZipFile, part: str) -> Any:
    """Return the array of a part; one that claims more than the part holds is not made room for."""
    with archive.open(part) as file:
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
            np.lib.format.read_magic(file)
        )
        shape, _, dtype = read_header(file) if read_header else ((), False, np.dtype(object))
        if dtype.hasobject or math.prod(shape) * dtype.itemsize > archive.getinfo(part).file_size:
            raise ValueError(f"{part} is no plain array")
    with archive.open(part) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _card(text: Any, name: str) -> Card:
    if text is None or text.dtype != np.uint8:
        raise DataError(f"{name} has no card", HINT)
    try:
        version = msgspec.json.decode(text.tobytes(), type=_Version).codesign_operators
        if version != VERSION:
            raise DataError(f"{name} has version {version}, this program reads {VERSION}", "fit the model again")
        return msgspec.json.decode(text.tobytes(), type=Card)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(f"the card of {name} is wrong: {error}", HINT) from None


class _Version(msgspec.Struct):
    codesign_operators: int


def _trees(name: str, fitted: Fitted, arrays: Mapping[str, Any]) -> Trees:
    """Return the trees of one expert; their indices stay within them."""
    trees = {field: arrays[f"{name}/trees/{field}"] for field in TREE_ARRAYS}
    nodes = len(trees["feature"])
    if not 0 <= fitted.depth <= DEEPEST or not np.isfinite(trees["value"]).all():
        raise ValueError(f"{name}/trees")
    for field in ("left", "right", "root"):
        if not ((trees[field] >= 0) & (trees[field] < nodes)).all():
            raise IndexError(f"{name}/trees/{field}")
    if any(len(trees[field]) != nodes for field in TREE_ARRAYS if field != "root"):
        raise ValueError(f"{name}/trees")
    return Trees(**trees, depth=fitted.depth, offset=fitted.offset)


def _family(expert: Expert, fitted: Fitted, arrays: Mapping[str, Any], with_trees: bool) -> FamilyModel:
    """Return one expert."""
    name = expert.name
    network = None if fitted.network is None else Network.of_packed(arrays[f"{name}/network"], fitted.network)
    groups, pooled = arrays[f"{name}/groups"], arrays[f"{name}/pooled"]
    count = len(physics.PRIOR) + int(expert.within_power)
    own = arrays[f"{name}/own"] if fitted.own else np.empty((0, count + 1))
    if groups.shape != (len(fitted.groups), count) or pooled.shape != (count,):
        raise ValueError(f"{name}/groups")
    if own.shape != (len(fitted.own), count + 1):
        raise ValueError(f"{name}/own")
    if not all(np.isfinite(array).all() for array in (groups, pooled, own, *([network.packed()] if network else []))):
        raise ValueError(f"{name}: not finite")
    return FamilyModel(
        expert=expert, pooled=pooled, own=dict(zip(fitted.own, own, strict=True)),
        groups={key: groups[row] for row, key in enumerate(fitted.groups)},
        trees=_trees(name, fitted, arrays) if with_trees else NO_TREES, devices=fitted.devices,
        architectures=fitted.architectures, scatter=fitted.scatter, network=network,
        distilled=fitted.distilled,
    )  # fmt: skip
