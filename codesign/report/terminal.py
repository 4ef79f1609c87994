"""The front as a table for a terminal, and what to do next.

Columns that tell most come first and stay: the point, what distinguishes the points, the objectives. In 80
columns the intervals and the least varied parameters give way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codesign.report import standing
from codesign.report.exports import notes
from codesign.report.importance import explained, levels_of
from codesign.report.sheet import Field, Sheet
from codesign.report.si import column_scale, digits, shown

if TYPE_CHECKING:
    from rich.table import Table

MOST_ROWS = 20
"""Front points shown; the report has them all."""
WIDEST_CELL = 22
WIDEST_DESIGN = 31
WIDE = 100


def front_table(sheet: Sheet, width: int = 80, most: int = MOST_ROWS, *, designs: bool = True) -> Table:
    """Return the front as a rich table at most ``width`` characters wide, with parameters where ``designs``."""
    from rich.table import Table
    from rich.text import Text

    rows = chosen_rows(sheet, most)
    columns, dropped = _columns(sheet, rows, width, designs)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", caption_justify="left")
    for head, cells in columns:
        numeric = all(cell[:1].isdigit() or cell[:1] in "-$n" for cell in cells)
        table.add_column(Text(head), justify="right" if numeric else "left", no_wrap=True)
    for i in range(len(rows)):
        table.add_row(*(Text(cells[i]) for _, cells in columns))
    said = []
    if sheet.front_rows > len(rows):
        said.append(f"{len(rows)} of {sheet.front_rows} front points: knee, best of each objective, even spread")
    if dropped:
        said.append(f"too narrow for: {', '.join(dropped)}")
    if said:
        table.caption = Text("\n".join(said))
    return table


def chosen_rows(sheet: Sheet, most: int = MOST_ROWS) -> list[int]:
    """Return the rows to show, by the first objective: knee and champions always, the others evenly spread."""
    count = sheet.front_rows
    if not count:
        return []
    order = sorted(range(count), key=lambda row: sheet.minimised(count)[row, 0].item()) if count <= 1 else _order(sheet)
    if count <= most:
        return order
    must = {standing.knee_row(sheet), *standing.champions(sheet).values()}
    rest = [row for row in order if row not in must]
    free = max(0, most - len(must))
    spread = {rest[round(i * (len(rest) - 1) / max(1, free - 1))] for i in range(min(free, len(rest)))}
    return [row for row in order if row in must or row in spread]


def _order(sheet: Sheet) -> list[int]:
    import numpy as np

    order: list[int] = np.argsort(standing.filled(sheet)[:, 0], kind="stable").tolist()
    return order


def _columns(
    sheet: Sheet, rows: list[int], width: int, designs: bool = True
) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """Return (header, cells) that fit, and the objectives that do not.

    The point and its marks always fit; then objectives, parameters by how much they tell, intervals. A terminal too
    narrow for a column per parameter gets one column that spells the design.
    """
    point = ("point", [_label(sheet, row) for row in rows])
    marks = ("", _marks(sheet, rows, width))
    left = width - _width(point) - _width(marks)
    columns: dict[str, tuple[str, list[str]]] = {}
    wanted = {f.name: _objective(sheet, f, rows) for f in sheet.of_role("objective")}
    told = {f.name: _parameter(sheet, f, rows) for f in _telling(sheet)} if designs else {}
    if width < WIDE and len(told) > 1 and not sheet.problem.get("told"):
        told = {"design": _design(sheet, rows)}
        wanted = {**dict(list(wanted.items())[:1]), **told, **dict(list(wanted.items())[1:])}
    intervals = {f.name + "_low": _interval(sheet, f, rows) for f in sheet.of_role("objective")}
    for name, column in [*wanted.items(), *told.items(), *intervals.items()]:
        if column is not None and _width(column) <= left:
            left -= _width(column)
            columns[name] = column
    order = ["design", *(f.name for f in sheet.fields if f.role != "objective")]
    order += [name for f in sheet.of_role("objective") for name in (f.name, f.name + "_low")]
    kept = [columns[name] for name in order if name in columns]
    return [point, *kept, marks], [name for name in wanted if name not in columns and name != "design"]


def _design(sheet: Sheet, rows: list[int]) -> tuple[str, list[str]]:
    """Return the parameters that vary, in one cell a row: ``h100-sxm, tp 4, batch 32``.

    Where that is too wide, numbers that are 1 are left out.
    """
    fields = [f for f in sheet.of_role("parameter") if f in _telling(sheet)]

    def cell(row: int, unsaid: tuple[Any, ...]) -> str:
        values = [(f.name, sheet.columns[f.name][row]) for f in fields]
        return " ".join(v if isinstance(v, str) else f"{name} {shown(v)}" for name, v in values if v not in unsaid)

    whole = [cell(row, (None,)) for row in rows]
    if all(len(told) <= WIDEST_DESIGN for told in whole):
        return "design", whole
    return "design (1 is not said)", [_cut(cell(row, (None, 1)), WIDEST_DESIGN) for row in rows]


def _label(sheet: Sheet, row: int) -> str:
    return (f"{sheet.columns['run'][row] + 1}" if len(sheet.runs) > 1 else "") + f"#{sheet.columns['id'][row]}"


def _marks(sheet: Sheet, rows: list[int], width: int) -> list[str]:
    """Return the marks of each row, shorter in a narrow terminal."""
    knee = standing.knee_row(sheet)
    words = [notes(sheet, row, knee) for row in rows]
    most = 28 if width >= WIDE else 13
    texts = [", ".join(found).replace("_", " ") for found in words]
    short = [
        text if len(text) <= most else found[0] + (f" +{len(found) - 1}" if most > 13 else "+")
        for text, found in zip(texts, words, strict=True)
    ]
    return [_cut(text.replace("_", " "), most) for text in short]


def _parameter(sheet: Sheet, field: Field, rows: list[int]) -> tuple[str, list[str]]:
    values = [sheet.columns[field.name][row] for row in rows]
    bare = bool(field.unit) and all(isinstance(v, int) for v in values)
    head = f"{field.name}\n[{field.unit}]" if bare else field.name
    return head, [_cut(shown(v, "" if bare else field.unit)) for v in values]


def _width(column: tuple[str, list[str]]) -> int:
    return max(map(len, [*column[0].split("\n"), *column[1]]), default=0) + 2


def _cut(text: str, most: int = WIDEST_CELL) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _scale(sheet: Sheet, field: Field, rows: list[int]) -> tuple[float, str]:
    values = [sheet.columns[field.name][row] for row in rows]
    return column_scale([v for v in values if isinstance(v, int | float)], field.unit)


def _objective(sheet: Sheet, field: Field, rows: list[int]) -> tuple[str, list[str]]:
    factor, unit = _scale(sheet, field, rows)
    name = _cut(field.name.replace("_per_million_tokens", "/1M").replace("_per_token", "/token"), 16)
    return f"{name}\n[{unit}]" if unit else name, [_scaled(sheet.columns[field.name][row], factor) for row in rows]


def _interval(sheet: Sheet, field: Field, rows: list[int]) -> tuple[str, list[str]] | None:
    low, high = (sheet.columns[field.name + end] for end in ("_low", "_high"))
    if all(low[row] is None or low[row] == high[row] for row in rows):
        return None
    factor, _ = _scale(sheet, field, rows)
    return "90 %\ninterval", [f"{_scaled(low[row], factor, 3)} to {_scaled(high[row], factor, 3)}" for row in rows]


def _scaled(value: Any, factor: float, significant: int = 4) -> str:
    return digits(value * factor, significant) if isinstance(value, int | float) else "n/a"


def _telling(sheet: Sheet) -> list[Field]:
    """Return what the problem says tells points apart, or the parameters that vary, those that explain most first."""
    told = sheet.problem.get("told")
    if told:
        return [f for f in sheet.fields if f.name in told and f.role != "objective"]
    values = standing.filled(sheet)

    def telling(field: Field) -> float:
        codes, _ = levels_of(sheet.columns[field.name][: sheet.front_rows])
        return sum(explained(codes, column) for column in values.T)

    return sorted(sheet.varying("parameter"), key=telling, reverse=True)


def _same(sheet: Sheet) -> str:
    """Return the parameters that all front points share, which the table leaves out."""
    varying = {f.name for f in sheet.varying("parameter")}
    shared = [f for f in sheet.of_role("parameter") if f.name not in varying and sheet.front_rows]
    values = [(f.name, sheet.columns[f.name][0]) for f in shared]
    return "all        " + ", ".join(f"{name} {shown(value)}" for name, value in values) if values else ""


def next_steps(sheet: Sheet, report_path: str = "", *, designs: bool = True) -> list[str]:
    """Return lines that say what to do next, after the parameters that all share where ``designs``; plain text."""
    knee, path = standing.knee_row(sheet), str(sheet.runs[0].path)
    lines = [same] if designs and (same := _same(sheet)) else []
    lines += [f"report     {report_path}"] if report_path else [f"report     codesign report {path}"]
    if knee is not None and sheet.problem.get("explained", True):
        lines.append(f"why        codesign explain '{sheet.ref(knee)}'")
    if sheet.runs[0].meta.get("status") != "finished":
        lines.append(f"resume     codesign search --resume {path}")
    else:
        lines.append(f"export     codesign report {path} --format csv|json|parquet|md|tex")
    return lines
