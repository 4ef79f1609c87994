"""ATen programs: the graph computes what the module does, mutants run, files hold data only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import DataError, UsageError
from codesign.search.mlir.edits import Constant, Delete
from codesign.search.mlir.graph import Refused, pack
from codesign.search.mlir.programs import AtenProgram, load_program
from codesign.search.mlir.space import EditSpace
from tests.search.mlir.nets import conv_net, inputs, mlp, training_step

NET, X = conv_net()
PROGRAM = AtenProgram.from_module(NET, (X,), "conv net")
STEP, WEIGHTS, DATA = training_step()
TRAINING = AtenProgram.from_training_step(STEP, WEIGHTS, DATA)


def outputs(program: AtenProgram, edits: Any = (), **data: Any) -> list[torch.Tensor]:
    with torch.no_grad():
        found: Any = program.realise(edits).module(*map(torch.from_numpy, inputs(program, **data)))
    return list(found)


def test_the_graph_computes_what_the_module_does() -> None:
    assert torch.allclose(outputs(PROGRAM, x=X)[0], NET(X), atol=1e-6)
    assert [one.name for one in PROGRAM.graph.arguments if one.role == "data"] == ["x"]
    assert set(PROGRAM.weights) <= {*NET.state_dict()}
    assert "norm.num_batches_tracked" not in PROGRAM.weights  # nobody reads it


def test_operations_say_where_they_come_from() -> None:
    places = {one.short: one.location for one in PROGRAM.graph.operations}
    assert places["max_pool2d"].startswith("nets.py:")
    assert {one.location.split()[0] for one in PROGRAM.graph.operations if one.short == "linear"} == {"hidden", "head"}


def test_a_training_step_returns_the_weights_that_torch_does() -> None:
    want = STEP(WEIGHTS, *DATA)
    found = outputs(TRAINING, data0=DATA[0], data1=DATA[1])
    for output, tensor in zip(TRAINING.graph.outputs, found, strict=True):
        assert torch.allclose(tensor, want[output.name], atol=1e-6)


def test_the_learning_rate_is_one_constant() -> None:
    rates = [one for one in TRAINING.graph.operations if one.constant == 0.125]
    assert len(rates) == len(WEIGHTS)
    frozen = outputs(TRAINING, [Constant(rates[0].uid, 0.0, everywhere=True)], data0=DATA[0], data1=DATA[1])
    for output, tensor in zip(TRAINING.graph.outputs, frozen, strict=True):
        assert torch.equal(tensor, WEIGHTS[output.name])


def test_the_compiler_s_work_is_done_before_the_search() -> None:
    class Wasteful(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x * 1.0).clone().exp() + x.exp() / 1.0 + 0 * x.sin().cos().detach()[:0].sum()

    program = AtenProgram.from_module(Wasteful(), (torch.ones(3),))
    names = [one.short for one in program.graph.operations]
    assert names.count("exp") == 1
    assert "clone" not in names
    assert "div.Tensor" not in names


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from(["inference", "training"]))
def test_mutants_run_and_return_the_types_of_the_original(seed: int, which: str) -> None:
    program = PROGRAM if which == "inference" else TRAINING
    data = {"x": X} if which == "inference" else {"data0": DATA[0], "data1": DATA[1]}
    space, generator = EditSpace(program.graph), np.random.default_rng(seed)
    point = space.mutate(generator, space.sample(generator, 1))
    found = outputs(program, space.edits(point), **data)
    for output, tensor in zip(program.graph.outputs, found, strict=True):
        assert tuple(tensor.shape) == output.type.shape
        assert tensor.dtype == torch.float32


def test_passing_by_an_operation_is_what_the_module_without_it_does() -> None:
    net = mlp()
    x = torch.randn(5, 64)
    program = AtenProgram.from_module(net, (x,))
    relu = next(one for one in program.graph.operations if one.short == "relu")
    found = outputs(program, [Delete(relu.uid, (relu.operands[0],))], input=x)[0]
    without = torch.nn.Sequential(net[0], net[2])  # type: ignore[index]
    assert torch.allclose(found, without(x), atol=1e-6)


def test_a_gone_target_is_refused() -> None:
    with pytest.raises(Refused, match="#99 is gone"):
        PROGRAM.realise([Delete(99, (pack(0, 0),))])


def test_saved_programs_come_back(tmp_path: Path) -> None:
    for program in (PROGRAM, TRAINING):
        program.save(tmp_path / "p")
        again = load_program(tmp_path / "p")
        assert again.graph == program.graph
        assert again.fingerprint == program.fingerprint
        assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["graph.json", "weights.npz"]
    assert PROGRAM.fingerprint != TRAINING.fingerprint


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("aten.relu.default", "aten.from_file.default", "reaches outside"),
        ("aten.relu.default", "aten.relu_.default", "changes its operands"),
        ("aten.relu.default", "aten.nonsense.default", "no operator"),
        ("aten.relu.default", "os.system.default", "no operator"),
        ('"f32"', '"f31"', "weight"),
        ('"uid": 0', '"uid": "zero"', "Expected `int`"),
        ('"uid": 2', '"uid": 3', "equal uids"),
        ("2048", "99328", "before it is computed"),
        ("[4,256]", "[4,", "differs from the one"),
        ('"schema_version"', '"skema_version"', "unknown field"),
        ('"name": "x"', '"name": "z"', "differs from the one that was saved"),
    ],
)  # fmt: skip
def test_files_that_were_changed_are_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    PROGRAM.save(tmp_path)
    path = tmp_path / "graph.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    if "operator" in reason or "outside" in reason or "operands" in reason:  # as someone would who knows the digest
        path.write_text(_signed(path))
    with pytest.raises(DataError, match=reason):
        load_program(tmp_path)


def _signed(path: Path) -> str:
    import msgspec

    from codesign.search.mlir.graph import Graph
    from codesign.search.mlir.programs import program

    stored = json.loads(path.read_text())
    graph = msgspec.convert(stored["graph"], Graph)
    stored["fingerprint"] = program.fingerprint(graph, program.read_arrays(path.parent / "weights.npz"))
    return json.dumps(stored)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"graph\.json is missing"):
        load_program(tmp_path)
    PROGRAM.save(tmp_path)
    (tmp_path / "weights.npz").write_bytes(b"no arrays")
    with pytest.raises(DataError, match="not a file of arrays"):
        load_program(tmp_path)
    objects: Any = {"first.weight": np.array([{}], dtype=object)}
    np.savez(tmp_path / "weights.npz", **objects)
    with pytest.raises(DataError, match="not a file of arrays"):
        load_program(tmp_path)
    held = dict(PROGRAM.weights)
    held.pop("head.bias")
    np.savez(tmp_path / "weights.npz", **held)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"'head\.bias' is missing"):
        load_program(tmp_path)


class Branching(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.sum() > 0 else x - 1


class Counting(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[x > 0].exp()


class Picking(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nonzero(x).float()


def test_modules_that_cannot_be_traced_say_where() -> None:
    with pytest.raises(UsageError, match=r"control flow depends on data at test_aten_programs\.py:\d+"):
        AtenProgram.from_module(Branching(), (torch.ones(3),), "branching")
    for module in (Counting(), Picking()):
        with pytest.raises(UsageError, match=r"depends on data|shape that depends on data"):
            AtenProgram.from_module(module, (torch.ones(3),), "counting")
    with pytest.raises(UsageError, match=r"conv net: tracing raised .*"):
        AtenProgram.from_module(NET, (torch.ones(4, 3, 8, 8),), "conv net")


def test_steps_that_are_none() -> None:
    with pytest.raises(UsageError, match=r"returned Tensor.*expected the new weights"):
        AtenProgram.from_training_step(lambda held, x, y: x, WEIGHTS, DATA)
    with pytest.raises(UsageError, match=r"returned 0\.weight .*expected"):
        AtenProgram.from_training_step(lambda held, x, y: {"0.weight": held["0.weight"]}, WEIGHTS, DATA)

    def branching(held: Any, x: torch.Tensor, y: torch.Tensor) -> Any:
        return dict(held) if x.sum() > 0 else {name: 2 * one for name, one in held.items()}

    with pytest.raises(UsageError, match="control flow depends on data"):
        AtenProgram.from_training_step(branching, WEIGHTS, DATA)


def test_weights_that_no_array_holds() -> None:
    with pytest.raises(UsageError, match=r"0\.weight is torch\.bfloat16"):
        AtenProgram.from_module(mlp().to(torch.bfloat16), (torch.ones(2, 64, dtype=torch.bfloat16),))
