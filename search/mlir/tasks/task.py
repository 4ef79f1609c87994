"""A task: what a program is for. Inference answers inputs; a training step returns weights that answer inputs.

A task is kept as plain files, so that worker processes need neither torch nor the user's code to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.search.mlir.tasks.quality import Judge
from codesign.search.mlir.tasks.samples import Samples, Splits

PARTS = ("search", "selection", "report")


@dataclass(frozen=True, slots=True)
class Task:
    """Samples and how answers are judged; of a training step also what it trains on.

    ``batch`` is how many rows an inference program takes in a run. ``training`` are the samples of a training step and
    ``rows`` (steps, batch) which of them each step sees.
    """

    kind: Literal["inference", "training"]
    judge: Judge
    splits: Splits
    batch: int
    training: Samples | None = None
    rows: NDArray[np.int64] | None = None

    def samples(self, part: str) -> Samples:
        """Return ``search``, ``selection`` or ``report``."""
        found: Samples = getattr(self.splits, part)
        return found

    @property
    def steps(self) -> int:
        """Steps after which a training step is judged; 0 of inference."""
        return 0 if self.rows is None else len(self.rows)

    def step_data(self, number: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return what step ``number`` of a training trains on."""
        assert self.training is not None
        assert self.rows is not None
        chosen = self.training.take(self.rows[number])
        return chosen.x, chosen.y

    @property
    def fingerprint(self) -> str:
        """Digest of all samples and of how they are used."""
        import hashlib

        state = hashlib.blake2b(digest_size=8)
        for name, array in self._arrays().items():
            state.update(f"{name}{array.dtype.str}{array.shape}".encode())
            state.update(np.ascontiguousarray(array).tobytes())
        state.update(f"{self.kind}{self.batch}".encode())
        return state.hexdigest()

    def _arrays(self) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {}
        for part in PARTS:
            found |= {f"{part}_x": self.samples(part).x, f"{part}_y": self.samples(part).y}
        if self.training is not None and self.rows is not None:
            found |= {"training_x": self.training.x, "training_y": self.training.y, "rows": self.rows}
        return found

    def save(self, directory: Path) -> None:
        """Write the task into ``directory``."""
        np.savez(directory / "task.npz", **self._arrays())  # type: ignore[arg-type]
        head = {"kind": self.kind, "batch": self.batch, "judge": msgspec.to_builtins(self.judge)}
        (directory / "task.json").write_bytes(msgspec.json.encode(head))

    @classmethod
    def load(cls, directory: Path) -> Task:
        """Return the task that ``save`` wrote."""
        head = msgspec.json.decode((directory / "task.json").read_bytes())
        with np.load(directory / "task.npz", allow_pickle=False) as arrays:
            parts = Splits(*(Samples(arrays[f"{part}_x"], arrays[f"{part}_y"]) for part in PARTS))
            trains = "rows" in arrays.files
            training = Samples(arrays["training_x"], arrays["training_y"]) if trains else None
            rows = arrays["rows"] if trains else None
        return cls(head["kind"], msgspec.convert(head["judge"], Judge), parts, head["batch"], training, rows)
