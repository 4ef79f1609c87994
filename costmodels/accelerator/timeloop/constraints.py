"""Constraints of Timeloop: what a search may do at a level or array. Pricing one mapping needs none of them.

They stand with the components of a v0.4 file (``constraints``), or in the ``architecture_constraints`` of a dump.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from codesign.costmodels.accelerator.timeloop.section import Section
from codesign.errors import nearest

_FACTOR = re.compile(r"([A-Za-z_][A-Za-z_0-9]*?)(<=|=)?(\d{1,12})")
_FIELDS = ("factors", "permutation", "split")
_IGNORED = ("maximize_dims", "factors_only", "no_iteration_over_dataspaces", "remainders")


class Limit(NamedTuple):
    """What a search may do with the loops of one level or array.

    Attributes:
        node: Level or array.
        spatial: Whether it speaks of the array's loops.
        fixed: Rank -> the only factor allowed.
        most: Rank -> the largest factor allowed.
        order: Ranks that stand innermost, innermost first.
        split: How many ranks of ``order`` go to the X direction; None where it does not say.
    """

    node: str
    spatial: bool
    fixed: dict[str, int]
    most: dict[str, int]
    order: tuple[str, ...]
    split: int | None


def limit_of(section: Section, node: str, spatial: bool, ignored: tuple[str, ...] = ()) -> Limit:
    """Return the limit that one constraint states.

    Raises:
        DataError: a key, factor or permutation that cannot be read.
    """
    section.keys(_FIELDS, (*_IGNORED, *ignored))
    fixed: dict[str, int] = {}
    most: dict[str, int] = {}
    part = section.get("factors")
    tokens: list[str] = []
    if part is not None:
        tokens = re.split(r"[\s,]+", part.data.strip()) if isinstance(part.data, str) else part.names()
    for token in filter(None, tokens):
        match = _FACTOR.fullmatch(token)
        if match is None or part is None:
            raise section.at("factors").fail(f"found {token[:40]!r}, expected a factor such as R=3 or R<=3")
        (most if match[2] == "<=" else fixed)[match[1]] = int(match[3])
    given = section.get("permutation")
    order: list[str] = []
    if given is not None:
        text = given.data
        order = given.names() if not isinstance(text, str) else _ranks(text)
    split = part.integer(0) if (part := section.get("split")) is not None else None
    return Limit(node, spatial, fixed, most, tuple(order), split)


def _ranks(text: str) -> list[str]:
    parts = re.split(r"[\s,]+", text.strip())
    return parts if len(parts) > 1 else list(parts[0])


def dump_limits(document: Section) -> tuple[list[Limit], dict[str, list[str]]]:
    """Return the limits of a dump, and level -> tensors that it has to keep.

    Raises:
        DataError: a target that cannot be read.
    """
    limits: list[Limit] = []
    keeps: dict[str, list[str]] = {}
    given = document.get("architecture_constraints")
    targets = given.get("targets") if given is not None else None
    for target in targets.items() if targets is not None else ():
        kind = target.at("type").text()
        node = target.at("target").text()
        if kind in ("temporal", "spatial"):
            limits.append(limit_of(target, node, kind == "spatial", ("type", "target")))
        elif kind in ("bypass", "dataspace", "datatype"):
            target.keys(("type", "target", "keep", "bypass"))
            if (keep := target.get("keep")) is not None:
                keeps[node] = keep.names()
        else:
            hint = nearest(kind, ("temporal", "spatial", "bypass", "dataspace", "datatype"))
            raise target.at("type").fail(f"unsupported constraint {kind!r}", hint)
    return limits, keeps
