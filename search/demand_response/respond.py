"""The public call of demand response: a spec in, a run directory with every plan out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from codesign.errors import DataError
from codesign.run import Run
from codesign.run.directory import refuse_taken
from codesign.search import driver
from codesign.search.demand_response.problem import DemandResponse, prepared
from codesign.search.demand_response.spec import DemandResponseSpec

COMMAND = "carbon respond"


def read_study(spec: Path | str) -> DemandResponseSpec:
    """Return the study in a YAML file, its series and goals worked out.

    Raises:
        DataError: the file, a field or a series is wrong.
        LimitCrossed: no plan stays below the capacity, or a goal is out of reach.
    """
    from codesign.strict_yaml import decode_yaml, read_text

    path = Path(spec)
    if path.is_dir():
        raise DataError(f"{path}: is a directory", "name the YAML file of a study")
    asked = decode_yaml(read_text(path), DemandResponseSpec, str(spec))
    return prepared(asked, path.parent, str(spec))[0]


class Answer(NamedTuple):
    """A finished study: its run directory, and the problem with every plan in memory."""

    run: Run
    problem: DemandResponse


def respond(
    spec: DemandResponseSpec | Mapping[str, Any] | Path | str,
    *,
    directory: Path | str | None = None,
    force: bool = False,
    progress: Callable[[driver.Progress], None] | None = None,
    argv: Sequence[str] = (),
) -> Answer:
    """Plan a fleet's power under every policy and price of a study.

    Args:
        spec: A study, its plain data, or the path of a YAML file; paths in plain data start at the working directory.
        directory: The run directory to make; None for ``runs/<time>-demand-response``.
        force: Replace the run in ``directory``.
        progress: Called after each batch of plans.
        argv: The command line, recorded in the run.

    Raises:
        DataError: a file, a field or a series is wrong.
        UsageError: ``directory`` exists.
        LimitCrossed: no plan stays below the capacity, or a goal is out of reach.
    """
    if directory is not None:
        refuse_taken(Path(directory), COMMAND, force)  # before the work
    if isinstance(spec, Path | str):
        spec = read_study(spec)
    plain: Mapping[str, Any] = msgspec.to_builtins(spec) if isinstance(spec, DemandResponseSpec) else spec
    problem = DemandResponse(**plain)
    run = driver.run_search(
        problem, engine="exhaustive", keep="all", directory=directory, force=force, progress=progress,
        command=COMMAND, argv=argv,
    )  # fmt: skip
    return Answer(run, problem)
