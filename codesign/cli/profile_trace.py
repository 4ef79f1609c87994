"""``codesign profile TRACE``: read a trace and say what it tells."""

from __future__ import annotations

import os
import re
import sys
from math import isfinite
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
MODELS = {".py": "py:{}:NAME, of a function that returns the module", ".pt2": "pt2:{}"}
"""Suffix of a file that holds a model -> how that is named."""

LIMITS_HINT = "give launch factor, queue factor and busy share: --class-limits 4,10,0.5"
STEP_HINT = "give a number of a profiler step, or a range: --step 3-5"


def trace_path(source: str) -> Path | None:
    """Return the file that ``source`` names, None where it names a model: a bare name of a preset always does.

    Raises:
        UsageError: it is a folder, or a file that holds a model.
    """
    prefix, separator, rest = source.partition(":")
    if separator and prefix == "trace":
        return _no_folder(Path(rest))
    if (separator and prefix.isalnum() and not Path(source).exists()) or not source:
        return None
    path = Path(source)
    looks_like_file = len(path.parts) > 1 or path.name.endswith(SUFFIXES)
    if not looks_like_file and (not path.exists() or _is_preset(source)):
        return None
    if path.suffix in MODELS and path.is_file():
        raise UsageError(f"{path} is a model, no trace", f"name it {MODELS[path.suffix].format(path)}")
    return _no_folder(path)


def _no_folder(path: Path) -> Path:
    if path.is_dir():
        if (path / "run.json").is_file():
            raise UsageError(f"{path} is a run directory, no trace", f"codesign report {path} shows what it holds")
        raise UsageError(f"{path} is a folder, no trace", "name a file in it")
    return path


def _is_preset(name: str) -> bool:
    from codesign.models.catalog import list_models

    return name in list_models()


def profile_trace(
    ctx: typer.Context,
    path: Path,
    *,
    step: str | None,
    thresholds: Thresholds | None,
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
        window = f"step {first}" if first == last else f"steps {first} to {last}"
        trace = steps(trace, first, last)
    found = analyse(trace, window=window, thresholds=thresholds)
    if thresholds is not None and found.boundness.thresholds is None:
        raise UsageError("--class-limits are of launches, and this trace has none", "leave them out")
    notes = [f"warning: {warning}" for warning in found.warnings]
    if not json or out is not None:
        spec = {"kind": "profile", "source": path.name, "step": step, "thresholds": found.boundness.thresholds}
        notes.append(f"report: {_write(path, trace, found, spec, out, force, start)}")
    if json:
        show(ctx, found, as_json=True, units=_units(), top={"metrics": found.metrics})
        return
    from codesign.cli.trace_view import tables

    show(ctx, None, tables(found, path.name), notes=notes)


def class_limits(text: str | None) -> Thresholds | None:
    """Return the limits of the classes: of ``4,10,0.5`` the launch factor, the queue factor and the busy share."""
    from codesign.profilers.boundness import Thresholds

    if text is None:
        return None
    try:
        launch, queue, busy = filter(isfinite, map(float, text.split(",")))
    except ValueError:
        raise UsageError(f"--class-limits is {text[:40]!r}: not three numbers", LIMITS_HINT) from None
    rules = (
        (launch >= 1.0, f"the launch factor {launch:g} is less than 1"),
        (launch <= queue, f"the launch factor {launch:g} is larger than the queue factor {queue:g}"),
        (queue < 1e9, f"the queue factor {queue:g} is not less than 1e9"),
        (0.0 < busy < 1.0, f"the busy share {busy:g} is not between 0 and 1"),
    )
    broken = next((words for kept, words in rules if not kept), None)
    if broken is not None:
        raise UsageError(f"--class-limits is {text[:40]!r}: {broken}", LIMITS_HINT)
    return Thresholds(launch_factor=launch, queue_factor=queue, busy=busy)


def step_numbers(text: str) -> tuple[int, int]:
    """Return the first and last number of ``7`` or ``3-5``."""
    found = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", text)
    if found is None:
        raise UsageError(f"--step is {text[:40]!r}: no number of at most 18 digits, and no range of two", STEP_HINT)
    first, last = int(found[1]), int(found[2] or found[1])
    if first > last:
        raise UsageError(f"--step is {text!r}: step {first} comes after step {last}", STEP_HINT)
    return first, last


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
