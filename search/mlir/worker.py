"""A worker process of a program search: one processor, bounded memory, and mutants judged and timed on request."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from codesign.search.mlir.backends.protocol import Executable
from codesign.search.mlir.backends.registry import make_backend
from codesign.search.mlir.evaluate import Evaluator, Verdict
from codesign.search.mlir.isolation import claim_processor, limit_memory, lock_directory
from codesign.search.mlir.prepare import Prepared
from codesign.search.mlir.settings import GIB, ProgramSpec
from codesign.search.mlir.store import Store
from codesign.search.mlir.timing import COVERAGE, runtime, side_by_side

HELD = 128
"""Compiled mutants that wait for their timing."""
LEAST_ROUNDS = 5
"""Pairs of turns that time a mutant, however short the time given."""
REFERENCE = 10.0
"""Times the budget of a mutant that the original gets."""


class Timed(msgspec.Struct, frozen=True):
    """Seconds of a run: the original's over ``ratio``, the speed-up of the shortest turns; its interval is of pairs."""

    runtime: float
    ratio: float
    low: float
    high: float
    turns: int
    others: float


class Worker:
    """Judges and times mutants of one program."""

    def __init__(self, asked: ProgramSpec, prepared: Prepared, store: Store) -> None:
        self.asked, self.prepared, self.store = asked, prepared, store
        backend = make_backend(asked.backend, asked.device)
        self.evaluator = Evaluator(prepared.program, backend, prepared.task, store, prepared.forward)
        self._held: OrderedDict[bytes, tuple[Verdict, Executable | None]] = OrderedDict()

    def verdict(self, key: bytes, edits: Sequence[Any]) -> Verdict:
        """Return what the mutant ``key`` is worth; it is kept compiled for its timing."""
        if key not in self._held:
            self._held[key] = self.evaluator.judge(edits)
            if len(self._held) > HELD:
                self._held.popitem(last=False)
        return self._held[key][0]

    def timed(self, key: bytes, edits: Sequence[Any], verdict: Verdict) -> Timed:
        """Return how long the mutant runs; one that became the same code as another takes as long."""
        _, executable = self._held.pop(key, (verdict, None))
        fact = self.store.get("code", verdict.code)
        if fact is not None:
            return msgspec.convert(fact, Timed)
        found = self._measured(executable or self.evaluator.compiled(edits)[0])
        self.store.put("code", verdict.code, msgspec.to_builtins(found))
        return found

    def _measured(self, executable: Executable) -> Timed:
        evaluator = self.evaluator
        original, mutant = evaluator.call(evaluator.original), evaluator.call(executable)
        fact = self.store.get("reference", "original")
        if fact is None:
            fact = {"seconds": runtime(original, budget=REFERENCE * self.asked.timing).least}
            self.store.put("reference", "original", fact)
        pair = side_by_side(original, mutant, rounds=LEAST_ROUNDS, budget=self.asked.timing, coverage=COVERAGE)
        seconds = float(fact["seconds"]) / pair.least
        low, high = min(pair.low, pair.least), max(pair.high, pair.least)
        return Timed(seconds, pair.least, low, high, pair.first.turns, pair.first.others)


def claimed(ready: Path) -> None:
    """Keep this process on one processor: a free one, or one that it shares where other searches have them all."""
    if claim_processor(lock_directory(ready)) is None:
        claim_processor(ready)


def start(asked: ProgramSpec, ready: Path) -> Worker:
    """Make this process a worker on what lies in ``ready``: claim a processor, load, compile the original."""
    claimed(ready)
    if asked.backend == "torch":
        import torch

        torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    store = ready / "store"
    store.mkdir(exist_ok=True)
    worker = Worker(asked, Prepared.load(ready), Store(store))
    if asked.device == "cpu":  # CUDA maps far more than it uses
        limit_memory(int(asked.memory_gib * GIB))
    return worker
