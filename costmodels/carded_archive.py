"""Files of fitted models: an archive of plain arrays and a card in JSON that says what they are, of one version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from codesign.costmodels.array_archive import read_arrays, write_arrays
from codesign.errors import DataError

CARD = "card"
"""Name of the array that holds the card's JSON as bytes."""

Card = TypeVar("Card", bound=msgspec.Struct)


class Layout(NamedTuple):
    """A kind of file.

    Attributes:
        kind: What it holds ("operator model"), for messages.
        field: Of the card, that holds the version.
        version: That is read.
        hint: What to do with a file that is none.
    """

    kind: str
    field: str
    version: int
    hint: str

    def write(self, path: Path | str, card: msgspec.Struct, arrays: Mapping[str, Any]) -> None:
        """Write a card and its arrays; equal ones give equal bytes.

        Raises:
            EnvironmentLacks: the place cannot be written.
        """
        write_arrays(path, {CARD: np.frombuffer(msgspec.json.encode(card), np.uint8), **arrays})

    def read(
        self, path: Path | str, card: type[Card], wanted: Callable[[str], bool] = lambda name: True
    ) -> tuple[Card, dict[str, Any]]:
        """Return the card of a file, and its arrays by name.

        Args:
            path: Of the file.
            card: Type of the card.
            wanted: Which arrays to read.

        Raises:
            DataError: it cannot be read, is none, is cut, or is of another version.
        """
        arrays = read_arrays(path, self.kind, self.hint, wanted)
        return self._card(arrays.pop(CARD, None), card, Path(path).name), arrays

    def _card(self, text: Any, card: type[Card], name: str) -> Card:
        if text is None or text.dtype != np.uint8:
            raise DataError(f"{name} has no card: no {self.kind}", self.hint)
        try:
            version = msgspec.json.decode(text.tobytes(), type=dict[str, Any]).get(self.field)
            if isinstance(version, int) and version != self.version:
                message = f"{name} has version {version}, this program reads {self.version}"
                raise DataError(message, f"fit the {self.kind} again")
            return msgspec.json.decode(text.tobytes(), type=card)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataError(f"the card of {name} is wrong: {error}", self.hint) from None
