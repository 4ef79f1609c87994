"""A program search whose mutants have accidents on purpose, for tests: constants decide which.

It lives in the package so that worker processes can import it.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from codesign.search.mlir.backends.protocol import Backend, Executable
from codesign.search.mlir.graph import Argument, Graph, Operation, Output, TensorType, pack
from codesign.search.mlir.prepare import Prepared
from codesign.search.mlir.problem import ProgramSearch
from codesign.search.mlir.programs import AtenProgram
from codesign.search.mlir.tasks.quality import Judge
from codesign.search.mlir.tasks.samples import Samples, split
from codesign.search.mlir.tasks.task import Task

ABORT, HANG, MEMORY = 13.0, 14.0, 15.0
"""Values of a constant that bring an accident about."""
GREEDY = 10 * 2**30
BATCH = 16


class Accidents(ProgramSearch):
    """A search of which some mutants abort, hang or take 10 GB."""

    def __init__(self, **given: Any) -> None:
        """Set up as any program search."""
        super().__init__(**given)
        if self._worker is not None:
            evaluator = self._worker.evaluator
            evaluator.backend = Accident(evaluator.backend)


class Accident:
    """A back end that does what the constants of a program ask for before it compiles it."""

    def __init__(self, backend: Backend) -> None:
        self.name, self.dialect, self.version = backend.name, backend.dialect, backend.version
        self.device, self._backend = backend.device, backend

    def compile(self, realised: Any) -> Executable:
        """Compile, unless an accident happens first."""
        constants = {operation.constant for operation in realised.graph.operations}
        if ABORT in constants:
            os.abort()
        if HANG in constants:
            time.sleep(3600)
        if MEMORY in constants:
            np.ones(GREEDY, np.uint8)  # written, not only mapped
        return self._backend.compile(realised)


def tiny(rows: int = 60, seed: int = 0) -> Prepared:
    """Return y = 2 (1.5 x) W with W the identity, and two classes that it tells apart without an error."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    x = generator.normal(size=(rows, 2)).astype(np.float32)
    samples = Samples(x, x.argmax(axis=1).astype(np.int64))
    data, square = TensorType("f32", (BATCH, 2)), TensorType("f32", (2, 2))
    scaled = '[[{"operand":0},{"constant":"float"}],{}]'
    graph = Graph(
        "aten",
        (Argument("weight", square, "weight"), Argument("x", data, "data")),
        (
            Operation(0, "aten.mul.Tensor", (-2,), (data,), (data,), scaled, 1.5),
            Operation(
                1, "aten.mm.default", (pack(0, 0), -1), (data, square), (data,), '[[{"operand":0},{"operand":1}],{}]'
            ),
            Operation(2, "aten.mul.Tensor", (pack(1, 0),), (data,), (data,), scaled, 2.0),
        ),
        (Output(pack(2, 0), data),),
    )
    program = AtenProgram(graph, {"weight": np.eye(2, dtype=np.float32)}, "tiny")
    return Prepared(program, Task("inference", Judge.of(samples), split(samples, 0), BATCH))
