"""The question of a program search, as a user puts it and as ``run.json`` stores it."""

from __future__ import annotations

import msgspec

from codesign.errors import UsageError
from codesign.search.mlir.backends.registry import check_backend
from codesign.search.objectives import chosen_names
from codesign.search.problem import Metric, Objective

OBJECTIVES = {
    "runtime": Objective("runtime", "s", "run"),
    "error": Objective("error", "", "answer"),
    "flops": Objective("flops", "FLOP", "run"),
    "bytes": Objective("bytes", "B", "run"),
    "operations": Objective("operations", "", "run"),
}
EXTRAS = (
    Metric("temporary_memory", "B", "run"),
    Metric("speedup", "", "original"),
    Metric("speedup_low", "", "original"),
    Metric("speedup_high", "", "original"),
    Metric("known", "", "judged before"),
    Metric("other_work", "", "processor"),
)
"""Shown beside objectives."""

TIMING_S = {"xla": 0.1, "torch": 0.005, "iree": 0.1}
"""Seconds of timing a mutant gets in the search; the front is timed again, for longer."""
GIB = 2**30


class ProgramSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which program, judged on what, run by what.

    ``model`` is ``digits-mlp``, ``digits-cnn``, ``digits-mlp-planted``, ``digits-mlp-train``, ``digits-cnn-train``,
    ``py:package.module:factory`` or ``mlir:FILE`` with ``weights`` (``.npz``). ``batch`` are the rows of a run,
    ``steps`` those of a training, ``most_edits`` the longest list of edits, ``screen`` the file of a learned cost model
    that chooses among several edits whenever one is made, ``memory_gib`` what one mutant may take beyond the original,
    ``timing_s`` the seconds of timing a mutant gets (None: the back end's own), ``lost`` the error that a faster
    program may lose, ``random`` whether to search by random edits as well.
    """

    model: str
    weights: str = ""
    data: str = "digits"
    report_data: str = ""
    objectives: tuple[str, ...] = ("runtime", "error")
    where: tuple[str, ...] = ()
    backend: str = "xla"
    device: str = "cpu"
    batch: int = 128
    steps: int = 100
    most_edits: int = 16
    screen: str = ""
    memory_gib: float = 2.0
    timing_s: float | None = None
    split_seed: int = 0
    lost: float = 0.02
    random: bool = True

    @property
    def timing(self) -> float:
        """Seconds of timing a mutant gets."""
        return TIMING_S[self.backend] if self.timing_s is None else self.timing_s


def checked(asked: ProgramSpec) -> ProgramSpec:
    """Return the spec.

    Raises:
        UsageError: an unknown name, or a number that makes no sense.
    """
    check_backend(asked.backend, asked.device)
    chosen_names(asked.objectives, OBJECTIVES, "runtime,error")
    if asked.backend == "iree" and set(asked.objectives) & {"flops", "bytes", "operations"}:
        raise UsageError("IREE reports no FLOPs, bytes or operations", "search runtime,error, or use --backend xla")
    limits = {"batch": asked.batch, "steps": asked.steps, "most_edits": asked.most_edits}
    for name, value in limits.items():
        if not 1 <= value <= 1_000_000:
            raise UsageError(f"{name} is {value}", "expected a whole number from 1")
    if not 0.01 <= asked.memory_gib <= 1e6:
        raise UsageError(f"memory_gib is {asked.memory_gib:g}", "expected GiB above 0.01")
    if asked.timing_s is not None and not 0.0 < asked.timing_s <= 60.0:
        raise UsageError(f"timing_s is {asked.timing_s:g}", "expected seconds up to 60")
    if not 0.0 <= asked.lost <= 1e9:
        raise UsageError(f"an error of {asked.lost:g} that may be lost", "expected a number from 0")
    return asked
