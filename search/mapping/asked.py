"""Mapping searches as a command asks for them: of one Einsum, a cascade, or all layers of a model; each into a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codesign.errors import UsageError
from codesign.run import Run, refuse_taken
from codesign.search import driver
from codesign.search.mapping.cascade_mapping import CascadeMapping
from codesign.search.mapping.inner import BUDGET
from codesign.search.mapping.network import ModelMapping
from codesign.search.mapping.problem import MappingProblem

SMALL = 200_000
"""Mappings that ``auto`` prices all of, where a space has no more."""


def asked_search(
    spec: Mapping[str, Any], *, engine: str = "auto", evaluations: int | None = None, **effort: Any
) -> tuple[Run, MappingProblem]:
    """Search the mappings of one Einsum; return the run, and its problem.

    Args:
        spec: The fields of ``MappingSpec``.
        engine: An engine, or ``auto``: exhaustive where the space is small, islands otherwise.
        evaluations: Mappings to price; the whole space, or 20,000, where None.
        **effort: As of ``run_search``.

    Raises:
        UsageError: unknown names, or limits that cannot be read.
        LimitCrossed: no mapping fits, or none is within the limits.
    """
    problem = MappingProblem(**spec)
    if engine == "auto":
        small = problem.space.size is not None and problem.space.size <= (evaluations or SMALL)
        engine = "exhaustive" if small else "islands"
    if evaluations is None and engine != "exhaustive" and effort.get("time_limit") is None:
        evaluations = BUDGET
    return driver.run_search(problem, engine=engine, evaluations=evaluations, **effort), problem


def asked_model(
    spec: Mapping[str, Any], refused: Mapping[str, Any], *, evaluations: int | None, seed: int, **effort: Any
) -> tuple[Run, ModelMapping]:
    """Search the mappings of all layers of a model; return the run of the whole network, and its problem.

    Args:
        spec: The fields of ``ModelMappingSpec``.
        refused: Options that only the search of one Einsum takes, with what was given for them.
        evaluations: Mappings to price for each shape; 8,000 where None.
        seed: All randomness derives from it.
        **effort: As of ``run_search``.

    Raises:
        UsageError: unknown names or sizes, or an option of the other kind of search.
        LimitCrossed: a layer that no mapping fits, or none within the limits.
    """
    _refuse(refused, "a model", "it is of the search of one Einsum: --problem")
    _place(effort)
    problem = ModelMapping(**{**spec, **_budget(evaluations), "seed": seed})
    return driver.run_search(problem, engine="merge", seed=seed, **effort), problem


def asked_cascade(
    spec: Mapping[str, Any], refused: Mapping[str, Any], *, evaluations: int | None, seed: int, **effort: Any
) -> tuple[Run, CascadeMapping]:
    """Search the mappings of a cascade; return the run, and its problem.

    Args:
        spec: The fields of ``CascadeMappingSpec``.
        refused: Options that only other searches take, with what was given for them.
        evaluations: Mappings to price for an Einsum inside given shared loops; 4,000 where None.
        seed: All randomness derives from it.
        **effort: As of ``run_search``.

    Raises:
        UsageError: unknown names, or an option of the other kinds of search.
        LimitCrossed: no mapping fits.
    """
    _refuse(refused, "a cascade", "it is of the search of one Einsum")
    _place(effort)
    problem = CascadeMapping(**{**spec, **_budget(evaluations), "seed": seed})
    return driver.run_search(problem, engine="merge", seed=seed, **effort), problem


def _refuse(refused: Mapping[str, Any], kind: str, hint: str) -> None:
    for option, value in refused.items():
        if value:
            raise UsageError(f"{option} does not go with {kind}", hint)


def _place(effort: Mapping[str, Any]) -> None:
    """Refuse a run directory that is taken: before the search of the problem's parts, not after."""
    if effort.get("directory") is not None and not effort.get("resume"):
        refuse_taken(Path(effort["directory"]), "search", bool(effort.get("force")))


def _budget(evaluations: int | None) -> dict[str, int]:
    if evaluations is not None and evaluations < 1:
        raise UsageError(f"--evaluations {evaluations}: must be above 0", "leave it out for the default")
    return {} if evaluations is None else {"mappings": evaluations}


def read_bits(text: str) -> tuple[int, int, int]:
    """Return the bits of inputs, weights and outputs.

    Raises:
        UsageError: not one or three numbers from 1 to 64.
    """
    parts = text.split("/")
    if len(parts) not in (1, 3) or not all(re.fullmatch("[0-9]{1,2}", part) and 1 <= int(part) <= 64 for part in parts):
        raise UsageError(f"--bits {text[:40]!r}", "one number, or inputs/weights/outputs as 8/8/16; 1 to 64 each")
    first, *rest = map(int, parts)
    return (first, rest[0], rest[1]) if rest else (first, first, first)
