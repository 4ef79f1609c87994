"""Built-in tasks on handwritten digits: an MLP and a CNN, trained in seconds.

The 1,797 images of 8x8 pixels that scikit-learn ships [1]_ in fixed, disjoint parts: 700 to train (calibration takes
its ranges from them), 350 to search, 350 to select, 397 to report.

.. [1] Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import EnvironmentLacks
from codesign.models.capture import captured_module
from codesign.models.input_shapes import InputShape
from codesign.search.quantization.task import Split, Task
from codesign.search.quantization.trained import trained

if TYPE_CHECKING:
    import torch

PARTS = {"calibration": 700, "search": 350, "selection": 350, "report": 397}
EPOCHS, BATCH, RATE = 40, 50, 2e-3


def mlp() -> torch.nn.Module:
    """Return an untrained MLP of three layers for (N, 1, 8, 8) images."""
    from torch import nn

    layers = {
        "flatten": nn.Flatten(), "first": nn.Linear(64, 128), "relu1": nn.ReLU(), "second": nn.Linear(128, 64),
        "relu2": nn.ReLU(), "classes": nn.Linear(64, 10),
    }  # fmt: skip
    return _sequence(layers)


def cnn() -> torch.nn.Module:
    """Return an untrained CNN of three convolutions and two linear layers for (N, 1, 8, 8) images."""
    from torch import nn

    layers = {
        "conv1": nn.Conv2d(1, 16, 3, padding=1), "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(16, 32, 3, padding=1), "relu2": nn.ReLU(), "pool1": nn.MaxPool2d(2),
        "conv3": nn.Conv2d(32, 32, 3, padding=1), "relu3": nn.ReLU(), "pool2": nn.MaxPool2d(2),
        "flatten": nn.Flatten(), "hidden": nn.Linear(128, 64), "relu4": nn.ReLU(), "classes": nn.Linear(64, 10),
    }  # fmt: skip
    return _sequence(layers)


BUILDERS = {"digits-mlp": mlp, "digits-cnn": cnn}


def digits_task(name: str) -> Task:
    """Return the task ``digits-mlp`` or ``digits-cnn``.

    Raises:
        EnvironmentLacks: scikit-learn is not installed.
    """
    splits = _splits()
    build = BUILDERS[name]
    train = splits["calibration"]
    module = trained(
        name, build, lambda net: _train(net, train), [train.x.numpy(), train.y.numpy()],
        f"{name} adam {EPOCHS} {BATCH} {RATE}",
    )  # fmt: skip
    sizes = ", ".join(f"{size} {part}" for part, size in PARTS.items())
    return Task(
        name=name, module=module, splits=splits, measure="error", functional_unit="image",
        priced=captured_module(lambda: build().eval(), name, name, (InputShape((1, 1, 8, 8)),)),
        notes=(f"data: scikit-learn's digits: {sizes} images (the model is trained on those of the calibration)",),
    )  # fmt: skip


def _splits() -> dict[str, Split]:
    import torch

    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise EnvironmentLacks("the digits need the package scikit-learn", "pip install scikit-learn") from None
    images, classes = load_digits(return_X_y=True)
    order = np.random.Generator(np.random.Philox(key=0)).permutation(len(images))
    x = torch.from_numpy((images[order] / 16.0).astype(np.float32).reshape(-1, 1, 8, 8))
    y = torch.from_numpy(classes[order].astype(np.int64))
    ends = np.cumsum(list(PARTS.values()))
    return {
        name: Split(x[end - size : end], y[end - size : end])
        for (name, size), end in zip(PARTS.items(), ends.tolist(), strict=True)
    }


def _train(net: torch.nn.Module, split: Split) -> None:
    import torch

    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for part in torch.split(torch.randperm(len(split.x)), BATCH):
            optimizer.zero_grad()
            torch.autograd.backward(torch.nn.functional.cross_entropy(net(split.x[part]), split.y[part]))
            optimizer.step()
        schedule.step()


def _sequence(layers: dict[str, torch.nn.Module]) -> torch.nn.Module:
    from collections import OrderedDict

    from torch import nn

    return nn.Sequential(OrderedDict(layers))
