"""Mappings of Timeloop: reading and writing.

The leftmost rank of a ``permutation`` is the innermost loop. ``split: n`` sends the first n ranks of a spatial
permutation to the X direction and the others to Y. ``R=0`` stands for all that the other levels leave of R. Every
level keeps every tensor unless it is told otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from codesign.costmodels.accelerator.mapping import Direction, Mappings, Slots, make_slots, one_mapping
from codesign.costmodels.accelerator.problem import Problem
from codesign.costmodels.accelerator.timeloop.section import Section
from codesign.errors import DataError, UsageError, nearest
from codesign.targets.spatial import Architecture, Fanout, Spine

KEEPING = ("dataspace", "datatype", "bypass")
"""Types of the entries that say what a level keeps."""

_FACTOR = re.compile(r"([A-Za-z_][A-Za-z_0-9]*?)=?(\d+)")


class Loops(NamedTuple):
    """The loops of one entry: where they stand, rank -> bound, ranks innermost first, and how many go to X."""

    section: Section
    node: str
    spatial: bool
    factors: dict[str, int]
    permutation: list[str]
    split: int


def import_mapping(
    document: Section, problem: Problem, architecture: Architecture, keeps: Mapping[str, list[str]] | None = None,
    passes: Mapping[str, list[str]] | None = None,
) -> Mappings:  # fmt: skip
    """Return the mapping of a document, as a batch of one.

    Args:
        document: File with a ``mapping``.
        problem: What is mapped.
        architecture: What it is mapped onto.
        keeps: Level -> tensors that it keeps where the mapping does not say; all where neither does.
        passes: Level -> tensors that pass it by where the mapping does not say.

    Raises:
        DataError: unknown targets, ranks, tensors; factors without a permutation that orders them.
    """
    spine = architecture.spine()
    kept = {storage.name: [tensor.name for tensor in problem.tensors] for storage in spine.storages}
    kept |= {level: list(names) for level, names in (keeps or {}).items() if level in kept}
    kept |= {level: [name for name in kept[level] if name not in by] for level, by in (passes or {}).items()
             if level in kept}  # fmt: skip
    entries: list[Loops] = []
    section = document.at("mapping")
    for entry in section.items():
        entry.keys(("target", "type"), ("factors", "permutation", "keep", "bypass", "split"))
        kind = entry.at("type").text()
        if kind in KEEPING:
            _keep(entry, kept, spine)
        elif kind in ("temporal", "spatial"):
            entries.append(_loops(entry, problem, spine, kind == "spatial"))
        else:
            hint = nearest(kind, [*KEEPING, "temporal", "spatial"])
            raise entry.at("type").fail(f"unsupported type {kind!r}", hint)
    try:
        slots = make_slots(problem, spine, kept)
        return one_mapping(slots, _placed(_remainders(entries, problem), slots))
    except UsageError as error:
        raise DataError(f"{document.file}: {error.message}", error.hint) from None


def _keep(entry: Section, kept: dict[str, list[str]], spine: Spine) -> None:
    target = entry.at("target").text()
    if target not in kept:
        if array_of(target, spine) is None:
            raise entry.at("target").fail(f"unknown level {target!r}", nearest(target, kept))
        if (held := entry.get("keep")) is not None and held.names():
            raise held.fail("an array keeps nothing", "name a memory level")
        return
    for key in ("keep", "bypass"):
        names = found.names() if (found := entry.get(key)) is not None else []
        for name in names:
            if key == "keep" and name not in kept[target]:
                kept[target].append(name)
            elif key == "bypass" and name in kept[target]:
                kept[target].remove(name)


def array_of(target: str, spine: Spine) -> str | None:
    """Return the array that a spatial target means: its own name, or the array right below a level."""
    names = [node.name for node in spine.nodes if isinstance(node, Fanout)]
    bare = target.removeprefix("inter_").removesuffix("_spatial")
    for candidate in (target, f"inter_{target}_spatial", bare, f"below_{target}"):
        if candidate in names:
            return candidate
    return None


def _loops(entry: Section, problem: Problem, spine: Spine, spatial: bool) -> Loops:
    target = entry.at("target").text()
    array = array_of(target, spine)
    levels = [storage.name for storage in spine.storages]
    factors = _factors(entry, problem)
    if spatial and array is None:
        raise entry.at("target").fail(f"no array at {target!r}", nearest(target, [node.name for node in spine.nodes]))
    if not spatial and target not in levels:
        if array is None:
            raise entry.at("target").fail(f"unknown level {target!r}", nearest(target, levels))
        if any(bound != 1 for bound in factors.values()):
            raise entry.at("factors").fail(f"temporal loops at the array {target!r}", "put them at a memory level")
    permutation = _permutation(entry, problem)
    running = [rank for rank, bound in factors.items() if bound != 1]
    lost = [rank for rank in running if rank not in permutation]
    if lost and len(running) > 1:
        raise entry.fail(f"the permutation does not order rank {lost[0]}", "name every rank with a factor above 1")
    permutation += [rank for rank in problem.ranks if rank not in permutation]
    split = part.integer(0) if (part := entry.get("split")) is not None else len(permutation)
    node = array if spatial and array is not None else target
    return Loops(entry, node, spatial, factors, permutation, split)


def _factors(entry: Section, problem: Problem) -> dict[str, int]:
    part = entry.get("factors")
    if part is None:
        return {}
    tokens = re.split(r"[\s,]+", part.data.strip()) if isinstance(part.data, str) else part.names()
    found: dict[str, int] = {}
    for token in filter(None, tokens):
        match = _FACTOR.fullmatch(token)
        if match is None or len(match[2]) > 12:
            raise part.fail(f"found {token[:40]!r}, expected a factor such as R=3")
        rank = match[1]
        if rank not in problem.ranks:
            raise part.fail(f"unknown rank {rank!r}", nearest(rank, problem.ranks))
        if rank in found:
            raise part.fail(f"two factors of rank {rank}")
        found[rank] = int(match[2])
    return found


def _permutation(entry: Section, problem: Problem) -> list[str]:
    part = entry.get("permutation")
    if part is None:
        return []
    if isinstance(part.data, str):
        parted = re.split(r"[\s,]+", part.data.strip())
        names = parted if len(parted) > 1 or part.data in problem.ranks else list(part.data)
    else:
        names = part.names()
    for name in names:
        if name not in problem.ranks:
            raise part.fail(f"unknown rank {name!r}", nearest(name, problem.ranks))
        if names.count(name) > 1:
            raise part.fail(f"rank {name} twice")
    return names


def _remainders(entries: list[Loops], problem: Problem) -> list[Loops]:
    """Replace the factor 0 of a rank by what the other entries leave of it."""
    for rank, extent in problem.ranks.items():
        open_ones = [loops for loops in entries if loops.factors.get(rank) == 0]
        if len(open_ones) > 1:
            raise open_ones[1].section.fail(f"a second factor 0 of rank {rank}", "one entry takes what is left")
        if open_ones:
            rest = 1
            for loops in entries:
                rest *= loops.factors.get(rank) or 1
            open_ones[0].factors[rank] = -(-extent // rest)
    return entries


def _placed(entries: list[Loops], slots: Slots) -> list[tuple[int, str, int]]:
    """Return (slot, rank, bound), outermost first inside a slot."""
    found = []
    for loops in entries:
        for position, rank in reversed(list(enumerate(loops.permutation))):
            bound = loops.factors.get(rank, 1)
            if bound == 1:
                continue
            direction: Direction = "temporal"
            if loops.spatial:
                direction = "x" if position < loops.split else "y"
            found.append((slots.find(loops.node, direction), rank, bound))
    return found
