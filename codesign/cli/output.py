"""The one renderer of every command: tables for people, one JSON envelope for programs.

The result goes to stdout; notes and progress go to stderr and fall silent under ``--quiet``. Cells are plain text
to rich (never markup), so a name cannot colour, link or hide anything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from codesign.errors import printable
from codesign.units import format_si

if TYPE_CHECKING:
    from rich.console import Console

    from codesign.quantity import Quantity

SCHEMA_VERSION = 1
"""Version of the JSON envelope; it grows when a key changes meaning or goes."""

LEAST_WIDTH = 8
"""Characters in a line of a column of words, where the others leave no room for more."""

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
"""The ``--json`` option of every command that prints a result."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to show.

    Attributes:
        title: Line above the table; empty for none.
        columns: Column heads; one that starts with ``>`` is aligned right.
        rows: Cells, shown by ``cell``.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]


def number(value: float | None, unit: str = "", digits: int = 3) -> str:
    """Return an SI ``value`` with its unit, ``digits`` significant digits; ``-`` where unknown."""
    return "-" if value is None else format_si(float(value), unit, digits)


def count(value: float) -> str:
    """Return a plain count: exact below a million, ``124.4M``, ``8.03B`` (billions) above."""
    scale, name = next(((s, n) for s, n in ((1e12, "T"), (1e9, "B"), (1e6, "M")) if value >= s), (1.0, ""))
    return f"{value / scale:,.4g}{name}" if name else f"{value:,.6g}"


def quantity(q: Quantity, digits: int = 3) -> str:
    """Return ``value [low to high]`` with the unit, the interval left out where the value is exact."""
    value = number(q.value, q.unit, digits)
    if q.low == q.high:
        return value
    return f"{value} [{number(q.low, q.unit, digits)} to {number(q.high, q.unit, digits)}]"


def cell(value: object) -> str:
    """Return what a table shows for ``value``, on one line and without control characters."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return f"{value:,}"
    return printable(str(value))


def show(
    ctx: typer.Context,
    results: Any,
    tables: Iterable[Table] = (),
    *,
    as_json: bool = False,
    units: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    details: Any = None,
    top: Mapping[str, Any] | None = None,
) -> None:
    """Print the result of a command.

    Args:
        ctx: Context of the command; gives its name and ``--quiet``.
        results: What ``--json`` prints under ``results``: plain data, structs, dataclasses or arrays.
        tables: What is printed otherwise.
        as_json: The command's ``--json`` flag.
        units: Field of ``results`` -> unit, for numbers that do not carry one; SI where not named.
        notes: Lines for people after the tables, on stderr.
        details: What ``--json`` prints beside ``results``.
        top: Further fields of the JSON object, beside ``results``, that programs look up by their own name.
    """
    if as_json:
        sys.stdout.write(envelope(ctx, results, units or {}, details, top) + "\n")
        return
    show_tables(tables)
    for line in notes:
        note(ctx, line)


def show_tables(tables: Iterable[Table]) -> None:
    """Print tables on stdout, a blank line between them."""
    console = _console(sys.stdout)
    for position, table in enumerate(tables):
        if position:
            console.print()
        _print_table(console, table)


def envelope(
    ctx: typer.Context,
    results: Any,
    units: Mapping[str, str],
    details: Any = None,
    top: Mapping[str, Any] | None = None,
) -> str:
    """Return the JSON envelope of ``results``: what ran, where, in which units."""
    import msgspec

    from codesign.run import host_info, sanitise_argv, versions

    content = {
        "schema_version": SCHEMA_VERSION,
        "command": command_name(ctx),
        "argv": sanitise_argv(sys.argv),
        "versions": versions(),
        "host": host_info(),
        "units": dict(units),
        "results": results,
        **({} if details is None else {"details": details}),
        **(top or {}),
    }
    return msgspec.json.format(msgspec.json.encode(content, enc_hook=_plain), indent=2).decode()


def command_name(ctx: typer.Context) -> str:
    """Return the words of the command without the program: ``models list``."""
    return ctx.command_path.partition(" ")[2]


def note(ctx: typer.Context, text: str) -> None:
    """Print one line for people on stderr, unless ``--quiet``."""
    if not is_quiet(ctx):
        print(printable(text), file=sys.stderr)


def is_quiet(ctx: typer.Context) -> bool:
    """Say whether ``--quiet`` was given."""
    return bool(ctx.find_root().params.get("quiet"))


def result_console() -> Console:
    """Return the console of results: stdout."""
    return _console(sys.stdout)


def _console(stream: Any, quiet: bool = False) -> Console:
    from rich.console import Console

    # rich alone keeps bold and dim under NO_COLOR when FORCE_COLOR is set too; no colour system means no codes at all
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Console(file=stream, quiet=quiet, color_system=None if plain else "auto", highlight=False, emoji=False)


def _print_table(console: Console, table: Table) -> None:
    from rich import box
    from rich import table as rich_table
    from rich.cells import cell_len
    from rich.text import Text

    if table.title:
        console.print(Text("\n".join(map(printable, table.title.split("\n"))), style="bold"))
    plain = os.environ.get("TERM") == "dumb"
    rows = [[cell(value) for value in row] for row in table.rows]
    widest = [
        max(cell_len(text) for text in (head.removeprefix(">"), *(row[place] for row in rows)))
        for place, head in enumerate(table.columns)
    ]
    whole = [place == 0 or head.startswith(">") for place, head in enumerate(table.columns)]
    least = sum(width if kept else min(width, LEAST_WIDTH) for width, kept in zip(widest, whole, strict=True))
    # the box draws one space between columns, the padding one on either side of it
    gaps = len(widest) - 1
    padding = int(least + 3 * gaps <= console.width)
    whole[0] = whole[0] and least + (1 + 2 * padding) * gaps <= console.width
    drawn = rich_table.Table(
        box=None if plain else box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1 if plain else padding), show_edge=False
    )
    for place, head in enumerate(table.columns):
        side: Literal["left", "right"] = "right" if head.startswith(">") else "left"
        # a number is never cut; a name is kept whole, so that it can be copied, where there is room for all
        drawn.add_column(
            Text(head.removeprefix(">")), justify=side, overflow="fold", no_wrap=whole[place],
            min_width=min(widest[place], console.width) if whole[place] else None,
        )  # fmt: skip
    for row in rows:
        drawn.add_row(*map(Text, row))
    console.print(drawn)


def _plain(value: Any) -> Any:
    """Turn numpy scalars and arrays, and paths, into what JSON knows."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise NotImplementedError(f"no JSON form of {type(value).__name__}")
