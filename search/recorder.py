"""The record of a search: archive, counts and kept rows, folded batch by batch and written to the journal.

Kinds of journal lines: ``start`` (what runs), ``batch`` (counter, counts, digest and kept rows of a cheap
batch), ``evaluation`` (one row of a dear problem), ``state`` (the engine between two batches), ``resume``,
``end``. Rows that were on the front when their batch ended are always kept, so folding the kept rows gives
the archive again, bit for bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.errors import UsageError
from codesign.search.pareto import Archive
from codesign.search.problem import Results, Status
from codesign.search.rows import Rows, encode
from codesign.search.variation import mix


@dataclass(frozen=True, slots=True)
class Keep:
    """Which rows stay beside the front: ``limit`` random ones, None for all."""

    limit: int | None

    @classmethod
    def parse(cls, text: str) -> Keep:
        """Read ``front``, ``sample:N`` or ``all``."""
        if text == "front":
            return cls(0)
        if text == "all":
            return cls(None)
        head, _, number = text.partition(":")
        if head == "sample" and number.isdigit():
            return cls(int(number))
        raise UsageError(f"--keep {text!r} is none of front, sample:N, all", "for example --keep sample:2000")

    def __str__(self) -> str:
        return "all" if self.limit is None else f"sample:{self.limit}" if self.limit else "front"


class Sampler:
    """The ``limit`` ids of smallest priority: a sample that depends on ids and seed alone, at any moment."""

    def __init__(self, keep: Keep, seed: int) -> None:
        self._keep = keep
        self._salt = mix(np.array([seed & (2**64 - 1)], np.uint64))
        self._lowest = np.zeros(0, np.uint64)

    def priorities(self, ids: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return a fixed random number per id."""
        return mix(ids.astype(np.uint64) ^ self._salt)

    def offer(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which ids belong to the sample after these joined."""
        limit = self._keep.limit
        if limit is None:
            return np.ones(len(ids), np.bool_)
        if limit == 0:
            return np.zeros(len(ids), np.bool_)
        mine = self.priorities(ids)
        joined = np.concatenate([self._lowest, mine])
        self._lowest = np.sort(joined)[:limit]
        chosen: NDArray[np.bool_] = mine <= self._lowest[-1]
        return chosen

    def members(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which ids are in the sample now."""
        if self._keep.limit is None:
            return np.ones(len(ids), np.bool_)
        return self.priorities(ids) <= self._lowest[-1] if len(self._lowest) else np.zeros(len(ids), np.bool_)


class Recorder:
    """Folds rows in id order into archives (known and unknown quality), counts and a sample."""

    def __init__(self, objectives: int, keep: Keep, seed: int) -> None:
        self.archives = {False: Archive(objectives), True: Archive(objectives)}
        self.sampler = Sampler(keep, seed)
        self.counts = np.zeros(len(Status), np.int64)
        self.reasons: dict[str, int] = {}
        self.evaluations = 0
        self.entered: list[NDArray[np.int64]] = []
        """Ids that were on a front when their batch ended, a part per batch."""

    @property
    def feasible(self) -> int:
        """Number of points that are ok."""
        return int(self.counts[Status.OK])

    @property
    def front_size(self) -> int:
        """Points on the front; of unknown quality only where no other is known."""
        return len(self.archives[False]) or len(self.archives[True])

    def fold(self, rows: Rows) -> NDArray[np.bool_]:
        """Take in a whole batch; return which rows must be kept."""
        self.count(np.bincount(rows.results.status, minlength=len(Status)), rows.results.reason_counts())
        return self.offer(rows) | self.sampler.offer(rows.ids)

    def offer(self, rows: Rows) -> NDArray[np.bool_]:
        """Offer rows to the archives without counting them; return which are on a front now."""
        entered = np.zeros(len(rows), np.bool_)
        for apart, archive in self.archives.items():
            mine = np.flatnonzero(rows.results.ok & (rows.results.apart == apart))
            if len(mine):
                entered[mine] = archive.offer(rows.results.objectives[mine], rows.ids[mine])
        self.entered.append(rows.ids[entered])
        return entered

    def count(self, counts: Iterable[int], reasons: dict[str, int]) -> None:
        """Add to the counters."""
        added = np.asarray(counts, np.int64)
        self.counts += added
        self.evaluations += int(added.sum())
        for text, number in reasons.items():
            self.reasons[text] = self.reasons.get(text, 0) + number


def digest(results: Results) -> str:
    """Return a digest of what an evaluation must reproduce bit for bit."""
    state = hashlib.blake2b(digest_size=8)
    state.update(np.ascontiguousarray(results.objectives).tobytes())
    state.update(np.ascontiguousarray(results.status).tobytes())
    return state.hexdigest()


def batch_line(
    number: int, asked: int, rows: Rows, kept: NDArray[np.bool_], front: int, seconds: float
) -> dict[str, Any]:
    """Return the journal line of a cheap batch."""
    counts = np.bincount(rows.results.status, minlength=len(Status)).tolist()
    line: dict[str, Any] = {
        "kind": "batch",
        "batch": number,
        "asked": asked,
        "first": int(rows.ids[0]),
        "counts": counts,
        "reasons": rows.results.reason_counts(),
        "digest": digest(rows.results),
        "front": front,
        "seconds": round(seconds, 6),
    }
    if kept.any():
        line["rows"] = encode(rows.take(kept))
    return line


def evaluation_line(number: int, asked: int, row: Rows, seconds: float) -> dict[str, Any]:
    """Return the journal line of one dear evaluation of a batch for which ``asked`` points were asked."""
    return {"kind": "evaluation", "batch": number, "asked": asked, "seconds": round(seconds, 6), "row": encode(row)}
