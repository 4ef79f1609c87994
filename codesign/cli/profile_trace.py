"""``codesign profile TRACE``: read a trace and say what it tells."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import typer

from codesign.cli.output import show
from codesign.errors import UsageError

if TYPE_CHECKING:
    from codesign.profilers.analysis import Analysis
    from codesign.profilers.boundness import Thresholds
    from codesign.profilers.trace import Trace

SUFFIXES = (".json", ".gz", ".sqlite", ".trace")


def trace_path(source: str) -> Path | None:
    """Return the file that ``source`` names, None where it names a model: a bare name of a preset always does."""
    prefix, separator, rest = source.partition(":")
    if separator and prefix == "trace":
        return Path(rest)
    if (separator and prefix.isalnum() and not Path(source).exists()) or not source:
        return None
    path = Path(source)
    looks_like_file = len(path.parts) > 1 or path.name.endswith(SUFFIXES)
    if not looks_like_file and (not path.exists() or _is_preset(source)):
        return None
    return path


def _is_preset(name: str) -> bool:
    from codesign.models.catalog import list_models

    return name in list_models()


def profile_trace(
    ctx: typer.Context,
    path: Path,
    *,
    step: str | None,
    thresholds: Thresholds,
    out: str | None,
    force: bool,
    json: bool,
) -> None:
    """Analyse the trace in ``path``, write its run directory, show what was found.

    With ``json`` a run directory is written only where one is named.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no products here: its threads would only spin
    from codesign.profilers.analysis import analyse
    from codesign.profilers.readers import read_trace

    start = perf_counter()
    trace, window = read_trace(path), "whole trace"
    if step is not None:
        from codesign.profilers.iterations import steps

        first, last = step_numbers(step)
        trace = steps(trace, first, last)
        window = f"step {first}" if first == last else f"steps {first} to {last}"
    found = analyse(trace, window=window, thresholds=thresholds)
    notes = [f"warning: {warning}" for warning in found.warnings]
    if not json or out is not None:
        spec = {"kind": "profile", "source": path.name, "step": step, "thresholds": thresholds}
        notes.append(f"report: {_write(path, trace, found, spec, out, force, start)}")
    if json:
        show(ctx, found, as_json=True, units=_units(), top={"metrics": found.metrics})
        return
    from codesign.cli.trace_view import tables

    show(ctx, None, tables(found, path.name), notes=notes)


def class_limits(text: str | None) -> Thresholds:
    """Return the limits of the classes: of ``4,10,0.5`` the launch factor, the queue factor and the busy share."""
    from codesign.profilers.boundness import Thresholds

    if text is None:
        return Thresholds()
    try:
        launch, queue, busy = (float(part) for part in text.split(","))
    except ValueError:
        launch = queue = busy = -1.0
    if not (1.0 <= launch <= queue < 1e9 and 0.0 < busy < 1.0):
        hint = "give launch factor, queue factor and busy share: --class-limits 4,10,0.5"
        raise UsageError(f"--class-limits is {text!r}", hint)
    return Thresholds(launch_factor=launch, queue_factor=queue, busy=busy)


def step_numbers(text: str) -> tuple[int, int]:
    """Return the first and last number of ``7`` or ``3-5``."""
    first, _, last = text.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal()) or int(first) > int(last or first):
        raise UsageError(f"--step is {text!r}", "give a number of a profiler step, or a range: --step 3-5")
    return int(first), int(last or first)


def _write(
    path: Path, trace: Trace, found: Analysis, spec: dict[str, Any], out: str | None, force: bool, start: float
) -> Path:
    """Write the run directory and return the path of its page."""
    import msgspec

    from codesign.report.profile import profile_page
    from codesign.report.profile.trace_view import trace_view
    from codesign.run import create_run, write_file

    run = create_run(
        out, f"profile-{path.name.partition('.')[0]}", command="profile", argv=sys.argv, force=force,
        packages=("numpy", "msgspec"), fields={"spec": spec},
    )  # fmt: skip
    write_file(run.path / "analysis.json", msgspec.json.format(msgspec.json.encode(found), indent=1))
    page = run.path / "report.html"
    write_file(page, profile_page(trace_view(trace, found, path.name)))
    run.update(status="finished", wall_s=round(perf_counter() - start, 3))
    return page


def _units() -> dict[str, str]:
    from codesign.cli.trace_view import UNITS

    return UNITS
