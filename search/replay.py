"""Reading a search back from its journal: for resuming it, and for deriving its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from codesign.errors import DataError
from codesign.run.journal import iterate
from codesign.search.recorder import Keep, Recorder
from codesign.search.rows import Rows, decode


@dataclass(frozen=True, slots=True)
class Batch:
    """Where the search stood after a batch: ``evaluations`` so far, front size, seconds since the start.

    Ids of the batch are below ``stop``; an unfinished batch has gaps, so this may exceed ``evaluations``.
    """

    number: int
    stop: int
    evaluations: int
    front: int
    seconds: float


@dataclass(slots=True)
class Replay:
    """A journal read back."""

    recorder: Recorder
    parts: list[Rows] = field(default_factory=list)
    """Kept rows of cheap batches, every row of dear ones, in id order once ``sort`` ran."""
    batches: list[Batch] = field(default_factory=list)
    state: dict[str, Any] | None = None
    """The last line of kind ``state``."""
    digests: dict[int, str] = field(default_factory=dict)
    """Digest of each cheap batch after that state: recomputing must reproduce it."""
    evaluations: dict[int, Rows] = field(default_factory=dict)
    """Dear evaluations by id."""
    batch_of: dict[int, int] = field(default_factory=dict)
    """Batch of each dear evaluation."""
    seconds_of: dict[int, float] = field(default_factory=dict)
    """When each dear evaluation ended, s since the start."""
    sizes: dict[int, int] = field(default_factory=dict)
    """How many points each batch was asked for, where it will be asked again."""
    verification: dict[str, Any] | None = None
    """What ``add_verification`` recorded last."""
    seconds: float = 0.0
    """Seconds of search the journal has seen, over all its runs."""
    torn: str = ""

    def rows(self) -> Rows | None:
        """Return all rows at hand in id order, None when there are none."""
        return Rows.concatenate(self.parts) if self.parts else None


def replay(path: Path, header: Mapping[str, Any], *, until_state: bool = False) -> Replay:
    """Read a journal.

    Args:
        path: the journal.
        header: the ``search`` section of ``run.json`` with ``problem`` shapes: objectives, constraints, seed, keep.
        until_state: fold only what happened before the last ``state`` line, as resuming needs.

    Raises:
        DataError: the journal is damaged, or is not a search's.
    """
    recorder = Recorder(header["objectives"], Keep.parse(header["keep"]), header["seed"])
    found = Replay(recorder)
    last_state = _last_state(path) if until_state else None
    dtype = "<f8"
    folding = not until_state or last_state is not None
    for number, record in iterate(path):
        kind = record.get("kind")
        try:
            if kind == "start":
                dtype = record["points"]
            elif kind == "batch" and folding:
                _fold_batch(found, record, header, dtype)
            elif kind == "batch":
                found.digests[record["batch"]] = record["digest"]
                found.sizes[record["batch"]] = record["asked"]
            elif kind == "evaluation":
                row = decode(record["row"], header["objectives"], header["constraints"], dtype)
                found.evaluations[int(row.ids[0])] = row
                found.batch_of[int(row.ids[0])] = record["batch"]
                found.seconds_of[int(row.ids[0])] = record["seconds"]
                found.sizes[record["batch"]] = record["asked"]
            elif kind == "state" and number == last_state:
                found.state, folding = record, False
            elif kind == "verification":
                found.verification = record["document"]
            found.seconds = max(found.seconds, float(record.get("seconds", 0.0)))
        except (KeyError, ValueError, TypeError) as error:
            message = f"{path}, line {number}: not a {kind} record of a search: {error!r}"
            raise DataError(message, "restore the journal, or start a new run") from None
    if found.evaluations and not until_state:
        _fold_evaluations(found)
    return found


def _last_state(path: Path) -> int | None:
    last = None
    for number, record in iterate(path):
        if record.get("kind") == "state":
            last = number
    return last


def _fold_batch(found: Replay, record: dict[str, Any], header: Mapping[str, Any], dtype: str) -> None:
    recorder = found.recorder
    first, count = record["first"], sum(record["counts"])
    recorder.count(record["counts"], record["reasons"])
    recorder.sampler.offer(np.arange(first, first + count, dtype=np.int64))
    if "rows" in record:
        rows = decode(record["rows"], header["objectives"], header["constraints"], dtype)
        recorder.offer(rows)
        found.parts.append(rows)
    stop = first + count
    found.batches.append(Batch(record["batch"], stop, recorder.evaluations, recorder.front_size, record["seconds"]))


def _fold_evaluations(found: Replay) -> None:
    """Fold dear evaluations in id order, batch by batch."""
    ids = sorted(found.evaluations)
    by_batch: dict[int, list[int]] = {}
    for i in ids:
        by_batch.setdefault(found.batch_of[i], []).append(i)
    for number in sorted(by_batch):
        mine = by_batch[number]
        rows = Rows.concatenate([found.evaluations[i] for i in mine])
        kept = found.recorder.fold(rows)
        if kept.any():
            found.parts.append(rows.take(kept))
        recorder, seconds = found.recorder, max(found.seconds_of[i] for i in mine)
        found.batches.append(Batch(number, mine[-1] + 1, recorder.evaluations, recorder.front_size, seconds))
