"""What a quantization search judges: a trained module, data in splits that do not meet, a measure of quality.

Four splits: ``calibration`` sets the ranges of activations, ``search`` drives the search, ``selection`` picks a plan of
its front, ``report`` is seen by neither and says what the plan is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from codesign.models.capture import CapturedModel

if TYPE_CHECKING:
    import torch

SPLITS = ("search", "selection", "report")
"""Splits that are judged; ``calibration`` is not."""

Measure = Literal["error", "perplexity", "mse"]


@dataclass(frozen=True, slots=True)
class Split:
    """Inputs (N, ...) and what the module should answer: classes (N,), next tokens (N, T), or numbers."""

    x: torch.Tensor
    y: torch.Tensor


@dataclass(frozen=True)
class Task:
    """A module and how it is judged.

    Attributes:
        name: Short name.
        module: The trained module, in evaluation mode.
        splits: ``calibration`` and those of ``SPLITS``.
        measure: ``error`` (share of wrong classes), ``perplexity`` (of the next token), ``mse``.
        priced: One run of the module, captured; its layers have the names of ``module``'s.
        functional_unit: What one run delivers.
        kv_layers: Layers whose outputs are cached.
        notes: Where module and data come from, for people.
    """

    name: str
    module: torch.nn.Module
    splits: Mapping[str, Split]
    measure: Measure
    priced: CapturedModel
    functional_unit: str = "sample"
    kv_layers: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def digests(self) -> dict[str, str]:
        """Return the digests of weights and data: a run is not resumed with others."""
        state = self.module.state_dict()
        weights = [state[name].detach().cpu().contiguous().numpy() for name in sorted(state)]
        data = [part.contiguous().numpy() for name in sorted(self.splits)
                for part in (self.splits[name].x, self.splits[name].y)]  # fmt: skip
        return {"model weights": digest(weights), "data": digest(data)}


def digest(arrays: list[Any]) -> str:
    """Return the digest of arrays: shapes, types and bytes."""
    import hashlib

    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(f"{array.shape}{array.dtype}".encode())
        hashed.update(array.tobytes())
    return hashed.hexdigest()[:16]
