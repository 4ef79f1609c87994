"""What searches of programs have measured, as a table for the learned cost model.

Every evaluation is a sample for nothing: the operations of the mutant with their shapes, its runtime, and the
compiler's account of its FLOPs, bytes and memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.programs import Column, ProgramTable, Token
from codesign.errors import UsageError, nearest
from codesign.quantity import Array
from codesign.run import Run
from codesign.search.derive import derive_missing
from codesign.search.mlir.edits import apply
from codesign.search.mlir.problem import ProgramSearch
from codesign.search.mlir.screen import tokens_of
from codesign.search.mlir.space import edits_from_json

LEARNT = ("runtime", "flops", "bytes", "temporary_memory")
"""What is learned where nothing is named."""
OFFERED = {"runtime": "s", "flops": "FLOP", "bytes": "B", "temporary_memory": "B", "operations": ""}


def table_of_runs(runs: Sequence[Run], names: Sequence[str] = ()) -> ProgramTable:
    """Return what the kept trials of ``runs`` have to teach.

    Args:
        runs: Searches of programs.
        names: What to learn; where empty all of ``LEARNT`` that every run knows and that varies.

    Raises:
        UsageError: a run is no search of programs, kept no trials, or its program cannot be built again; an unknown
            name.
    """
    for name in names:
        if name not in OFFERED:
            raise UsageError(f"nothing called {name!r} is known of programs", nearest(name, OFFERED))
    programs: list[tuple[Token, ...]] = []
    origin: list[str] = []
    original: dict[str, int] = {}
    values: dict[str, list[Array]] = {name: [] for name in OFFERED}
    for run in runs:
        stored = run.meta.get("spec", {})
        if stored.get("problem") != ProgramSearch.name:
            raise UsageError(f"{run.path} is no search of programs", "name runs of codesign search mlir")
        problem = ProgramSearch.from_spec(stored["spec"])
        derive_missing(run)
        trials = run.trials()
        if trials.is_empty():
            raise UsageError(f"{run.path} kept no trials", "search again with --keep all")
        asked, graph = problem.asked, problem.prepared.program.graph
        label = f"{asked.model}, batch {asked.batch}, {asked.backend}"
        label += f" ({run.path.name})" if label in original else ""  # timed at another time: compared within itself
        sets = [edits_from_json(text) for text in trials["changes"].to_list()]
        if () not in sets:
            raise UsageError(f"{run.path} kept no evaluation of the original", "search again with --keep all")
        original[label] = len(programs) + sets.index(())
        programs += [tokens_of(apply(graph, edits)) for edits in sets]
        origin += [label] * len(sets)
        for name in OFFERED:
            known = trials[name].to_numpy() if name in trials.columns else np.full(len(trials), np.nan)
            found = np.asarray(known, np.float64)
            values[name].append(np.where(np.isfinite(found) & (found > 0.0), found, np.nan))
    whole = {name: np.concatenate(parts) for name, parts in values.items()}
    first = np.array(list(original.values()))
    wanted = tuple(names) or tuple(name for name in LEARNT if _teaches(whole[name], first))
    if not wanted:
        raise UsageError("nothing varies among these trials", "search more programs, and with --keep all")
    return ProgramTable(
        tuple(programs), tuple(origin), original, tuple(Column(name, OFFERED[name], whole[name]) for name in wanted)
    )


def _teaches(values: Array, original: NDArray[np.intp]) -> bool:
    known = values[np.isfinite(values)]
    return bool(np.isfinite(values[original]).all()) and bool(np.ptp(known) > 0.0)
