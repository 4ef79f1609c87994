"""``report(run, format)``: render a run directory and write the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from codesign.errors import UsageError, nearest
from codesign.report import exports, html
from codesign.report.sheet import Sheet, load_sheet
from codesign.run import Run, load_run, write_file
from codesign.run.journal import lacks

SINGLE = {
    "profile": ("profile", "name one run, or set two profiles against each other: codesign compare A B"),
    "carbon footprint": ("footprint", "name one run; a footprint compares the systems of its spec"),
}
"""Commands whose runs are no searches -> what such a run is, and what to do with several."""

FORMATS: dict[str, tuple[str, Callable[[Sheet], str | bytes]]] = {
    "html": ("report.html", html.page),
    "csv": ("report.csv", exports.to_csv),
    "json": ("report.json", exports.to_json),
    "parquet": ("report.parquet", exports.to_parquet),
    "md": ("report.md", exports.to_markdown),
    "tex": ("report.tex", exports.to_tex),
}
"""Format -> (file name in the run directory, renderer)."""


def render(runs: Sequence[Run | Path | str] | Sheet, format: str = "html") -> str | bytes:
    """Return one or more runs in a format: text, or bytes for Parquet.

    Raises:
        UsageError: no such format, or a profile among several runs.
        DataError: a run is damaged, or the runs differ in their objectives.
    """
    if format not in FORMATS:
        raise UsageError(f"unknown report format {format!r}", nearest(format, FORMATS))
    if not isinstance(runs, Sheet) and (single := _single(runs)) is not None:
        if single.meta.get("command") == "profile":
            from codesign.report.profile.exports import render_profile

            return render_profile(single, format)
        from codesign.report.footprint.write import render_footprint

        return render_footprint(single, format)
    sheet = runs if isinstance(runs, Sheet) else load_sheet(runs)
    return FORMATS[format][1](sheet)


def _single(runs: Sequence[Run | Path | str]) -> Run | None:
    """Return the run among ``runs`` that is no search, a profile or a footprint, which is then the only one."""
    loaded = [run if isinstance(run, Run) else load_run(run) for run in runs]
    found = next((run for run in loaded if run.meta.get("command") in SINGLE), None)
    if found is not None and len(loaded) > 1:
        kind, hint = SINGLE[str(found.meta.get("command"))]
        raise UsageError(f"{found.path} is a {kind}, and {kind}s are reported one at a time", hint)
    return found


def report(
    runs: Run | Path | str | Sequence[Run | Path | str],
    format: str = "html",
    output: Path | str | None = None,
) -> Path:
    """Render a run (or several of the same objectives) and write it.

    Args:
        runs: a run directory or several.
        format: html, csv, json, parquet, md or tex.
        output: the file; None writes ``report.<format>`` into the (first) run directory.

    Returns:
        The path written.

    Raises:
        UsageError: no such format, or a profile among several runs.
        DataError: a run is damaged, or the runs differ in their objectives.
        EnvironmentLacks: the file cannot be written.
    """
    several = [runs] if isinstance(runs, Run | Path | str) else list(runs)
    if format not in FORMATS:
        raise UsageError(f"unknown report format {format!r}", nearest(format, FORMATS))
    content = render(several, format)
    first = several[0].path if isinstance(several[0], Run) else load_run(several[0]).path
    path = Path(output) if output is not None else first / FORMATS[format][0]
    if path.is_dir():
        path = path / FORMATS[format][0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise lacks(error, path.parent) from None
    write_file(path, content)
    return path
