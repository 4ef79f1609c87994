"""What a command says of an overlay that moved nothing."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from codesign.errors import CodesignError


def unused_overlay(overlay: str | None, targets: Iterable[str], *, single_operators: bool = False) -> list[str]:
    """Return a line that says why an overlay moved nothing, where it did.

    Args:
        overlay: Path of it.
        targets: Names of all that was asked about.
        single_operators: Whether that were operators and not whole models, which factors of models do not move.
    """
    if overlay is None:
        return []
    from codesign.costmodels.factors import LABELS, F
    from codesign.strict_yaml import read_text
    from codesign.targets import load_target
    from codesign.targets.schema import parse_overlay

    found = parse_overlay(read_text(overlay), overlay)
    known = []
    for name in targets:
        with suppress(CodesignError):  # a design whose target nobody knows says so in its row
            known.append(load_target(name).id)
    if found.target not in known:
        return [f"{overlay} calibrates {found.target}, which nothing here runs on: it moved nothing"]
    if not found.factors and not found.operators:
        return [f"{overlay} holds neither factors nor operators: it moved nothing"]
    if single_operators and not found.operators and not {LABELS[F.LINK], LABELS[F.LONG_LINK]} & set(found.factors):
        return [f"{overlay} holds factors of whole models only: they move no single operator"]
    return []
