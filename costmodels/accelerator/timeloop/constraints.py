"""Constraints of Timeloop: what a search may do at a level or array. Pricing one mapping needs none of them.

They stand with the components of a v0.4 file (``constraints``), or in the ``architecture_constraints`` of a dump.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from codesign.costmodels.accelerator.timeloop.section import Section
from codesign.errors import nearest

_FACTOR = re.compile(r"([A-Za-z_][A-Za-z_0-9]*?)(<=|=)?(\d{1,12})")
_FIELDS = ("factors", "factors_only", "permutation", "split", "no_iteration_over_dataspaces")
_UNUSED = ("maximize_dims", "remainders")
"""Keys that steer Timeloop's own mapper and are named, not applied."""


class Limit(NamedTuple):
    """What a search may do with the loops of one level or array.

    Attributes:
        node: Level or array.
        spatial: Whether it speaks of the array's loops.
        fixed: Rank -> the only factor allowed; 0 for all that other levels leave.
        most: Rank -> the largest factor allowed.
        order: Ranks that stand innermost, innermost first.
        split: How many ranks of ``order`` go to the X direction; None where it does not say.
        only: Whether ranks without a factor have factor 1.
        still: Tensors whose ranks have factor 1.
        unused: Keys that are not applied.
        place: Where it stands, for errors.
    """

    node: str
    spatial: bool
    fixed: dict[str, int]
    most: dict[str, int]
    order: tuple[str, ...]
    split: int | None
    only: bool = False
    still: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    place: str = ""


def limit_of(section: Section, node: str, spatial: bool, ignored: tuple[str, ...] = ()) -> Limit:
    """Return the limit that one constraint states.

    Raises:
        DataError: a key, factor or permutation that cannot be read.
    """
    section.keys(_FIELDS, (*_UNUSED, *ignored))
    fixed: dict[str, int] = {}
    most: dict[str, int] = {}
    for key in ("factors", "factors_only"):
        if (part := section.get(key)) is not None:
            _read_factors(part, fixed, most)
    given = section.get("permutation")
    order: list[str] = []
    if given is not None:
        text = given.data
        order = given.names() if not isinstance(text, str) else _ranks(text)
    split = part.integer(0) if (part := section.get("split")) is not None else None
    still = part.names() if (part := section.get("no_iteration_over_dataspaces")) is not None else []
    unused = tuple(key for key in _UNUSED if section.get(key) is not None)
    only = section.get("factors_only") is not None
    return Limit(node, spatial, fixed, most, tuple(order), split, only, tuple(still), unused, section.place)


def _read_factors(part: Section, fixed: dict[str, int], most: dict[str, int]) -> None:
    tokens = re.split(r"[\s,]+", part.data.strip()) if isinstance(part.data, str) else part.names()
    for token in filter(None, tokens):
        match = _FACTOR.fullmatch(token)
        if match is None:
            raise part.fail(f"found {token[:40]!r}, expected a factor such as R=3 or R<=3")
        rank, bound = match[1], int(match[3])
        if match[2] == "<=" and bound < 1:
            raise part.fail(f"found {token!r}, expected a factor of at least 1")
        if rank in fixed or rank in most:
            raise part.fail(f"two factors of rank {rank}", "leave one")
        (most if match[2] == "<=" else fixed)[rank] = bound


def _ranks(text: str) -> list[str]:
    parts = re.split(r"[\s,]+", text.strip())
    return parts if len(parts) > 1 else list(parts[0])


def read_keeping(section: Section, node: str, keeps: dict[str, list[str]], passes: dict[str, list[str]]) -> None:
    """Read what a level keeps; where it says only what passes by, that."""
    if (keep := section.get("keep")) is not None:
        keeps[node] = keep.names()
    elif (bypass := section.get("bypass")) is not None:
        passes[node] = bypass.names()


def dump_limits(document: Section) -> tuple[list[Limit], dict[str, list[str]], dict[str, list[str]]]:
    """Return the limits of a dump, level -> tensors that it has to keep, level -> tensors that pass it by.

    Raises:
        DataError: a target that cannot be read.
    """
    limits: list[Limit] = []
    keeps: dict[str, list[str]] = {}
    passes: dict[str, list[str]] = {}
    given = document.get("architecture_constraints")
    targets = given.get("targets") if given is not None else None
    for target in targets.items() if targets is not None else ():
        kind = target.at("type").text()
        node = target.at("target").text()
        if kind in ("temporal", "spatial"):
            limits.append(limit_of(target, node, kind == "spatial", ("type", "target")))
        elif kind in ("bypass", "dataspace", "datatype"):
            target.keys(("type", "target", "keep", "bypass"))
            read_keeping(target, node, keeps, passes)
        else:
            hint = nearest(kind, ("temporal", "spatial", "bypass", "dataspace", "datatype"))
            raise target.at("type").fail(f"unsupported constraint {kind!r}", hint)
    return limits, keeps, passes
