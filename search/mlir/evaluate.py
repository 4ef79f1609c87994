"""Judging one mutant, from cheap to dear: does it verify and compile, what does it answer to a few inputs, to all.

Everything here runs in a worker process. A mutant sees inputs only: what is right is compared here, in Python, after
it has answered. A training step is judged by the weights that it returns, through the forward pass of the original.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.search.mlir.backends.protocol import Backend, Costs, Executable, output_digest
from codesign.search.mlir.graph import Graph, Refused
from codesign.search.mlir.store import Store
from codesign.search.mlir.tasks.quality import Error, check_outputs, check_useful
from codesign.search.mlir.tasks.task import Task

TINY_STEPS = 4
"""Steps of a training that a mutant must survive before it trains in full."""
ALIKE = 1e-3
"""Answers that differ by less than this share of the largest are the same: sums in another order differ by less."""

Device = list[Any]


class Verdict(msgspec.Struct, frozen=True):
    """What is known of a mutant before it is timed.

    ``refused`` says why it is none; ``worse`` that it answers, but no better than without looking. ``code`` is equal
    for mutants that run the same machine code; ``known`` says that its quality was that of an earlier mutant.
    """

    refused: str = ""
    worse: str = ""
    error: Error | None = None
    costs: Costs = Costs()
    code: str = ""
    known: bool = False


class Runner:
    """Runs compiled versions of one program: its weights are loaded once and serve every version."""

    def __init__(self, graph: Graph, weights: dict[str, NDArray[Any]], original: Executable) -> None:
        self.original = original
        self._names = [argument.name for argument in graph.arguments]
        self._data = [place for place, argument in enumerate(graph.arguments) if argument.role == "data"]
        held = [name for name, argument in zip(self._names, graph.arguments, strict=True) if argument.role == "weight"]
        self.weights = dict(zip(held, original.load([weights[name] for name in held]), strict=True))

    def arguments(self, data: Device, weights: dict[str, Any] | None = None) -> Device:
        """Return all arguments in order: loaded ``data``, and the program's weights where none are given."""
        values = {**self.weights, **(weights or {})}
        fed = dict(zip(self._data, data, strict=True))
        return [fed[place] if place in fed else values[name] for place, name in enumerate(self._names)]


