"""How ``codesign search mlir`` shows what stands: the front measured again, the claim, and its edits in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from codesign.cli.output import Table, note, show_tables

if TYPE_CHECKING:
    from codesign.run import Run

TOLD = ("claim", "original", "answering without the input", "other work", "noise", "random edits", "search", "winner")


def show_again(ctx: typer.Context, run: Run, found: dict[str, Any]) -> None:
    """Show the members of a front as measured again, and what is claimed."""
    show_tables([members(found)])
    for name in TOLD:
        if name in found:
            note(ctx, f"{name}: {found[name]}")
    for line in found.get("notes", ()):
        note(ctx, f"edit: {line}")
    if "winner" in found:
        note(ctx, f"run it: python {run.path / 'best' / 'program.py'} INPUT.npy")


def members(found: dict[str, Any]) -> Table:
    """Return the members of a front as measured again."""
    heads = ("member", ">edits", ">speed-up", ">99 % interval", ">noise", "faster", ">search", ">selection", ">report")
    rows = [
        (
            r["member"], str(_count(r["edits"])), _times(r["speed-up"]), f"{_times(r['from'])} to {_times(r['to'])}",
            _times(r["noise"]), "yes" if r["faster"] else r["reason"] or "no", _share(r["search"]),
            _share(r["selection"]), _share(r["report"]),
        )
        for r in found["rows"]
    ]  # fmt: skip
    return Table("Measured again beside the original; error on the three sets of data", heads, rows)


def _count(kinds: str) -> int:
    """Return how many edits ``1 copy, 2 delete`` are: the report names their kinds."""
    return sum(int(part.split()[0]) for part in kinds.split(", ") if part[:1].isdigit())


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}x"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
