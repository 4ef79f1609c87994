"""StableHLO programs: XLA computes what torch does, mutants verify and mean what the graph says, bad input is named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import DataError, EnvironmentLacks, UsageError
from codesign.search.mlir.edits import Constant, Delete
from codesign.search.mlir.graph import Graph, Refused, renumbered
from codesign.search.mlir.prepare import prepare
from codesign.search.mlir.programs import StableHloProgram, load_program
from codesign.search.mlir.settings import ProgramSpec
from codesign.search.mlir.space import EditSpace
from codesign.search.mlir.stablehlo_text import write
from tests.search.mlir.nets import by_hand, conv_net, inputs, mlp, training_step

pytest.importorskip("torch_mlir", reason="torch-mlir is not installed (codesign[mlir])")

NET, X = conv_net()
STEP, WEIGHTS, DATA = training_step()


@pytest.fixture(scope="module")
def program() -> StableHloProgram:
    return StableHloProgram.from_module(NET, (X,), "conv net")


@pytest.fixture(scope="module")
def training() -> StableHloProgram:
    return StableHloProgram.from_training_step(STEP, WEIGHTS, DATA)


def xla(text: str, arguments: list[np.ndarray]) -> list[np.ndarray]:
    """Return what XLA computes of a module."""
    jax = pytest.importorskip("jax", reason="jax is not installed (codesign[mlir])")
    from jax._src import compiler
    from jaxlib import _jax

    device = jax.devices("cpu")[0]
    options = compiler.get_compile_options(1, 1)
    compiled = device.client.compile_and_load(text.encode(), _jax.DeviceList((device,)), options)
    with jax.enable_x64(True):  # otherwise labels of 64 bits are cut to 32
        held = [jax.device_put(one, device) for one in arguments]
    return [np.asarray(one) for one in compiled.execute(held)]


def read_back(text: str, like: Graph) -> Graph:
    """Return the graph of a module that was written, as a reader of the text sees it."""
    from codesign.search.mlir.programs import mlir_modules

    names = [(one.name, one.role) for one in like.arguments]
    return mlir_modules.graph_of(mlir_modules.parse(text), "text", names)


def test_xla_computes_what_the_module_does(program: StableHloProgram) -> None:
    found = xla(program.realise().text, inputs(program, x=X))[0]
    assert np.allclose(found, NET(X).detach().numpy(), atol=1e-5)
    assert "dense_resource" not in program.realise().text
    assert "arith." not in program.realise().text


def test_xla_computes_what_the_training_step_does(training: StableHloProgram) -> None:
    want = STEP(WEIGHTS, *DATA)
    for found, output in zip(
        xla(training.realise().text, inputs(training, data0=DATA[0], data1=DATA[1])),
        training.graph.outputs,
        strict=True,
    ):
        assert np.allclose(found, want[output.name].numpy(), atol=1e-6)


def test_a_learning_rate_of_zero_leaves_the_weights(training: StableHloProgram) -> None:
    rates = [one for one in training.graph.operations if one.constant == 0.125]
    assert len(rates) == len(WEIGHTS)
    text = training.realise([Constant(rates[0].uid, 0.0, everywhere=True)]).text
    for found, output in zip(
        xla(text, inputs(training, data0=DATA[0], data1=DATA[1])), training.graph.outputs, strict=True
    ):
        assert np.array_equal(found, WEIGHTS[output.name].numpy())


def test_what_the_compiler_does_for_free_is_gone(program: StableHloProgram) -> None:
    constants = {one.uid: one.constant for one in program.graph.operations if one.short == "constant"}
    for one in program.graph.operations:
        read = [constants.get(value // 1024) for value in one.operands if value >= 0]
        assert not (one.short == "multiply" and 1.0 in read), one
        assert not (one.short == "add" and 0.0 in read), one
    keys = [(one.name, one.operands, one.text, one.constant, one.results) for one in program.graph.operations]
    assert len(set(keys)) == len(keys)
    assert len(program.graph.operations) < 50  # the importer writes 75


def test_operations_say_where_they_come_from(program: StableHloProgram) -> None:
    places = {one.short: one.location for one in program.graph.operations}
    assert places["reduce_window"].startswith("nets.py:")
    assert {one.location.split()[0] for one in program.graph.operations if one.short == "dot_general"} == {
        "hidden",
        "head",
    }


def test_a_module_of_the_library_is_named_by_its_path() -> None:
    program = StableHloProgram.from_module(mlp(), (torch.ones(2, 64),))
    assert {one.location for one in program.graph.operations if one.short == "dot_general"} == {"0", "2"}


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 6), st.sampled_from(["inference", "training"]))
def test_mutants_verify_and_read_back_as_the_graph_they_were_written_from(
    program: StableHloProgram, training: StableHloProgram, seed: int, turns: int, which: str
) -> None:
    base = program if which == "inference" else training
    space, generator = EditSpace(base.graph), np.random.default_rng(seed)
    point = space.sample(generator, 1)
    for _ in range(turns):
        point = space.mutate(generator, point)
    made = base.realise(space.edits(point))
    assert renumbered(_unnamed(read_back(made.text, made.graph))) == renumbered(_unnamed(made.graph))


def _unnamed(graph: Graph) -> Graph:
    ends = tuple(one.__class__(one.value, one.type) for one in graph.outputs)
    return Graph(graph.dialect, graph.arguments, graph.operations, ends)


def test_nearly_every_proposal_is_valid(program: StableHloProgram) -> None:
    from codesign.search.mlir.propose import Proposals

    generator = np.random.default_rng(0)
    proposals = Proposals(program.graph, ())
    found = [proposals.one(generator) for _ in range(300)]
    for edit in found:
        if edit is not None:
            program.realise([edit])
    assert sum(edit is not None for edit in found) >= 285


def test_xla_computes_what_a_mutant_means() -> None:
    """The hand-made graph and its mutants, against their meaning in NumPy."""
    from tests.search.mlir.nets import run

    graph = by_hand()
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    bias = np.random.default_rng(1).normal(size=4).astype(np.float32)
    base = StableHloProgram(graph, {"bias": bias})
    space = EditSpace(graph)
    points = space.mutate(np.random.default_rng(1), space.sample(np.random.default_rng(0), 12))
    for point in points:
        made = base.realise(space.edits(point))
        want = run(made.graph, {"x": x, "bias": bias})
        for found, expected in zip(xla(made.text, [x, bias]), want, strict=True):
            assert np.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_saved_programs_come_back(program: StableHloProgram, training: StableHloProgram, tmp_path: Path) -> None:
    for one in (program, training):
        one.save(tmp_path)
        again = load_program(tmp_path)
        assert again.graph == one.graph
        assert again.fingerprint == one.fingerprint
        assert again.realise() == one.realise()
    assert "func.func @main" in (tmp_path / "program.mlir").read_text()


class Everything(torch.nn.Module):
    """An embedding, attention, both norms, GELU: what small language models are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(20, 8)
        self.layer = torch.nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
        self.norm = torch.nn.GroupNorm(2, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(self.layer(self.embedding(tokens))).softmax(-1)
        return out


def test_a_transformer_runs_on_xla_and_its_mutants_verify() -> None:
    torch.manual_seed(0)
    net, tokens = Everything().eval(), torch.randint(0, 20, (2, 4))
    program = StableHloProgram.from_module(net, (tokens,))
    arguments = inputs(program, tokens=tokens)
    assert np.allclose(xla(program.realise().text, arguments)[0], net(tokens).detach().numpy(), atol=1e-5)
    space, generator = EditSpace(program.graph), np.random.default_rng(0)
    for point in space.mutate(generator, space.sample(generator, 10)):
        made = program.realise(space.edits(point))
        assert made.graph.outputs[0].type.shape == (2, 4, 8)


# --- text files -----------------------------------------------------------------------------------------------------

TEXT = """
module @jit_f {
  func.func public @main(%arg0: tensor<2x3xf32>, %arg1: tensor<3xf32>) -> (tensor<2x3xf32> {jax.result_info = "y"}) {
    %c = arith.constant dense<2.5> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %arg1, dims = [1] : (tensor<3xf32>) -> tensor<2x3xf32>
    %1 = func.call @scale(%arg0, %c) : (tensor<2x3xf32>, tensor<f32>) -> tensor<2x3xf32>
    %2 = stablehlo.add %1, %0 : tensor<2x3xf32>
    return %2 : tensor<2x3xf32>
  }
  func.func private @scale(%arg0: tensor<2x3xf32>, %arg1: tensor<f32>) -> tensor<2x3xf32> {
    %0 = stablehlo.broadcast_in_dim %arg1, dims = [] : (tensor<f32>) -> tensor<2x3xf32>
    %1 = stablehlo.multiply %arg0, %0 : tensor<2x3xf32>
    return %1 : tensor<2x3xf32>
  }
}
"""


def written(folder: Path, text: str = TEXT, **weights: Any) -> StableHloProgram:
    (folder / "f.mlir").write_text(text)
    np.savez(folder / "w.npz", **weights)
    return StableHloProgram.from_text(folder / "f.mlir", folder / "w.npz" if weights else None)


def test_a_text_file_is_a_program(tmp_path: Path) -> None:
    bias = np.arange(3, dtype=np.float32)
    program = written(tmp_path, arg1=bias)
    assert [(one.name, one.role) for one in program.graph.arguments] == [("arg0", "data"), ("arg1", "weight")]
    x = np.ones((2, 3), np.float32)
    assert np.allclose(xla(program.realise().text, [x, bias])[0], 2.5 * x + bias)
    factor = next(one for one in program.graph.operations if one.constant == 2.5)
    mutant = program.realise([Constant(factor.uid, 4.0)])
    assert np.allclose(xla(mutant.text, [x, bias])[0], 4.0 * x + bias)
    assert [one.role for one in written(tmp_path).graph.arguments] == ["data", "data"]


def test_an_exported_mutant_is_a_text_file_that_computes_the_same(program: StableHloProgram, tmp_path: Path) -> None:
    relu = next(one for one in program.graph.operations if one.short == "maximum")
    edits = [Delete(relu.uid, (relu.operands[0],))]
    program.export(tmp_path, edits)
    again = StableHloProgram.from_text(tmp_path / "program.mlir", tmp_path / "weights.npz")
    x = next(one.name for one in again.graph.arguments if one.role == "data")
    found = xla(again.realise().text, inputs(again, **{x: X}))[0]
    assert np.allclose(found, xla(program.realise(edits).text, inputs(program, x=X))[0], atol=1e-6)


def test_regions_may_read_values_from_outside(tmp_path: Path) -> None:
    text = """
func.func @main(%arg0: tensor<f32>, %arg1: tensor<i1>) -> tensor<f32> {
  %0 = stablehlo.exponential %arg0 : tensor<f32>
  %1 = stablehlo.sine %arg0 : tensor<f32>
  %2 = "stablehlo.if"(%arg1) ({
    %3 = stablehlo.negate %0 : tensor<f32>
    stablehlo.return %3 : tensor<f32>
  }, {
    stablehlo.return %1 : tensor<f32>
  }) : (tensor<i1>) -> tensor<f32>
  return %2 : tensor<f32>
}
"""
    program = written(tmp_path, text)
    branch = next(one for one in program.graph.operations if one.short == "if")
    assert len(branch.operands) == 3
    x, yes = np.float32(0.5), np.array(True)
    arguments = [np.asarray(x), yes]
    assert np.allclose(xla(program.realise().text, arguments)[0], -np.exp(x))
    exponential = next(one for one in program.graph.operations if one.short == "exponential")
    assert np.allclose(xla(program.realise([Delete(exponential.uid, (-1,))]).text, arguments)[0], -x)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("func.func @main(", r"f\.mlir: not a StableHLO program: .*line"),
        ("", "expected one function"),
        (TEXT.replace("tensor<2x3xf32> {jax", "tensor<3x2xf32> {jax"), "not a StableHLO program"),
        (TEXT.replace("2x3xf32", "?x3xf32").replace("public @main", "@main"), "not a StableHLO program|dynamic"),
        ("func.func @main(%arg0: tensor<?xf32>) -> tensor<?xf32> { return %arg0 : tensor<?xf32> }", "shape is dynamic"),
        ("func.func @main(%arg0: f32) -> f32 { return %arg0 : f32 }", "not a tensor"),
        ("func.func @a(%arg0: tensor<f32>) { return }\nfunc.func @b(%arg0: tensor<f32>) { return }", "one function"),
        (
            "func.func @main(%arg0: tensor<f32>) -> tensor<f32> {\n"
            "%0 = math.exp %arg0 : tensor<f32>\nreturn %0 : tensor<f32> }",
            r"math\.exp|not a StableHLO program",
        ),
    ],
)  # fmt: skip
def test_files_that_are_no_program(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        written(tmp_path, text)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ({"arg1": np.zeros(4, np.float32)}, r"w\.npz: weight 'arg1' is float32\[4\].*takes float32\[3\]"),
        ({"arg1": np.zeros(3)}, r"is float64\[3\].*takes float32\[3\]"),
        ({"bias": np.zeros(3, np.float32)}, "no argument 'bias'.*arg0, arg1"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit(tmp_path: Path, weights: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        written(tmp_path, **weights)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.mlir"):
        StableHloProgram.from_text(tmp_path / "none.mlir")
    (tmp_path / "f.mlir").write_text(TEXT)
    with pytest.raises(DataError, match=r"w\.npz is missing"):
        StableHloProgram.from_text(tmp_path / "f.mlir", tmp_path / "w.npz")


# --- modules that cannot be lowered ---------------------------------------------------------------------------------


class Decomposing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.linalg.svd(x)[1] + 1
        return out


def test_an_operator_that_cannot_be_lowered_is_named_with_its_place() -> None:
    with pytest.raises(UsageError, match=r"torch-mlir cannot lower aten\.\w*svd.* at test_stablehlo_programs\.py:\d+"):
        StableHloProgram.from_module(Decomposing(), (torch.ones(3, 3),), "svd")


def test_an_operator_of_which_the_message_says_nothing_is_found() -> None:
    """Here torch-mlir only complains of a constant that the operator left behind."""
    with pytest.raises(UsageError, match=r"cannot lower aten\.max_pool2d_with_indices_backward\.default to StableHLO"):
        prepare(ProgramSpec(model="digits-cnn-train", backend="xla"))


def test_control_flow_on_data_is_named_with_its_place() -> None:
    class Branching(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1 if x.sum() > 0 else x - 1

    with pytest.raises(UsageError, match=r"control flow depends on data at test_stablehlo_programs\.py:\d+"):
        StableHloProgram.from_module(Branching(), (torch.ones(3),))


def test_a_mutant_that_does_not_verify_is_refused() -> None:
    graph = by_hand()
    wrong = graph.operations[2].__class__(
        2, "stablehlo.dot_general", (-1, 1024), graph.operations[2].wants, graph.operations[2].results, "<{}>"
    )
    broken = Graph("stablehlo", graph.arguments, (*graph.operations[:2], wrong, *graph.operations[3:]), graph.outputs)
    with pytest.raises(Refused, match=r"dot_dimension_numbers|dot_general"):
        StableHloProgram(broken, {"bias": np.zeros(4, np.float32)}).realise()
    assert "dot_general" in write(broken)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_mlir", None)
    with pytest.raises(EnvironmentLacks, match=r"pip install 'codesign\[mlir\]'"):
        StableHloProgram.from_module(NET, (X,))
