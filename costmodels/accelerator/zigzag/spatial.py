"""ZigZag's mapping files: what stands on the array, and the order of loops where it is given.

Entries are found by the name of a layer, its operator type, or ``default``. ``spatial_mapping`` gives for a dimension
of the array the loops along it. They are taken as they stand; ZigZag lowers those that the ports of the innermost
memories cannot feed. ``temporal_ordering`` lists loops from the inside out, ``*`` for all that is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from codesign.costmodels.accelerator.zigzag.workload import Layer
from codesign.errors import DataError
from codesign.strict_yaml import convert, load_yaml, read_text

LINKS = {"O": "O", "W": "I2", "I": "I1"}
"""The memory operands of the tensors; any others are not supported."""

REST = "*"


class WrittenMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry as a file writes it."""

    name: str
    spatial_mapping: dict[str, list[str]] = {}
    spatial_mapping_hint: dict[str, list[str]] = {}
    temporal_ordering: list[list[str | int]] = []
    memory_operand_links: dict[str, str] = {}


class LayerMapping(NamedTuple):
    """What a file says of one layer.

    Attributes:
        spread: Dimension of the array -> rank -> copies.
        order: (Rank, iterations or None for all that is left), innermost first; empty where the order is free.
    """

    spread: Mapping[str, Mapping[str, int]]
    order: tuple[tuple[str, int | None], ...]


class SpatialChoices(NamedTuple):
    """The entries of a file by their names, and notes for people."""

    entries: Mapping[str, LayerMapping]
    notes: tuple[str, ...]

    def of(self, layer: Layer) -> LayerMapping:
        """Return the entry of a layer: by its name, its type, or the default.

        Raises:
            DataError: there is none.
        """
        for name in (layer.name, layer.kind, "default"):
            if name in self.entries:
                return self.entries[name]
        raise DataError(f"no mapping for layer {layer.name} of type {layer.kind}", "add an entry 'default'")


def read_spatial(path: str) -> SpatialChoices:
    """Return the entries of a mapping file.

    Raises:
        DataError: unknown keys, loops that cannot be read, or other links of memories than I, W and O have.
    """
    return parse_spatial(read_text(path), path)


def parse_spatial(text: str, name: str) -> SpatialChoices:
    """Return the entries of the YAML ``text``; ``name`` is the file named in errors."""
    data = load_yaml(text, name)
    if not isinstance(data, list):
        raise DataError(f"{name}: found a {type(data).__name__}, expected a list of entries")
    entries: dict[str, LayerMapping] = {}
    notes: list[str] = []
    for place, one in enumerate(data):
        written = convert(one, WrittenMapping, f"{name}[{place}]")
        for tensor, memory in written.memory_operand_links.items():
            if LINKS.get(tensor) != memory:
                raise DataError(f"{name}[{place}]: memory_operand_links: {tensor} to {memory}", "I: I1, W: I2, O: O")
        if written.spatial_mapping_hint and not written.spatial_mapping:
            raise DataError(f"{name}[{place}]: spatial_mapping_hint without spatial_mapping", "write the mapping out")
        if written.spatial_mapping_hint:
            notes.append(f"{name}: {written.name}: spatial_mapping_hint is not used, spatial_mapping is complete")
        spread = {dimension: dict(_copies(text, f"{name}[{place}]: {dimension}") for text in loops)
                  for dimension, loops in written.spatial_mapping.items()}  # fmt: skip
        order = tuple(_loop(loop, f"{name}[{place}]") for loop in written.temporal_ordering)
        entries[written.name] = LayerMapping(spread, order)
    return SpatialChoices(entries, tuple(notes))


def _copies(text: str, place: str) -> tuple[str, int]:
    rank, _, count = (part.strip() for part in text.partition(","))
    if not count.isdigit() or int(count) < 1:
        raise DataError(f"{place}: {text[:40]!r} cannot be read", "a loop and its copies, such as 'K, 32'")
    return rank, int(count)


def _loop(written: list[str | int], place: str) -> tuple[str, int | None]:
    if len(written) == 2 and isinstance(written[0], str):
        if written[1] == REST:
            return written[0], None
        if isinstance(written[1], int) and written[1] >= 1:
            return written[0], written[1]
    raise DataError(f"{place}: temporal_ordering: {written!r} cannot be read", "a loop and its size, or '*'")
