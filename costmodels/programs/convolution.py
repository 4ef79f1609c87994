"""A convolution along the operations of a program: what follows what decides what a compiler fuses.

Two layers of one-dimensional convolution over embedded operations, sums and largest values over the program, two dense
layers (Das and others, arXiv 2302.11405, section 4: convolutions did best there). It scores a program; what counts is
the score of a mutant less that of the program it comes from, and it learns of that what the plane on the bag leaves
over. Trained with torch on one thread, kept as plain arrays, evaluated with NumPy.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.programs.tokens import NUMBERS, Encoded
from codesign.quantity import Array

EMBEDDED, CHANNELS, HIDDEN, REACH = 12, 24, 32, 3
EPOCHS, BATCH, RATE = 40, 64, 4e-3
CHUNK = 256
"""Programs evaluated at a time."""

PARTS = ("embedding", "first", "first_bias", "second", "second_bias", "dense", "dense_bias", "last", "last_bias")


class Convolution(msgspec.Struct, frozen=True, eq=False):
    """Weights of the network for T targets, float32; V names besides the unknown one.

    Attributes:
        embedding: Of each name, (V + 1, 12).
        first: Of the first convolution, (24, 12 + 5, 3): channels, inputs, reach.
        first_bias: (24,).
        second: (24, 24, 3).
        second_bias: (24,).
        dense: (48, 32).
        dense_bias: (32,).
        last: (32, T).
        last_bias: (T,).
    """

    embedding: Array
    first: Array
    first_bias: Array
    second: Array
    second_bias: Array
    dense: Array
    dense_bias: Array
    last: Array
    last_bias: Array

    def predict(self, encoded: Encoded) -> Array:
        """Return the outputs of each program, (N, T)."""
        found = np.empty((len(encoded.name), len(self.last_bias)))
        for begin in range(0, len(found), CHUNK):
            part = slice(begin, begin + CHUNK)
            found[part] = self._outputs(encoded.name[part], encoded.number[part])
        return found

    def _outputs(self, name: Any, number: Any) -> Array:
        there = (name >= 0)[..., None]
        layer = np.concatenate([self.embedding[np.maximum(name, 0)], number * SCALE], axis=-1) * there
        for weights, bias in ((self.first, self.first_bias), (self.second, self.second_bias)):
            layer = np.maximum(_along(layer, weights) + bias, 0.0) * there
        pooled = np.concatenate([layer.sum(axis=1) / LENGTH, layer.max(axis=1, initial=0.0)], axis=1)
        hidden = np.maximum(pooled @ self.dense + self.dense_bias, 0.0)
        outputs: Array = hidden @ self.last + self.last_bias
        return outputs


SCALE = np.float32(0.1)
"""Logarithms of sizes enter divided by 10: of the order of 1."""
LENGTH = np.float32(32.0)
"""Sums over a program enter divided by this, whatever its length: programs twice as long say twice as much."""


def _along(layer: Array, weights: Array) -> Array:
    """Return the convolution of (N, L, inputs) with (channels, inputs, 3), zeros beyond the ends."""
    padded = np.pad(layer, ((0, 0), (1, 1), (0, 0)))
    length = layer.shape[1]
    taps = [padded[:, k : k + length] @ weights[:, :, k].T for k in range(REACH)]
    found: Array = taps[0] + taps[1] + taps[2]
    return found


def fit_convolution(encoded: Encoded, original: NDArray[np.intp], names: int, wanted: Array, seed: int) -> Convolution:
    """Return the network whose differences are ``wanted``; equal arguments, equal networks.

    Args:
        encoded: N programs.
        original: The row of the program that each is a mutant of, (N,).
        names: How many names are told apart, the unknown one not counted.
        wanted: What its outputs for a mutant less those for the original should be, (N, T); NaN where unknown.
        seed: Of weights and of the order of rows.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums then come in one order, and equal fits are equal
    try:
        return _fitted(encoded, original, names, wanted, seed)
    finally:
        torch.set_num_threads(threads)


def _fitted(encoded: Encoded, original: NDArray[np.intp], names: int, wanted: Array, seed: int) -> Convolution:
    import torch
    from torch.nn import functional

    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int, fan: int) -> Any:
        return (torch.randn(*shape, generator=generator) * (2.0 / fan) ** 0.5).requires_grad_()

    width = EMBEDDED + NUMBERS
    parts = {
        "embedding": drawn(names + 1, EMBEDDED, fan=EMBEDDED),
        "first": drawn(CHANNELS, width, REACH, fan=width * REACH),
        "second": drawn(CHANNELS, CHANNELS, REACH, fan=CHANNELS * REACH),
        "dense": drawn(2 * CHANNELS, HIDDEN, fan=2 * CHANNELS),
        "last": drawn(HIDDEN, wanted.shape[1], fan=100 * HIDDEN),  # it begins by changing nothing
        **{f"{layer}_bias": torch.zeros(count, requires_grad=True)
           for layer, count in (("first", CHANNELS), ("second", CHANNELS), ("dense", HIDDEN),
                                ("last", wanted.shape[1]))},
    }  # fmt: skip
    name, number = torch.from_numpy(encoded.name.astype(np.int64)), torch.from_numpy(encoded.number * SCALE)
    known = torch.from_numpy(np.isfinite(wanted))
    target = torch.from_numpy(np.nan_to_num(wanted).astype(np.float32))
    optimiser = torch.optim.AdamW(list(parts.values()), lr=RATE, weight_decay=1e-3)
    steps = EPOCHS * -(-len(name) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    first = torch.from_numpy(np.asarray(original, np.int64))

    def outputs(rows: Any) -> Any:
        there = (name[rows] >= 0)[..., None]
        layer = torch.cat([parts["embedding"][name[rows].clamp(min=0)], number[rows]], dim=-1) * there
        for step in ("first", "second"):
            along = functional.conv1d(layer.transpose(1, 2), parts[step], parts[f"{step}_bias"], padding=1)
            layer = torch.relu(along.transpose(1, 2)) * there
        pooled = torch.cat([layer.sum(dim=1) / float(LENGTH), layer.amax(dim=1)], dim=1)
        return torch.relu(pooled @ parts["dense"] + parts["dense_bias"]) @ parts["last"] + parts["last_bias"]

    for _ in range(EPOCHS):
        order = torch.randperm(len(name), generator=generator)
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            origins, place = torch.unique(first[rows], return_inverse=True)
            found = outputs(rows) - outputs(origins)[place]
            # Huber: one mutant that took an interruption must not bend the rest
            loss: Any = (functional.huber_loss(found, target[rows], reduction="none") * known[rows]).sum()
            optimiser.zero_grad()
            (loss / known[rows].sum().clamp(min=1)).backward()
            optimiser.step()
            schedule.step()
    return Convolution(**{part: parts[part].detach().numpy().copy() for part in PARTS})
