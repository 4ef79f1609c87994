"""Small programs that tests edit: torch modules, a step, a graph by hand and what its operations mean in NumPy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from codesign.search.mlir.graph import Argument, Graph, Operation, Output, TensorType, pack, unpack

F32 = "f32"


class ConvNet(torch.nn.Module):
    """Two convolutions, batch norm, pooling, two products: every kind of operation of the digits CNN."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(1, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.second = torch.nn.Conv2d(8, 16, 3, padding=1)
        self.hidden = torch.nn.Linear(16 * 16, 32)
        self.head = torch.nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = torch.nn.functional.max_pool2d(torch.relu(self.second(x)), 2)
        out: torch.Tensor = self.head(torch.relu(self.hidden(x.flatten(1))))
        return out


def conv_net() -> tuple[ConvNet, torch.Tensor]:
    torch.manual_seed(0)
    net = ConvNet().eval()
    with torch.no_grad():
        net.norm.running_mean.normal_()  # type: ignore[union-attr]
        net.norm.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    return net, torch.randn(4, 1, 8, 8)


def mlp() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)).eval()


def training_step() -> tuple[Any, dict[str, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return (step, weights, data) of one update of ``mlp`` at a learning rate of 0.125."""
    net = mlp()
    weights = {name: one.detach() for name, one in net.named_parameters()}

    def step(held: Mapping[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        def loss(given: dict[str, torch.Tensor]) -> torch.Tensor:
            return torch.nn.functional.cross_entropy(torch.func.functional_call(net, given, (x,)), y)

        slopes = torch.func.grad(loss)(dict(held))
        return {name: held[name] - 0.125 * slopes[name] for name in held}

    torch.manual_seed(1)
    return step, weights, (torch.randn(16, 64), torch.randint(0, 10, (16,)))


def inputs(program: Any, **data: Any) -> list[np.ndarray]:
    """Return the arguments of a program in order, its data by name."""
    return [
        np.asarray(data[one.name]) if one.role == "data" else program.weights[one.name]
        for one in program.graph.arguments
    ]


# --- a graph by hand ------------------------------------------------------------------------------------------------


def by_hand() -> Graph:
    """Return y = ((x + bias) * 2 - floor) summed over nothing, with x (3, 4) and a second output of shape (2, 6).

    0: constant 2; 1: bias as (3, 4); 2: x + bias; 3: times 2; 4: floor = max(x, bias); 5: 3 - 4; 6: 2 as (2, 6).
    """
    wide, row, other = TensorType(F32, (3, 4)), TensorType(F32, (4,)), TensorType(F32, (2, 6))
    arguments = (Argument("x", wide, "data"), Argument("bias", row, "weight"))
    v = [pack(uid, 0) for uid in range(7)]
    binary = (wide, wide)
    operations = (
        Operation(0, "stablehlo.constant", (), (), (wide,), "", 2.0),
        Operation(1, "stablehlo.broadcast_in_dim", (-2,), (row,), (wide,), "<{broadcast_dimensions = array<i64: 1>}>"),
        Operation(2, "stablehlo.add", (-1, v[1]), binary, (wide,)),
        Operation(3, "stablehlo.multiply", (v[2], v[0]), binary, (wide,), location="model.py:3"),
        Operation(4, "stablehlo.maximum", (-1, v[1]), binary, (wide,)),
        Operation(5, "stablehlo.subtract", (v[3], v[4]), binary, (wide,)),
        Operation(6, "stablehlo.reshape", (v[2],), (wide,), (other,)),
    )
    return Graph("stablehlo", arguments, operations, (Output(v[5], wide), Output(v[6], other)))


BINARY = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "maximum": np.maximum}


def run(graph: Graph, arguments: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return what a hand-made graph computes: the meaning of its few operations, in NumPy."""
    values = {-1 - i: arguments[one.name] for i, one in enumerate(graph.arguments)}
    for one in graph.operations:
        read = [values[value] for value in one.operands]
        assert [array.shape for array in read] == [want.shape for want in one.wants]
        shape = one.results[0].shape
        lists = {
            k: [int(n) for n in re.findall(r"-?\d+", v)]
            for k, v in re.findall(r"(\w+) = array<i64:?([^>]*)>", one.text)
        }
        if one.short in BINARY:
            made: Any = BINARY[one.short](*read)
        elif one.short == "constant":
            made = np.full(shape, one.constant)
        elif one.short == "reshape":
            made = read[0].reshape(shape)
        elif one.short == "slice":
            bounds = zip(lists["start_indices"], lists["limit_indices"], strict=True)
            made = read[0][tuple(slice(a, b) for a, b in bounds)]
        elif one.short == "pad":
            widths = list(zip(lists["edge_padding_low"], lists["edge_padding_high"], strict=True))
            made = np.pad(read[0], widths, constant_values=float(read[1]))
        else:
            assert one.short == "broadcast_in_dim"
            inner = [1] * len(shape)
            for axis, place in enumerate(lists["broadcast_dimensions"]):
                inner[place] = read[0].shape[axis]
            made = np.broadcast_to(read[0].reshape(inner), shape)
        assert made.shape == shape
        values[pack(one.uid, 0)] = made
    assert all(unpack(one.value)[1] == 0 for one in graph.outputs if one.value >= 0)
    return [values[one.value] for one in graph.outputs]
