"""The rows of a front for other tools: CSV, JSON, Parquet, Markdown, LaTeX."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import msgspec

from codesign.errors import printable
from codesign.report import standing
from codesign.report.payload import header, place, title
from codesign.report.sheet import FLAGS, SUFFIXES, Sheet
from codesign.report.si import column_scale, digits, shown

_TEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
        "µ": r"\textmu{}", "|": r"\textbar{}"}  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def front_columns(sheet: Sheet) -> dict[str, list[Any]]:
    """Return the front in SI units, one list a column; ``run`` only where there are several."""
    rows = sheet.front_rows
    names = ["id"]
    for field in sheet.fields:
        names += [field.name, *(field.name + s for s in SUFFIXES if field.role == "objective")]
    columns = {"run": [place(sheet.runs[i].path) for i in sheet.columns["run"][:rows]]} if len(sheet.runs) > 1 else {}
    columns |= {name: sheet.columns[name][:rows] for name in names}
    return columns | {name: [bool(v) for v in sheet.columns[name][:rows]] for name in FLAGS}


def units(sheet: Sheet) -> dict[str, str]:
    """Return column -> unit, for those that have one."""
    return {f.name: f.unit for f in sheet.fields if f.unit}


def to_csv(sheet: Sheet) -> str:
    """Return the front as CSV in SI units; units stand in the header as ``name [unit]``."""
    columns, unit = front_columns(sheet), units(sheet)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    base = {name + s: u for name, u in unit.items() for s in ("", "_low", "_high")}
    writer.writerow([f"{name} [{base[name]}]" if name in base else name for name in columns])
    writer.writerows([[_csv_cell(v) for v in row] for row in zip(*columns.values(), strict=True)])
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    """Keep spreadsheets from running a text cell as a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "'" + value if isinstance(value, str) and value.startswith(_FORMULA) else value


def to_json(sheet: Sheet) -> str:
    """Return the front and where it came from as JSON."""
    meta = sheet.runs[0].meta
    content = {
        "schema_version": 1,
        "command": "report",
        **{key: meta.get(key) for key in ("argv", "versions", "host", "seed", "engine", "evaluations", "created")},
        "runs": [place(run.path) for run in sheet.runs],
        "problem": sheet.problem,
        "units": units(sheet),
        "columns": front_columns(sheet),
        "history": [run.front.get("history") or [] for run in sheet.runs],
        "status_counts": [run.front.get("status_counts") or {} for run in sheet.runs],
        "reasons": [run.front.get("reasons") or {} for run in sheet.runs],
        "verification": [run.front.get("verification") for run in sheet.runs],
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1).decode() + "\n"


def to_parquet(sheet: Sheet) -> bytes:
    """Return the front as a Parquet file; units are in its metadata under ``units``."""
    import polars

    buffer = io.BytesIO()
    frame = polars.DataFrame(front_columns(sheet), strict=False)
    frame.write_parquet(buffer, metadata={"units": msgspec.json.encode(units(sheet)).decode()})
    return buffer.getvalue()


def compact(sheet: Sheet) -> tuple[list[str], list[list[str]]]:
    """Return (header, rows) for people: what varies, units in the header, change to the baseline, marks."""
    knee, base = standing.knee_row(sheet), standing.baseline_row(sheet)
    count = sheet.front_rows
    head, columns = ["id"], [[_label(sheet, row) for row in range(count)]]
    for field in sheet.varying("parameter"):
        head.append(field.title)
        columns.append([shown(v) for v in sheet.columns[field.name][:count]])
    for field in sheet.of_role("objective"):
        values = sheet.columns[field.name]
        factor, unit = column_scale([v for v in values[:count] if isinstance(v, int | float)], field.unit)
        head.append(f"{field.name} [{unit}]" if unit else field.name)
        columns.append([digits(v * factor) if isinstance(v, int | float) else "n/a" for v in values[:count]])
        if base is not None and isinstance(values[base], int | float):
            changes = [standing.change(v, values[base]) if isinstance(v, int | float) else None for v in values[:count]]
            head.append("to baseline [%]")
            columns.append(["n/a" if c is None else f"{c:+.1f}" for c in changes])
    head.append("note")
    columns.append([", ".join(notes(sheet, row, knee)) for row in range(count)])
    order = sorted(range(count), key=lambda r: sheet.minimised(count)[r, 0])
    return head, [[column[row] for column in columns] for row in order]


def _label(sheet: Sheet, row: int) -> str:
    prefix = f"{sheet.runs[sheet.columns['run'][row]].name}#" if len(sheet.runs) > 1 else ""
    return f"{prefix}{sheet.columns['id'][row]}"


def notes(sheet: Sheet, row: int, knee: int | None) -> list[str]:
    """Return the marks of a row in words."""
    found = ["knee"] if row == knee else []
    found += [f"best {name}" for name, best in standing.champions(sheet).items() if best == row]
    found += ["baseline"] if sheet.columns["baseline"][row] is True else []
    return found + (["unknown quality"] if sheet.columns["unknown_quality"][row] is True else [])


def to_markdown(sheet: Sheet) -> str:
    """Return the front as a Markdown document."""
    head, rows = compact(sheet)
    lines = [f"# {markdown(title(sheet))}", ""]
    lines += [f"- **{markdown(label)}**: {markdown(text)}" for label, text in header(sheet)]
    lines += ["", "| " + " | ".join(map(markdown, head)) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(markdown, row)) + " |" for row in rows]) + "\n"


def markdown(text: str) -> str:
    """Return ``text`` with everything Markdown or HTML would interpret escaped."""
    text = printable(re.sub(r"\s+", " ", text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\|`*_\[\]])", r"\\\1", text)


def to_tex(sheet: Sheet) -> str:
    """Return the front as a LaTeX table (package booktabs)."""
    head, rows = compact(sheet)
    numeric = ["r" if all(re.fullmatch(r"[-+0-9.,e/na]*", row[i]) for row in rows) else "l" for i in range(len(head))]
    lines = ["% needs \\usepackage{booktabs}", "\\begin{tabular}{" + "".join(numeric) + "}", "\\toprule"]
    lines += [" & ".join(map(tex, head)) + r" \\", "\\midrule"]
    lines += [" & ".join(map(tex, row)) + r" \\" for row in rows]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def tex(text: str) -> str:
    """Return ``text`` with everything LaTeX would interpret escaped."""
    return "".join(_TEX.get(c, c) for c in re.sub(r"\s+", " ", text))
