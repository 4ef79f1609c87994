"""A small network for searches that says what the trees say: smooth, many times as fast, and monotone.

It learns what the trees predict (Hinton et al., 2015, with regression in place of classes). Weights from inputs that
latency rises with are not negative, nor are those of later layers; half of the units are convex and half concave, so
that it can bend either way (Runje and Shankaranarayana, ICML 2023). A straight path from the rising inputs to the
output leaves the layers what a power law misses. Inputs are clipped to what was seen in training, as trees do by
nature, but for the straight path. It computes in double precision: a row gives the same result whatever stands beside
it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.operators.monotone import Inputs
from codesign.quantity import Array

HIDDEN = 64
"""Units of each of the two hidden layers, half of them convex."""

EPOCHS, BATCH, RATE = 60, 1024, 1e-2
"""Of the training: passes over the rows, rows a step, largest learning rate."""

CHUNK = 4_096
"""Rows predicted at a time: layers stay in the cache."""

PARTS = ("low", "high", "straight", "first", "second", "last", "bias0", "bias1", "bias2")


class Network(msgspec.Struct, frozen=True, eq=False):
    """Two hidden layers; rows of ``first`` are the rising inputs, then those of kind. All in float64.

    Attributes:
        low: Least value of each input in training.
        high: Largest.
        straight: Weights of the rising inputs on the output, none negative.
        first: Weights, inputs x hidden, standardisation included.
        second: Hidden x hidden, none negative.
        last: Hidden x 1, none negative.
        bias0: Of the first layer.
        bias1: Of the second.
        bias2: Of the output.
    """

    low: Array
    high: Array
    straight: Array
    first: Array
    second: Array
    last: Array
    bias0: Array
    bias1: Array
    bias2: Array

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Return how many inputs rise, how many there are, and the units of a hidden layer."""
        return len(self.straight), len(self.low), len(self.bias0)

    def packed(self) -> Array:
        """Return all parts in one array, for a file."""
        return np.concatenate([getattr(self, name).ravel() for name in PARTS])

    @staticmethod
    def of_packed(values: Array, sizes: tuple[int, int, int]) -> Network:
        """Return the network of ``sizes`` whose parts ``values`` are.

        Raises:
            ValueError: there are too few or too many.
        """
        rising, count, hidden = sizes
        shapes = {"low": (count,), "high": (count,), "straight": (rising,), "first": (count, hidden),
                  "second": (hidden, hidden), "last": (hidden, 1), "bias0": (hidden,), "bias1": (hidden,),
                  "bias2": (1,)}  # fmt: skip
        ends = np.cumsum([int(np.prod(shapes[name])) for name in PARTS])
        if values.shape != (ends[-1],) or not 0 < rising <= count:
            raise ValueError("network")
        parts = np.split(np.asarray(values, np.float64), ends[:-1])
        return Network(**{name: part.reshape(shapes[name]) for name, part in zip(PARTS, parts, strict=True)})

    def predict(self, given: Inputs) -> Array:
        """Return ln(latency / floor) of each row, shape (n,)."""
        columns = np.concatenate([given.rising, given.kind], axis=1)
        # an input that never varied in training has no weight to go by: wherever it moves, it says what it said there
        count = len(self.straight)
        held = np.where(self.high[:count] > self.low[:count], 0.0, self.straight)
        found = given.rising @ (self.straight - held) + self.low[:count] @ held
        for begin in range(0, len(columns), CHUNK):
            layer = np.clip(columns[begin : begin + CHUNK], self.low, self.high)
            for weights, bias in ((self.first, self.bias0), (self.second, self.bias1)):
                layer = layer @ weights
                layer += bias
                half = layer.shape[1] // 2
                np.maximum(layer[:, :half], 0.0, out=layer[:, :half])
                np.minimum(layer[:, half:], 0.0, out=layer[:, half:])
            found[begin : begin + CHUNK] += (layer @ self.last)[:, 0] + self.bias2
        return found


def fit_network(given: Inputs, wanted: Array, seed: int) -> Network:
    """Return the network that says ``wanted`` of ``given``; equal arguments give equal networks.

    Args:
        given: Inputs of n rows.
        wanted: ln(latency / floor), shape (n,).
        seed: Of weights and of the order of rows.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums then come in one order, and equal fits are equal
    try:
        return _fitted(given, wanted, seed)
    finally:
        torch.set_num_threads(threads)


def _fitted(given: Inputs, wanted: Array, seed: int) -> Network:
    import torch

    columns = np.concatenate([given.rising, given.kind], axis=1)
    low, high = columns.min(axis=0), columns.max(axis=0)
    mean, spread = columns.mean(axis=0), np.maximum(columns.std(axis=0), 1e-3)
    inputs = torch.from_numpy(((columns - mean) / spread).astype(np.float32))
    target = torch.from_numpy(wanted.astype(np.float32))[:, None]
    generator = torch.Generator().manual_seed(seed)
    rising = given.rising.shape[1]

    def drawn(a: int, b: int) -> Any:
        return (torch.randn(a, b, generator=generator) * (1.0 / a) ** 0.5).requires_grad_()

    weights = [drawn(columns.shape[1], HIDDEN), drawn(HIDDEN, HIDDEN), drawn(HIDDEN, 1)]
    biases = [torch.zeros(width, requires_grad=True) for width in (HIDDEN, HIDDEN, 1)]
    # it begins as the physical form, which is the first of the rising inputs, in powers of two
    straight = torch.full((rising, 1), 0.05)
    straight[0] = float(spread[0] * np.log(2.0))
    straight.requires_grad_()
    optimiser = torch.optim.Adam([*weights, *biases, straight], lr=RATE)
    steps = EPOCHS * -(-len(columns) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)

    def held() -> list[Any]:
        """Return the weights as they act: magnitudes where the output has to rise."""
        return [torch.cat([weights[0][:rising].abs(), weights[0][rising:]]), weights[1].abs(), weights[2].abs()]

    for _ in range(EPOCHS):
        order = torch.randperm(len(columns), generator=generator)
        for begin in range(0, len(columns), BATCH):
            at = order[begin : begin + BATCH]
            layer, acting = inputs[at], held()
            for weight, bias in zip(acting[:2], biases[:2], strict=True):
                convex, concave = torch.addmm(bias, layer, weight).chunk(2, dim=1)
                layer = torch.cat([convex.clamp(min=0.0), concave.clamp(max=0.0)], dim=1)
            out = torch.addmm(biases[2], layer, acting[2]) + inputs[at][:, :rising] @ straight.abs()
            loss = torch.nn.functional.smooth_l1_loss(out, target[at], beta=0.1)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    first, second, last = (w.detach().numpy().astype(np.float64) for w in held())
    bias0, bias1, bias2 = (b.detach().numpy().astype(np.float64) for b in biases)
    path = straight.detach().abs().numpy()[:, 0] / spread[:rising]
    return Network(
        low, high, path, first / spread[:, None], second, last, bias0 - (mean / spread) @ first, bias1,
        bias2 - mean[:rising] @ path,
    )  # fmt: skip
