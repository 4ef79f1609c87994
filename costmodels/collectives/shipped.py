"""The file of fitted curves that ships with the package, and how far each kind of answer was off.

Layout, version 1: JSON of ``Collectives``.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from math import hypot

import msgspec

from codesign.costmodels.collectives.links import Figures, Likeness, Measured, likeness
from codesign.errors import DataError
from codesign.quantity import Method

VERSION = 1
HINT = "expected a file that codesign costmodels fit wrote"


class Spreads(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Standard deviation of ln(measured / predicted), from measurements that were left out of the fit.

    Attributes:
        size: Payloads between those of a measured link.
        elsewhere: A measured link, timed on another machine by another harness.
        between: Numbers of devices between those measured.
        beyond: More devices than were measured.
        sibling: Another target with the same link.
        other: Another generation of a switched link.
        bus: Another bus.
        network: Over a network whose rate and latency are known.
    """

    size: float
    elsewhere: float
    between: float
    beyond: float
    sibling: float
    other: float
    bus: float
    network: float


class Collectives(msgspec.Struct, frozen=True, forbid_unknown_fields=True, eq=False):
    """Fitted curves by target, with their sources and their errors.

    Attributes:
        codesign_collectives: Version of the layout.
        sources: Table -> rows used, and rows left out by reason.
        libraries: Versions of the collective library that were measured.
        spreads: Errors.
        measured: Target -> its curves.
    """

    codesign_collectives: int
    sources: dict[str, dict[str, int]]
    libraries: tuple[str, ...]
    spreads: Spreads
    measured: dict[str, Measured]

    def likeness(self, target: str, link: Figures) -> Likeness:
        """Return the measured links that stand for ``link`` of ``target``."""
        return likeness(target, link, self.measured)

    def sigma(self, link: Figures, like: Likeness, participants: int) -> float:
        """Return the standard deviation of the logarithm of times over ``participants`` devices of a node.

        Another machine than the measured one, another link, another number of devices: each adds its own variance.
        """
        spreads = self.spreads
        unlike = {Method.INTERPOLATED: 0.0, Method.SAME_FAMILY: spreads.sibling}.get(like.method, spreads.bus)
        if like.method is Method.NEW_FAMILY and not link.bus:
            unlike = spreads.other
        counts = {count for one in like.references for count in one.measured.curves["all_reduce"]}
        counted = 0.0
        if participants > 1 and participants not in counts:
            counted = spreads.between if participants < max(counts, default=0) else spreads.beyond
        return hypot(max(spreads.size, spreads.elsewhere), unlike, counted)


@cache
def shipped() -> Collectives:
    """Return the curves that ship with the package."""
    return decode(files("codesign.costmodels").joinpath("collectives.json").read_bytes(), "collectives.json")


def decode(text: bytes, name: str) -> Collectives:
    """Return the curves in ``text``; ``name`` is the file named in errors.

    Raises:
        DataError: it is no such file, is damaged, or of another version.
    """
    try:
        found = msgspec.json.decode(text, type=Collectives)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: {error}", HINT) from None
    if found.codesign_collectives != VERSION:
        raise DataError(f"{name}: codesign_collectives: found {found.codesign_collectives}, expected {VERSION}", HINT)
    for target, measured in found.measured.items():
        for kind, curves in measured.curves.items():
            for count, curve in curves.items():
                sizes, times = curve.sizes, curve.times
                good = len(sizes) == len(times) > 0 and sizes[0] > 0 and times[0] > 0
                if not good or list(sizes) != sorted(set(sizes)) or list(times) != sorted(times):
                    raise DataError(f"{name}: measured.{target}.{kind}.{count}: expected knots that ascend", HINT)
    return found


def encode(found: Collectives) -> bytes:
    """Return the file of ``found``."""
    return msgspec.json.format(msgspec.json.encode(found), indent=0) + b"\n"
