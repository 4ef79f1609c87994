"""A mutant as files that run: the edited program, its weights, and a module with one function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError
from codesign.run import write_file
from codesign.search.mlir.backends.registry import make_backend
from codesign.search.mlir.edits import Edit
from codesign.search.mlir.evaluate import Runner
from codesign.search.mlir.programs import AtenProgram, Program, StableHloProgram, load_program

MODULE = '''"""A program that a search made of {source}; it takes inputs of shape {shape}.

Run it: python program.py INPUT.npy, or import it and call run(x).
"""

import sys
from pathlib import Path

import numpy as np

from codesign.search.mlir.export import load_exported

run = load_exported(Path(__file__).parent)

if __name__ == "__main__":
    for output in run(*(np.load(name, allow_pickle=False) for name in sys.argv[1:])):
        print(output)
'''


class Exported(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``export.json`` holds: the edits, and what ran the program."""

    schema_version: int
    backend: str
    device: str
    edits: tuple[Edit, ...]


def export(program: Program, edits: Sequence[Edit], directory: Path, *, backend: str, device: str, source: str) -> None:
    """Write the mutant into ``directory``.

    Files: ``original/`` (graph and weights), ``export.json`` (the edits), ``program.py`` (runs it), ``weights.npz``,
    and the mutant for other tools: ``program.mlir``, or ``program.txt`` where it is an ATen graph.
    """
    directory.mkdir(parents=True, exist_ok=True)
    program.save(directory / "original")
    write_file(directory / "export.json", msgspec.json.encode(Exported(1, backend, device, tuple(edits))))
    data = [argument.type for argument in program.graph.arguments if argument.role == "data"]
    shape = " and ".join(str(list(kind.shape)) for kind in data)
    write_file(directory / "program.py", MODULE.format(source=source.replace('"', "'"), shape=shape))
    weights: dict[str, Any] = dict(program.weights)
    with (directory / "weights.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **weights)
    if isinstance(program, StableHloProgram):
        write_file(directory / "program.mlir", program.text(edits))
    elif isinstance(program, AtenProgram):
        write_file(directory / "program.txt", str(program.realise(edits).module.code))


def load_exported(directory: Path) -> Callable[..., list[NDArray[Any]]]:
    """Return a function that runs an exported mutant: data arrays in, outputs out.

    Raises:
        DataError: a file is missing or damaged.
        EnvironmentLacks: the back end it was made for is not here.
    """
    path = directory / "export.json"
    try:
        held = msgspec.json.decode(path.read_bytes(), type=Exported)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{path}: {error}", "name a directory that a search exported") from None
    program = load_program(directory / "original")
    executable = make_backend(held.backend, held.device).compile(program.realise(held.edits))
    runner = Runner(program.graph, program.weights, executable)
    kinds = [argument.type for argument in program.graph.arguments if argument.role == "data"]

    def run(*data: NDArray[Any]) -> list[NDArray[Any]]:
        shapes = [list(array.shape) for array in data]
        wanted = [list(kind.shape) for kind in kinds]
        if shapes != wanted:
            raise DataError(f"inputs of shapes {shapes}", f"expected {wanted}")
        return executable.fetch(executable.call(runner.arguments(executable.load(data))))

    return run
