"""A program that a search edits: its graph, its weights, and how a mutant of it becomes something to run."""

from __future__ import annotations

import hashlib
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError
from codesign.search.mlir.canonical import canonicalise
from codesign.search.mlir.dialects import TORCH_NAMES
from codesign.search.mlir.edits import Edit, apply
from codesign.search.mlir.graph import Graph, Refused
from codesign.search.mlir.programs.traced import Step, Traced, trace_module, trace_step

if TYPE_CHECKING:
    import torch

Weights = dict[str, NDArray[Any]]
GRAPH, WEIGHTS, TEXT = "graph.json", "weights.npz", "program.mlir"


@dataclass(frozen=True, slots=True)
class StableHloText:
    """A verified StableHLO module; its entry is ``main``."""

    graph: Graph
    text: str


@dataclass(frozen=True, slots=True)
class AtenModule:
    """A module of ATen operators; takes and returns tensors in the order of the graph."""

    graph: Graph
    module: torch.fx.GraphModule


Realised = StableHloText | AtenModule


class Program(ABC):
    """What a search edits; arguments of every mutant stand in the order of ``graph.arguments``.

    Attributes:
        graph: The original, after what a compiler does for free.
        weights: By argument name; they are arguments.
        source: What to call it in messages.
    """

    def __init__(self, graph: Graph, weights: Weights, source: str = "program") -> None:
        """Set up; use one of the other constructors, or ``load``.

        Raises:
            DataError: a weight is missing, unknown, or does not fit its argument.
        """
        self.graph, self.source = graph, source
        self.weights = check_weights(graph, weights, source)

    @classmethod
    def from_module(cls, module: torch.nn.Module, example: Sequence[torch.Tensor], source: str = "module") -> Self:
        """Return the forward pass of a module in evaluation mode; ``example`` gives the shapes of its inputs.

        Raises:
            EnvironmentLacks: what writes the dialect is not installed.
            UsageError: control flow or shapes depend on data, or an operator that the dialect does not hold.
        """
        return cls._of(trace_module(module, example, source, cls._decompositions()))

    @classmethod
    def from_training_step(
        cls,
        step: Step,
        weights: Mapping[str, torch.Tensor],
        example: Sequence[torch.Tensor],
        source: str = "training step",
    ) -> Self:
        """Return a training step ``step(weights, *data) -> new weights``, weights by name in and out.

        Raises:
            EnvironmentLacks: what writes the dialect is not installed.
            UsageError: control flow or shapes depend on data, or an operator that the dialect does not hold.
        """
        return cls._of(trace_step(step, weights, example, source, cls._decompositions()))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Return a saved program.

        Raises:
            DataError: a file is missing, damaged, was changed, or names an operator that a program may not hold.
        """
        return cls(*load(directory), str(directory))

    def save(self, directory: Path) -> None:
        """Write the program into a directory; operators are named, nothing is pickled."""
        save(self.graph, self.weights, directory)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of graph and weights."""
        return fingerprint(self.graph, self.weights)

    @abstractmethod
    def realise(self, edits: Iterable[Edit] = ()) -> Realised:
        """Return the verified program that a set of edits makes.

        Raises:
            Refused: an edit cannot be applied, or the result is none.
        """

    @staticmethod
    @abstractmethod
    def _decompositions() -> Mapping[Any, Any]:
        """Return torch's table of operators to break up."""

    @classmethod
    @abstractmethod
    def _graph(cls, traced: Traced) -> Graph:
        """Return the graph of a traced program."""

    @classmethod
    def _of(cls, traced: Traced) -> Self:
        return cls.with_weights(cls._graph(traced), traced.weights, traced.source)

    @classmethod
    def with_weights(cls, graph: Graph, weights: Weights, source: str) -> Self:
        """Return the program of a graph after what a compiler does for free, with the weights that this leaves."""
        graph = canonicalise(graph)
        kept = {one.name for one in graph.arguments}
        return cls(graph, {name: held for name, held in weights.items() if name in kept}, source)


def fingerprint(graph: Graph, weights: Weights) -> str:
    """Return a digest of a graph and its weights."""
    digest = hashlib.sha256(graph.fingerprint.encode())
    for name in sorted(weights):
        digest.update(f"{name} {weights[name].dtype} {weights[name].shape}".encode())
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()[:16]


def check_weights(graph: Graph, weights: Mapping[str, NDArray[Any]], source: str) -> Weights:
    """Return the weights that a graph takes.

    Raises:
        DataError: one is missing, unknown, or of another shape or type than its argument.
    """
    taken = {one.name: one.type for one in graph.arguments if one.role == "weight"}
    for name in weights:
        if name not in taken:
            known = ", ".join(one.name for one in graph.arguments)
            raise DataError(f"{source}: the program has no argument {name!r}", f"its arguments: {known[:200]}")
    for name, kind in taken.items():
        if name not in weights:
            raise DataError(f"{source}: weight {name!r} is missing", f"expected {kind}")
        found = weights[name]
        if found.shape != kind.shape or found.dtype.name != TORCH_NAMES.get(kind.element):
            have = f"{found.dtype.name}{list(found.shape)}"
            wanted = f"{TORCH_NAMES.get(kind.element, kind.element)}{list(kind.shape)}"
            raise DataError(f"{source}: weight {name!r} is {have}", f"the program takes {wanted}")
    return {name: weights[name] for name in taken}


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    """The content of ``graph.json``."""

    schema_version: int
    fingerprint: str
    graph: Graph


def save(graph: Graph, weights: Weights, directory: Path) -> None:
    """Write ``graph.json`` and ``weights.npz``."""
    directory.mkdir(parents=True, exist_ok=True)
    stored = _Stored(1, fingerprint(graph, weights), graph)
    (directory / GRAPH).write_bytes(msgspec.json.format(msgspec.json.encode(stored), indent=1))
    write_arrays(directory / WEIGHTS, weights)


def load(directory: Path) -> tuple[Graph, Weights]:
    """Return what ``save`` wrote.

    Raises:
        DataError: a file is missing, damaged, or was changed.
    """
    path = directory / GRAPH
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
    except FileNotFoundError:
        raise DataError(f"{path} is missing", "name the directory of a saved program") from None
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: {error}", "save the program again") from None
    _check(stored.graph, str(path))
    weights = check_weights(stored.graph, read_arrays(directory / WEIGHTS), str(directory / WEIGHTS))
    if fingerprint(stored.graph, weights) != stored.fingerprint:
        raise DataError(f"{directory}: the program differs from the one that was saved", "save the program again")
    return stored.graph, weights


def _check(graph: Graph, source: str) -> None:
    """Refuse a graph that reads values which are not there, or of other types than it says."""
    uids = [one.uid for one in graph.operations]
    try:
        whole = len(set(uids)) == len(uids) and apply(graph, ()).operations == graph.operations
    except (Refused, ValueError) as error:
        raise DataError(f"{source}: not a program: {error}", "save the program again") from None
    if not whole:
        raise DataError(f"{source}: not a program: operations of equal uids, or that nobody reads", "save it again")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an ``.npz`` file."""
    held: dict[str, Any] = dict(arrays)
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **held)


def read_arrays(path: Path) -> Weights:
    """Return the arrays of an ``.npz`` file.

    Raises:
        DataError: it is missing, no such file, or holds objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"{path} is missing", "expected arrays written by numpy.savez") from None
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError) as error:
        raise DataError(f"{path}: not a file of arrays: {error}", "expected arrays written by numpy.savez") from None
