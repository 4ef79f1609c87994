"""A part of a Timeloop file with its place in it, so that every error names the file, the path and what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from codesign.errors import DataError, nearest, printable

LARGEST = 2**40
"""Largest integer that a field may hold."""

LARGEST_NUMBER = 1e30
"""Largest number that a field may hold: sums of such numbers stay finite."""


class Section:
    """Data of a file and where it stands."""

    __slots__ = ("data", "file", "path")

    def __init__(self, data: Any, file: str, path: str = "") -> None:
        self.data, self.file, self.path = data, file, path

    @property
    def place(self) -> str:
        """Return the place for errors: ``file: path``."""
        return f"{self.file}: {self.path}" if self.path else self.file

    def fail(self, message: str, hint: str = "") -> DataError:
        """Return an error about this part."""
        return DataError(f"{self.place}: {message}", hint)

    def keys(self, used: Collection[str], ignored: Collection[str] = ()) -> dict[str, Any]:
        """Return the mapping, whose keys must all be known.

        Args:
            used: Keys that mean something here.
            ignored: Keys that change no count, energy or cycle.

        Raises:
            DataError: no mapping, or a key that is not supported.
        """
        if not isinstance(self.data, dict):
            raise self.fail(f"found {_shown(self.data)}, expected a mapping")
        for key in self.data:
            if key not in used and key not in ignored:
                hint = nearest(key, [*used, *ignored])
                raise self.fail(f"unsupported key {printable(key, 60)!r}", hint)
        return self.data

    def at(self, key: str) -> Section:
        """Return the part under ``key``.

        Raises:
            DataError: there is none.
        """
        if not isinstance(self.data, dict) or key not in self.data:
            raise self.fail(f"missing key {key!r}")
        return Section(self.data[key], self.file, f"{self.path}.{key}" if self.path else key)

    def get(self, key: str) -> Section | None:
        """Return the part under ``key``, or None where it is absent or null."""
        return self.at(key) if isinstance(self.data, dict) and self.data.get(key) is not None else None

    def items(self) -> Iterator[Section]:
        """Yield the entries of a list.

        Raises:
            DataError: no list.
        """
        if not isinstance(self.data, list):
            raise self.fail(f"found {_shown(self.data)}, expected a list")
        for place, entry in enumerate(self.data):
            yield Section(entry, self.file, f"{self.path}[{place}]")

    def text(self) -> str:
        """Return text.

        Raises:
            DataError: something else.
        """
        if not isinstance(self.data, str) or not self.data:
            raise self.fail(f"found {_shown(self.data)}, expected text")
        return self.data

    def names(self) -> list[str]:
        """Return a list of texts."""
        return [entry.text() for entry in self.items()]

    def integer(self, least: int = 1) -> int:
        """Return an integer of at least ``least``.

        Raises:
            DataError: something else.
        """
        if isinstance(self.data, bool) or not isinstance(self.data, int) or not least <= self.data <= LARGEST:
            raise self.fail(f"found {_shown(self.data)}, expected an integer from {least}")
        return self.data

    def number(self) -> float:
        """Return a finite number of at least 0.

        Raises:
            DataError: something else.
        """
        found: Any = self.data
        if isinstance(found, str):  # 1e-9 without a point is text to YAML
            try:
                found = float(found)
            except ValueError:
                raise self.fail(f"found {_shown(self.data)}, expected a number") from None
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= LARGEST_NUMBER:
            raise self.fail(f"found {_shown(self.data)}, expected a number that is not negative")
        return float(found)


def _shown(data: Any) -> str:
    text = "nothing" if data is None else repr(data)
    return printable(text if len(text) <= 60 else text[:57] + "...")
