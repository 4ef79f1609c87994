"""Mapping searches as a command asks for them: of one Einsum, or of all layers of a model; both into a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from codesign.costmodels.accelerator.inputs import read_architecture, read_cascade
from codesign.errors import UsageError
from codesign.run import Run
from codesign.search import driver
from codesign.search.mapping.cascade import BUDGET as CASCADE_BUDGET
from codesign.search.mapping.cascade import FusedFront, map_cascade
from codesign.search.mapping.inner import BUDGET
from codesign.search.mapping.network import ModelMapping
from codesign.search.mapping.problem import MappingProblem

SMALL = 200_000
"""Mappings that ``auto`` prices all of, where a space has no more."""


def asked_search(
    spec: Mapping[str, Any], *, engine: str = "auto", evaluations: int | None = None, **effort: Any
) -> Run:
    """Search the mappings of one Einsum and return its run.

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
    return driver.run_search(problem, engine=engine, evaluations=evaluations, **effort)


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
    for option, value in refused.items():
        if value:
            raise UsageError(f"{option} does not go with a model", "it is of the search of one Einsum: --problem")
    if evaluations is not None and evaluations < 1:
        raise UsageError(f"--evaluations {evaluations}: must be above 0", "leave it out for the default")
    budget = {} if evaluations is None else {"mappings": evaluations}
    problem = ModelMapping(**{**spec, **budget, "seed": seed})
    return driver.run_search(problem, engine="merge", seed=seed, **effort), problem


def asked_cascade(
    problem: str, target: str, tables: Sequence[str], refused: Mapping[str, Any], objectives: Sequence[str],
    evaluations: int | None, seed: int, latency: str,
) -> FusedFront:  # fmt: skip
    """Search the mappings of a cascade.

    Args:
        problem: A line or file of a cascade.
        target: An accelerator.
        tables: ERT and ART files of a Timeloop target.
        refused: Options that only the search of one Einsum takes, with what was given for them.
        objectives: What to minimise.
        evaluations: Mappings to price for an Einsum inside given shared loops; 600 where None.
        seed: All randomness derives from it.
        latency: How cycles are counted.

    Raises:
        UsageError: unknown names, or an option of the other kind of search.
        LimitCrossed: no mapping fits.
    """
    for option, value in refused.items():
        if value:
            raise UsageError(f"{option} does not go with a cascade", "it is of the search of one Einsum")
    if evaluations is not None and evaluations < 1:
        raise UsageError(f"--evaluations {evaluations}: must be above 0", "leave it out for the default")
    if not target:
        raise UsageError("no target given", "for example --target fusemax")
    architecture = read_architecture(target, tables).architecture
    return map_cascade(read_cascade(problem), architecture, objectives, evaluations or CASCADE_BUDGET, seed, latency)


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