class Evaluator:
    """Judges mutants of one program on one task by one back end."""

    def __init__(self, program: Any, backend: Backend, task: Task, store: Store, forward: Any = None) -> None:
        """Compile the original.

        Args:
            program: The original program.
            backend: What compiles and runs.
            task: What it is for.
            store: What is known already.
            forward: Of a training step: the program that answers with the weights.

        Raises:
            DataError: its outputs cannot be answers to the samples, or are no better than none.
        """
        self.program, self.backend, self.task, self.store = program, backend, task, store
        self.original = backend.compile(program.realise(()))
        self.runner = Runner(program.graph, program.weights, self.original)
        self.forward: Runner | None = None
        if forward is not None:
            self.forward = Runner(forward.graph, forward.weights, backend.compile(forward.realise(())))
        self._chunks: dict[str, list[tuple[Device, int]]] = {}
        self._steps: list[Device] = []
        self._tiny_trivial = task.judge.trivial(task.samples("search").y[: task.batch]).value
        self._trivial = task.judge.trivial(task.samples("search").y).value
        self._mixes = False
        answers = self.answers(self.original, "search")
        samples = task.samples("search")
        check_outputs(answers, samples, "the program")
        check_useful(task.judge, answers, samples, "the program")
        self.costs = self.original.costs
        self._mixes = bool(self._looks(self.original, self._tiny(self.original)))  # then mutants may do so too

    # --- answers --------------------------------------------------------------------------------------------------

    def answers(self, executable: Executable, part: str) -> NDArray[Any]:
        """Return the answers of a compiled version to the inputs of ``search``, ``selection`` or ``report``.

        Raises:
            Refused: it fails while it runs.
        """
        if self.forward is None:
            return self._answers(executable, self.runner, part, None)
        weights = self.trained(executable, self.task.steps)
        return self._answers(self.forward.original, self.forward, part, weights)

    def call(self, executable: Executable) -> Callable[[], Any]:
        """Return a function that runs a compiled version once, on the first inputs that the search sees."""
        if self.forward is None:
            data = self._loaded("search")[0][0]
        else:
            self.trained(self.original, 1)
            data = self._steps[0]
        arguments = self.runner.arguments(data)
        return lambda: executable.call(arguments)

    def trained(self, executable: Executable, steps: int, shift: int = 0) -> dict[str, Any]:
        """Return the weights after so many steps; ``shift`` moves every right answer to another row."""
        if not self._steps:
            self._steps = [self.original.load(self.task.step_data(number)) for number in range(self.task.steps)]
        weights: dict[str, Any] = dict(self.runner.weights)
        names = [output.name for output in self.program.graph.outputs]
        for number in range(steps):
            data = self._steps[number]
            if shift:
                x, y = self.task.step_data(number)
                data = self.original.load([x, np.roll(y, shift, axis=0)])
            returned = executable.call(self.runner.arguments(data, weights))
            weights |= dict(zip(names, returned, strict=True))
        return {name: weights[name] for name in names}

    def _answers(
        self, executable: Executable, runner: Runner, part: str, weights: dict[str, Any] | None
    ) -> NDArray[Any]:
        found = []
        for data, rows in self._loaded(part):
            outputs = executable.fetch(executable.call(runner.arguments(data, weights))[:1])
            found.append(outputs[0][:rows])
        return np.concatenate(found)

    def _loaded(self, part: str) -> list[tuple[Device, int]]:
        """Return the inputs of a part in batches on the device, each with how many of its rows count."""
        if part not in self._chunks:
            x, size = self.task.samples(part).x, self.task.batch
            self._chunks[part] = []
            for start in range(0, len(x), size):
                chunk = x[start : start + size]
                self._chunks[part].append((self.original.load([filled(chunk, size)]), len(chunk)))
        return self._chunks[part]

    # --- the cascade ----------------------------------------------------------------------------------------------

    def compiled(self, edits: Sequence[Any]) -> tuple[Executable, str]:
        """Return a mutant compiled, and the digest of its text.

        Raises:
            Refused: an edit's target is gone, it does not verify, or the compiler does not take it.
        """
        realised = self.program.realise(edits)
        return self.backend.compile(realised), text_digest(realised)

    def judge(self, edits: Sequence[Any]) -> tuple[Verdict, Executable | None]:
        """Return what a mutant is worth, and the mutant compiled where it had to be."""
        try:
            realised = self.program.realise(edits)
            text = text_digest(realised)
            fact = self.store.get("program", text)
            if fact is not None:
                found = msgspec.convert(fact, Verdict)
                return msgspec.structs.replace(found, known=True), None
            executable = self.backend.compile(realised)
            verdict = self._judged(executable, text)
        except Refused as error:
            return Verdict(refused=error.message), None
        self.store.put("program", text, msgspec.to_builtins(verdict))
        return verdict, executable

    def _judged(self, executable: Executable, text: str) -> Verdict:
        tiny = self._tiny(executable)
        code = executable.digest or text
        if not all(np.isfinite(array).all() for array in tiny if array.dtype.kind == "f"):
            return Verdict(refused="NaN or infinity in its outputs")
        outputs = output_digest(tiny)
        fact = self.store.get("outputs", outputs)
        if fact is not None:  # the same answers to the same inputs, bit for bit
            found = msgspec.convert(fact, Verdict)
            return msgspec.structs.replace(found, costs=executable.costs, code=code, known=True)
        verdict = self._quality(executable, tiny)
        self.store.put("outputs", outputs, msgspec.to_builtins(verdict))
        return msgspec.structs.replace(verdict, costs=executable.costs, code=code)

    def _quality(self, executable: Executable, tiny: list[NDArray[Any]]) -> Verdict:
        if not self._mixes:
            flaw = self._looks(executable, tiny)
            if flaw:
                return Verdict(refused=flaw)
        samples = self.task.samples("search")
        if self.forward is None:
            rough = self.task.judge.error(tiny[0], samples.y[: len(tiny[0])])
            if not rough.value < self._tiny_trivial:
                return Verdict(worse="no better than answering without the input (on a few inputs)", error=rough)
        error = self.task.judge.error(self.answers(executable, "search"), samples.y)
        if not np.isfinite(error.value):
            return Verdict(refused="NaN or infinity in its outputs")
        if not error.value < self._trivial:
            return Verdict(worse="no better than answering without the input", error=error)
        return Verdict(error=error)

    def _tiny(self, executable: Executable) -> list[NDArray[Any]]:
        """Return the answers to a few inputs, or the weights after a few steps."""
        if self.forward is not None:
            weights = self.trained(executable, min(TINY_STEPS, self.task.steps))
            return executable.fetch(list(weights.values()))
        data, rows = self._loaded("search")[0]
        return [array[:rows] for array in executable.fetch(executable.call(self.runner.arguments(data)))]

    def _looks(self, executable: Executable, tiny: list[NDArray[Any]]) -> str:
        """Return what is wrong with how a mutant uses its input; empty where nothing is."""
        if self.forward is not None:
            before = executable.fetch([self.runner.weights[output.name] for output in self.program.graph.outputs])
            if all(np.array_equal(a, b) for a, b in zip(tiny, before, strict=True)):
                return "it returns the weights that it was given"
            shifted = self.trained(executable, min(TINY_STEPS, self.task.steps), shift=1)
            if all(np.array_equal(a, b) for a, b in zip(tiny, executable.fetch(list(shifted.values())), strict=True)):
                return "the weights do not depend on what is right"
            return ""
        answers = tiny[0]
        if (answers == answers[:1]).all():
            return "the output is constant"
        moved = np.roll(self.task.samples("search").x[: len(answers)], 1, axis=0)
        data = self.original.load([filled(moved, self.task.batch)])
        again = executable.fetch(executable.call(self.runner.arguments(data))[:1])[0][: len(answers)]
        if np.array_equal(again, answers):
            return "the output does not depend on the input"
        tolerance = ALIKE * float(np.abs(answers).max())
        if not np.allclose(again, np.roll(answers, 1, axis=0), rtol=ALIKE, atol=tolerance):
            return "the answer to a row depends on its place or on the other rows"
        return ""


def filled(rows: NDArray[Any], size: int) -> NDArray[Any]:
    """Return rows as a whole batch: the first ones repeat where they are too few."""
    return rows if len(rows) == size else rows[np.arange(size) % len(rows)]


def text_digest(realised: Any) -> str:
    """Return a digest of a program before it is compiled: equal text, equal program."""
    text = realised.text if hasattr(realised, "text") else str(realised.module.graph)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
