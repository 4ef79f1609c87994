"""Mapping searches as a command asks for them: one Einsum into a run, or the layers of a model into a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from codesign.costmodels.accelerator.inputs import read_architecture
from codesign.errors import UsageError
from codesign.run import Run
from codesign.search import driver
from codesign.search.mapping.inner import BUDGET
from codesign.search.mapping.layers import LAYER_BUDGET, MappedModel, map_model
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


def asked_layers(
    model: str, shared: Mapping[str, Any], refused: Mapping[str, Any], evaluations: int | None, seed: int, bits: str,
    sizes: Mapping[str, int | None],
) -> MappedModel:  # fmt: skip
    """Map all layers of a model.

    Args:
        model: The model.
        shared: Target, limits and kinds of mappings.
        refused: Options that only the search of one Einsum takes, with what was given for them.
        evaluations: Mappings to price for each shape; 6,000 where None.
        seed: All randomness derives from it.
        bits: Bits of inputs, weights and outputs: ``8/8/16``, or one number for all.
        sizes: Sizes of the run; None for the model's own.

    Raises:
        UsageError: unknown names or sizes, or an option of the other kind of search.
    """
    for option, value in refused.items():
        if value:
            hint = "search one layer with --problem for a run directory; --json prints every mapping of a model"
            raise UsageError(f"{option} does not go with a model", hint)
    if evaluations is not None and evaluations < 1:
        raise UsageError(f"--evaluations {evaluations}: must be above 0", "leave it out for the default")
    given = dict(shared)
    if not given["target"]:
        raise UsageError("no target given", "for example --target eyeriss-like")
    imported = read_architecture(given.pop("target"), given.pop("tables"))
    if imported.keeps or imported.limits:
        message = f"{imported.architecture.id}: its constraints name tensors and ranks of a problem of its own"
        raise UsageError(message, "search that problem with --problem, or take the constraints out of the file")
    if given.pop("unit"):
        raise UsageError("--unit does not go with a model", "layers run on the first compute unit")
    named = {name: value for name, value in sizes.items() if value is not None}
    return map_model(
        model,
        imported.architecture,
        budget=evaluations or LAYER_BUDGET,
        seed=seed,
        bits=read_bits(bits),
        sizes=named,
        **given,
    )


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
