"""Registries of lazy entries: names to thunks, nothing is imported until an entry is chosen.

A second entry of the same name is an error: two packages that both call something ``roofline`` would otherwise
decide by import order whose numbers a user gets. Registries with an entry-point group are open to other packages:
they declare ``[project.entry-points."codesign.targets"]`` and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Generic, TypeVar

from codesign.errors import UsageError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries of one kind by name.

    Args:
        kind: What an entry is, in the singular ("cost model"), for messages.
        builtin: Our own entries, name to thunk.
        group: Entry-point group that other packages may add to; empty where the registry is closed.
    """

    def __init__(self, kind: str, builtin: Mapping[str, Callable[[], T]], group: str = "") -> None:
        self.kind = kind
        self.group = group
        self._thunks: dict[str, Callable[[], T]] = dict(builtin)
        self._outside_read = not group

    def add(self, name: str, thunk: Callable[[], T]) -> None:
        """Add an entry.

        Raises:
            UsageError: ``name`` is taken.
        """
        if name in self._thunks:
            raise UsageError(
                f"{self.kind} {name!r} is registered twice", "rename one of the two, or uninstall its package"
            )
        self._thunks[name] = thunk

    def get(self, name: str) -> T:
        """Return the entry called ``name``, importing what it needs.

        Raises:
            UsageError: there is none; the hint names the nearest.
        """
        self._read_outside()
        if name not in self._thunks:
            raise UsageError(f"{self.kind} {name!r} is unknown", nearest(name, self._thunks))
        return self._thunks[name]()

    def names(self) -> list[str]:
        """Return all names, sorted; imports no entry."""
        self._read_outside()
        return sorted(self._thunks)

    def __contains__(self, name: object) -> bool:
        self._read_outside()
        return name in self._thunks

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def _read_outside(self) -> None:
        """Add what installed packages declare; once, when first asked, because reading metadata takes time."""
        if self._outside_read:
            return
        found: dict[str, Callable[[], T]] = {}
        for point in metadata.entry_points(group=self.group):
            if point.name in self._thunks or point.name in found:
                owner = point.dist.name if point.dist is not None else point.value
                raise UsageError(
                    f"{self.kind} {point.name!r} of package {owner} has a name that is taken",
                    "rename one of the two, or uninstall that package",
                )
            found[point.name] = point.load
        self._thunks |= found
        self._outside_read = True
