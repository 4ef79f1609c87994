"""A learned cost model as a guess that chooses among several edits before any is compiled.

The model says what an edit does to the runtime, nothing about quality: screening saves evaluations of mutants that are
slow, a share of the edits passes unscreened, and quality is judged as ever.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from codesign.costmodels.programs import ProgramModel, Token, load_program_model
from codesign.quantity import Array
from codesign.search.mlir.edits import apply
from codesign.search.mlir.graph import Graph, Refused
from codesign.search.mlir.space import EditSpace
from codesign.search.problem import Points
from codesign.search.screened import Guess, ScreenedChanges


def tokens_of(graph: Graph) -> tuple[Token, ...]:
    """Return the operations of a program as the cost model reads them."""
    types = graph.types()
    found = []
    for operation in graph.operations:
        first = operation.results[0]
        reads = [types[value].shape for value in operation.operands if value in types]
        found.append(Token(operation.name, first.element, first.shape, tuple(reads)))
    return tuple(found)


def guess_of(model: ProgramModel, space: EditSpace) -> Guess:
    """Return a guess for screening: the runtime of each mutant over the original's, infinite where edits do not apply.

    Args:
        model: Learned from searches; where it knows no runtime, its first target counts.
        space: Of the edits that are screened.
    """
    names = [target.name for target in model.card.targets]
    name = "runtime" if "runtime" in names else names[0]

    start = tokens_of(space.graph)

    def guess(points: Points) -> Array:
        found = np.full(len(points), np.inf)
        programs, places = [], []
        for place, point in enumerate(points):
            try:
                programs.append(tokens_of(apply(space.graph, space.edits(point))))
            except Refused:
                continue
            places.append(place)
        if programs:
            found[places] = model.predict(programs, start, {name: 1.0})[name].value
        return found

    return guess


def screened(space: EditSpace, path: str) -> ScreenedChanges:
    """Return the space of edits with variations screened by the cost model in the file ``path``.

    Raises:
        DataError: there is no such model in the file.
    """
    return ScreenedChanges(space, guess_of(load_program_model(path), space))


def digest_of(path: str) -> str:
    """Return the digest of a cost model's file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
