"""A module whose answers define its classes: the original is perfect, and every loss is quantization's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from codesign.models.capture import captured_module
from codesign.models.input_shapes import InputShape
from codesign.search.quantization.problem import QuantizationProblem
from codesign.search.quantization.task import Split, Task

Array = NDArray[Any]

MODEL = """
import torch

def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(12, 24), torch.nn.ReLU(), torch.nn.Linear(24, 4)).eval()

def broken():
    raise RuntimeError("no weights here")

def trained():
    global calls
    calls = globals().get("calls", 0) + 1
    assert calls == 1, "training is dear"
    made = net()
    made(torch.ones(2, 12)).sum().backward()
    made[0].weight.data -= 0.01 * made[0].weight.grad
    return made

def plain():
    return torch.nn.Sequential(torch.nn.ReLU())

def infinite():
    made = net()
    torch.nn.init.constant_(made[0].weight, float("nan"))
    return made

def branching():
    class Branching(torch.nn.Sequential):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else -super().forward(x)

    return Branching(*net())
"""


def net() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = (torch.nn.Linear(12, 24), torch.nn.ReLU(), torch.nn.Linear(24, 4))
        return torch.nn.Sequential(*layers).eval()


def arrays(count: int = 400, seed: int = 0) -> tuple[Array, Array]:
    """Return inputs and the classes that the original gives them."""
    x = np.random.default_rng(seed).normal(size=(count, 12)).astype(np.float32)
    with torch.inference_mode():
        return x, net()(torch.from_numpy(x)).argmax(dim=1).numpy()


def write(folder: Path, count: int = 400, *, x: Array | None = None, y: Array | None = None) -> tuple[str, str]:
    """Write module and data; return the names that a command takes."""
    (folder / "toy_model.py").write_text(MODEL)
    inputs, classes = arrays(count)
    np.savez(folder / "data.npz", x=inputs if x is None else x, y=classes if y is None else y)
    return f"py:{folder / 'toy_model.py'}:net", str(folder / "data.npz")


def task() -> Task:
    splits = {}
    for seed, name in enumerate(("calibration", "search", "selection", "report")):
        x, y = arrays(200, seed)
        splits[name] = Split(torch.from_numpy(x), torch.from_numpy(y))
    return Task(
        name="toy", module=net(), splits=splits, measure="error",
        priced=captured_module(net, "toy", "toy", (InputShape((1, 12)),)),
    )  # fmt: skip


def problem(**spec: object) -> QuantizationProblem:
    given = {"model": "toy", "target": "xeon-8480", "objectives": ("error", "memory"), **spec}
    return QuantizationProblem(task=task(), **given)
