"""Searches from a file: what ``run.json`` stores is what ``codesign search FILE`` runs.

A spec names the problem, its own spec, and the search settings; YAML, or the ``run.json`` of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from codesign.errors import DataError
from codesign.run import Run, load_run
from codesign.search.driver import Progress, resume_search, run_search
from codesign.search.problem import Problem
from codesign.search.problems import make_problem


class SearchSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a search in a file; what is left out has the default of ``run_search``."""

    engine: str = "nsga2"
    options: dict[str, Any] = {}
    evaluations: int | None = None
    time_limit: float | None = None
    seed: int = 0
    keep: str = "sample:2000"
    timeout: float | None = None
    reference: list[float] | None = None


class SearchSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole search: a problem's name, its spec, the settings."""

    problem: str
    spec: dict[str, Any]
    search: SearchSection = SearchSection()


_DERIVED = ("sized_for", "objectives", "constraints")
"""Settings that ``run.json`` stores beside those a user gives."""


def read_spec(path: Path | str) -> SearchSpec:
    """Return the spec in a YAML file or in a ``run.json``.

    Raises:
        DataError: unreadable, unknown keys (nearest valid ones follow), or no search.
    """
    from codesign.strict_yaml import convert, read_yaml

    place = Path(path)
    data = read_yaml(place)
    if isinstance(data, dict) and "schema_version" in data:
        if "search" not in data.get("spec", {}):
            raise DataError(f"{place} is the run.json of {data.get('command')!r}, not of a search", "name a search's")
        data = data["spec"]
    if isinstance(data, dict) and isinstance(data.get("search"), Mapping):
        data = {**data, "search": {k: v for k, v in data["search"].items() if k not in _DERIVED}}
    spec: SearchSpec = convert(data, SearchSpec, str(place))
    return spec


def search_from_spec(
    spec: SearchSpec | Path | str,
    *,
    problem: Problem | None = None,
    directory: Path | str | None = None,
    force: bool = False,
    workers: int = 1,
    progress: Callable[[Progress], None] | None = None,
    command: str = "search",
    argv: tuple[str, ...] = (),
    **changes: Any,
) -> Run:
    """Run a search as a spec states it, and conclude it; ``changes`` replace single settings, such as ``seed=1``."""
    asked = spec if isinstance(spec, SearchSpec) else read_spec(spec)
    settings = {**msgspec.to_builtins(asked.search), **{k: v for k, v in changes.items() if v is not None}}
    searched = problem if problem is not None else make_problem(asked.problem, asked.spec)
    run = run_search(
        searched,
        directory=directory,
        force=force,
        workers=workers,
        progress=progress,
        command=command,
        argv=argv,
        **settings,
    )
    searched.conclude(run, workers=workers, progress=progress)
    return load_run(run.path)


def resumed(
    directory: Path | str,
    *,
    evaluations: int | None = None,
    workers: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Continue the search in ``directory`` from what it stored, and conclude it; as ``resume_search``."""
    stored = load_run(directory).meta.get("spec", {})
    problem = make_problem(stored["problem"], stored["spec"]) if "search" in stored else None
    run = resume_search(directory, problem=problem, evaluations=evaluations, workers=workers, progress=progress)
    if problem is not None:
        problem.conclude(run, workers=workers, progress=progress)
    return load_run(run.path)
