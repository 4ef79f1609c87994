"""Quality is carried, never predicted: a sourced table of (model, dtype), unknown outside it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec

from codesign.strict_yaml import decode_yaml


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One published comparison of a quantised checkpoint with the unquantised one."""

    model: str
    dtype: str
    recovery: float
    benchmark: str
    source: str


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    entries: tuple[Entry, ...]


@cache
def table() -> dict[tuple[str, str], Entry]:
    """Return the shipped table by (model, dtype)."""
    text = files("codesign.search").joinpath("quality.yaml").read_text()
    return {(entry.model, entry.dtype): entry for entry in decode_yaml(text, Table, "quality.yaml").entries}


def quality_loss(model: str, dtype: str, checkpoint_dtype: str) -> float | None:
    """Return the share of the benchmark score lost, 0 at the checkpoint's own dtype, None where unknown."""
    if dtype == checkpoint_dtype:
        return 0.0
    entry = table().get((model, dtype))
    return None if entry is None else 1.0 - entry.recovery
