"""Quality of a module's answers, with the interval that so few samples allow, and of answering without a model.

``error`` is the share of wrong classes, its interval Wilson's [1]_; ``perplexity`` is exp of the mean cross-entropy of
the next token, its interval from the spread between sequences; ``mse`` is the mean squared error. 90 % coverage.

.. [1] Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.quantity import Z90
from codesign.search.quantization.task import Measure, Split

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Quality:
    """A measure of quality (lower is better), its 90 % interval, and the mean loss behind it.

    ``loss`` is finer than an error rate: mean cross-entropy in nats, or the mean squared error; ``loss_spread`` is the
    half width of its 90 % interval. ``constant`` says that every sample got the same answer.
    """

    value: float
    low: float
    high: float
    loss: float
    loss_spread: float
    constant: bool = False


def judge(answers: torch.Tensor, y: torch.Tensor, measure: Measure) -> Quality:
    """Return the quality of ``answers``: logits (N, C) or (N, T, C), or numbers shaped as ``y``."""
    import torch

    if measure == "mse":
        each = torch.square(answers.reshape(len(y), -1) - y.reshape(len(y), -1).to(answers.dtype)).mean(dim=1)
        mean, spread = float(each.mean()), _spread(each)
        return Quality(mean, max(0.0, mean - spread), mean + spread, mean, spread, _constant(answers))
    flat = answers.reshape(-1, answers.shape[-1])
    losses = torch.nn.functional.cross_entropy(flat.double(), y.reshape(-1), reduction="none").reshape(len(y), -1)
    loss = float(losses.mean())
    spread = _spread(losses.mean(dim=1))
    if measure == "perplexity":
        value, low, high = (float(np.exp(v)) for v in (loss, loss - spread, loss + spread))
        return Quality(value, low, high, loss, spread, _constant(answers))
    chosen = flat.argmax(dim=1)
    finite = bool(torch.isfinite(flat).all())
    wrong = float((chosen != y).double().mean()) if finite else float("nan")
    return Quality(wrong, *wilson(wrong, len(y)), loss, spread, bool((chosen == chosen[0]).all()))


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 90 % interval of a share observed in ``count`` trials."""
    squared = Z90 * Z90
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    half = Z90 / (1 + squared / count) * np.sqrt(share * (1 - share) / count + squared / (4 * count * count))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def trivial(split: Split, judged: Split, measure: Measure) -> float:
    """Return the quality on ``judged`` of an answer that ignores its input, learnt from ``split``.

    The commonest class, the frequencies of the tokens (each counted once more than it was seen), or the mean.
    """
    import torch

    if measure == "mse":
        return float(torch.square(judged.y.double() - split.y.double().mean(dim=0)).mean())
    seen = torch.bincount(split.y.reshape(-1), minlength=int(judged.y.max()) + 1).double()
    if measure == "error":
        return float((judged.y != seen.argmax()).double().mean())
    seen = seen + 1.0
    return float(torch.exp(-torch.log(seen / seen.sum())[judged.y.reshape(-1)].mean()))


def _spread(each: torch.Tensor) -> float:
    """Return the half width of the 90 % interval of a mean."""
    return Z90 * float(each.double().std()) / float(np.sqrt(len(each))) if len(each) > 1 else 0.0


def _constant(answers: torch.Tensor) -> bool:
    return bool((answers == answers[:1]).all())
