"""A profile's run directory in the formats of ``codesign report``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from codesign.cli.output import Table, cell
from codesign.errors import DataError, UsageError
from codesign.profilers.analysis import Analysis
from codesign.profilers.results import Profile
from codesign.report.exports import markdown
from codesign.run import Run

FORMATS = ("html", "json", "md")


def render_profile(run: Run, format: str) -> str:
    """Return the profile in ``run`` in a format.

    Raises:
        UsageError: a format that profiles do not have.
        DataError: the run is damaged, or its page is gone.
    """
    if format not in FORMATS:
        raise UsageError(f"a profile has no format {format!r}", f"one of {', '.join(FORMATS)}")
    path = next((p for name in ("profile.json", "analysis.json") if (p := run.path / name).exists()), None)
    if path is None:
        raise DataError(f"{run.path} holds neither profile.json nor analysis.json", "profile again")
    if format == "html":
        return _text(run.path / "report.html")
    return _text(path) + "\n" if format == "json" else _markdown(path, run)


def _markdown(path: Path, run: Run) -> str:
    tables, notes = _tables(path, run)
    parts = []
    for number, table in enumerate(tables):
        title, _, rest = table.title.partition("\n")
        heads = [head.removeprefix(">") for head in table.columns]
        lines = [f"{'##' if number else '#'} {markdown(title)}", ""]
        lines += [*([markdown(rest), ""] if rest else []), "| " + " | ".join(map(markdown, heads)) + " |"]
        lines.append("|" + "".join("---:|" if head.startswith(">") else "---|" for head in table.columns))
        lines += ["| " + " | ".join(markdown(cell(value)) for value in row) + " |" for row in table.rows]
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, "\n".join(f"- {markdown(note)}" for note in notes)]).rstrip() + "\n"


def _tables(path: Path, run: Run) -> tuple[list[Table], list[str]]:
    from codesign.cli import profile_view, trace_view

    try:
        if path.name == "profile.json":
            found = msgspec.json.decode(path.read_bytes(), type=Profile)
            return profile_view.tables(found), profile_view.notes(found)
        analysis = msgspec.json.decode(path.read_bytes(), type=Analysis)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}", "restore the file, or profile again") from None
    source = str((run.meta.get("spec") or {}).get("source") or run.path.name)
    return trace_view.tables(analysis, source), list(analysis.warnings)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}", "profile again") from None
