"""The built-in task: scikit-learn's handwritten digits, with an MLP and a CNN small enough to train in seconds.

The images are the test set of Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (UCI Machine Learning
Repository, 1998), shipped with scikit-learn: 1,797 of 8 x 8 pixels. Half of them train the networks; programs are
judged on the other half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.errors import UsageError, nearest
from codesign.search.mlir.tasks.planted import planted
from codesign.search.mlir.tasks.samples import Samples

if TYPE_CHECKING:
    import torch

TRAINING = 899
"""Images that train; the other 898 judge."""
EPOCHS = {"digits-mlp": 40, "digits-cnn": 25}
BATCH = 64
STEPS = 100
"""Steps after which the weights of a training step are judged."""
RATE = 0.1
"""Learning rate of the training steps' plain gradient descent."""
PLANTED = "digits-mlp-planted"
"""The MLP with waste for the search to remove."""
MODELS = ("digits-mlp", "digits-cnn", PLANTED, "digits-mlp-train", "digits-cnn-train")


def _images() -> Samples:
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.Generator(np.random.Philox(key=1797)).permutation(len(found.target))
    x = (found.images[order] / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    return Samples(x, found.target[order].astype(np.int64))


def digits() -> Samples:
    """Return the 898 images to judge on: x (898, 1, 8, 8) from 0 to 1, y their digit."""
    return _images().take(slice(TRAINING, None))


def training_digits() -> Samples:
    """Return the 899 images to train on."""
    return _images().take(slice(TRAINING))


def network(name: str, seed: int = 0) -> torch.nn.Module:
    """Return ``digits-mlp`` or ``digits-cnn`` with random weights.

    Raises:
        UsageError: no such network.
    """
    import torch
    from torch import nn

    layers: dict[str, Callable[[], list[nn.Module]]] = {
        "digits-mlp": lambda: [nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(),
                               nn.Linear(64, 10)],
        "digits-cnn": lambda: [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
                               nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10)],
    }  # fmt: skip
    if name not in layers:
        raise UsageError(f"unknown network {name!r}", nearest(name, layers))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(*layers[name]())


def trained(name: str, seed: int = 0) -> torch.nn.Module:
    """Return the network trained on the training half by Adam; the same on every call on one machine."""
    import torch

    if name == PLANTED:
        return planted(trained("digits-mlp", seed))
    module, samples = network(name, seed), training_digits()
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.y)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums come out the same whatever the number of processors
    try:
        for rows in batches(len(samples), EPOCHS[name] * (len(samples) // BATCH), BATCH, seed):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(x[rows]), y[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    finally:
        torch.set_num_threads(threads)
    return module.eval()


def batches(count: int, steps: int, size: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return (steps, size) row numbers: epochs in random order, a last batch that is too short left out."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    each = max(count // size, 1)
    epochs = [generator.permutation(count)[: each * size].reshape(each, size) for _ in range(-(-steps // each))]
    return np.concatenate(epochs)[:steps]
