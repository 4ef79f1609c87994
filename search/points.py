"""A point of a run by name: ``RUN#17`` is the design with id 17 of the run in directory RUN."""

from __future__ import annotations

from typing import Any

from codesign.errors import UsageError
from codesign.models import Model
from codesign.run import load_run
from codesign.search.problem import Command

DESIGN = ("dtype", "tp", "pp", "ep", "nodes", "replicas", "batch")


def design_of_point(text: str) -> tuple[Model, str, str | None, dict[str, Any], list[str], tuple[str, ...]]:
    """Return (model, target, overlay, options, serving commands, limits) of the deployment point that ``text`` names.

    Raises:
        UsageError: no such point, or the run is no deployment search.
    """
    from codesign.search.deployment import Deployment
    from codesign.search.deployment_details import details, power_limit

    path, _, number = text.rpartition("#")
    if not number.isdigit():
        raise UsageError(f"{text!r} names no point", "write the run directory, #, and an id of its table: runs/X#17")
    run = load_run(path)
    stored = run.meta.get("spec", {})
    if stored.get("problem") != "deployment":
        raise UsageError(f"{path} is no deployment search", "explain takes points of deployment searches")
    problem = Deployment(**stored["spec"])
    point = run.point(int(number))
    asked = problem.asked
    options: dict[str, Any] = {name: point[name] for name in DESIGN}
    options |= {"prompt": asked.prompt, "generate": asked.generate, "mode": asked.mode, "execution": asked.execution}
    options |= {"chunk": asked.chunk, "rate": asked.rate, "power_limit": power_limit(problem, point)}
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
