"""A point of a run by name: ``RUN#17`` is the design with id 17 of the run in directory RUN."""

from __future__ import annotations

from typing import Any

import msgspec

from codesign.errors import UsageError
from codesign.models import Model
from codesign.run import Run, load_run
from codesign.search.problem import Command, Details
from codesign.search.problems import PROBLEMS, make_problem
from codesign.search.replay import replay

DESIGN = ("dtype", "tp", "pp", "ep", "nodes", "replicas", "batch")


def kind_of_point(text: str) -> str:
    """Return which problem the run of a point searched, such as ``mapping``.

    Raises:
        UsageError: no such run, or no point is named.
    """
    return str(_named(text)[0].meta.get("spec", {}).get("problem", ""))


def has_details(kind: str) -> bool:
    """Say whether ``details_of_point`` takes points of searches of this kind."""
    return kind in PROBLEMS and kind != "deployment"


def details_of_point(text: str) -> tuple[dict[str, Any], Details]:
    """Return (columns, details) of the point that ``text`` names, of any kind of search.

    Details that the run does not hold are made anew from its journal.

    Raises:
        UsageError: no such point.
        DataError: the run is damaged, or was of other inputs.
    """
    run, number = _named(text)
    point = run.point(number)
    stored = run.front.get("details", {}).get(str(number))
    if stored is not None:
        return point, msgspec.convert(stored, Details)
    spec = run.meta["spec"]
    rows = replay(run.journal_path, spec["search"]).rows()
    problem = make_problem(spec["problem"], spec["spec"])
    assert rows is not None  # the point was found
    return point, problem.describe(rows.take(rows.ids == number).points)


def _named(text: str) -> tuple[Run, int]:
    path, _, number = text.rpartition("#")
    if not number.isdigit():
        raise UsageError(f"{text!r} names no point", "write the run directory, #, and an id of its table: runs/X#17")
    return load_run(path), int(number)


def design_of_point(text: str) -> tuple[Model, str, str | None, dict[str, Any], list[str], tuple[str, ...]]:
    """Return (model, target, overlay, options, serving commands, limits) of the deployment point that ``text`` names.

    Raises:
        UsageError: no such point, or the run is no deployment search.
    """
    from codesign.search.deployment import Deployment
    from codesign.search.deployment_details import details, power_limit

    run, number = _named(text)
    stored = run.meta.get("spec", {})
    if stored.get("problem") != "deployment":
        raise UsageError(f"{run.path} is no deployment search", "explain takes points of searches")
    problem = Deployment(**stored["spec"])
    point = run.point(number)
    asked = problem.asked
    options: dict[str, Any] = {name: point[name] for name in DESIGN}
    options |= {"prompt": asked.prompt, "generate": asked.generate, "mode": asked.mode, "execution": asked.execution}
    options |= {
        "chunk": asked.chunk,
        "rate": asked.rate,
        "framework": asked.framework,
        "power_limit": power_limit(problem, point),
    }
    options |= {"site": asked.site}
    commands = details(problem, point).commands
    lines = [
        line
        for command in commands
        for line in (f"{command.title}:", *(f"  {part}" for part in command.text.split("\n")), *notes(command))
    ]
    return problem.model, problem.given[point["target"]], asked.overlay, options, lines, asked.where


def notes(command: Command) -> list[str]:
    """Return what a command cannot express, a line each."""
    return [f"  ({note})" for note in command.notes]
