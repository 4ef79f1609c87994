"""What every back end must do: run, keep types, refuse, report costs, tell equal code from other code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.errors import EnvironmentLacks, UsageError
from codesign.search.mlir.asked import search_programs
from codesign.search.mlir.backends import xla
from codesign.search.mlir.backends.protocol import Backend, output_digest, run
from codesign.search.mlir.backends.registry import BACKENDS, make_backend
from codesign.search.mlir.graph import Refused

TEXT = """
module { func.func @main(%x: tensor<4x3xf32>, %w: tensor<3x2xf32>, %n: tensor<2xi64>)
    -> (tensor<4x2xf32>, tensor<2xi64>) {
  %scale = stablehlo.constant dense<SCALE> : tensor<4x2xf32>
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0]
    : (tensor<4x3xf32>, tensor<3x2xf32>) -> tensor<4x2xf32>
  %1 = stablehlo.multiply %0, %scale : tensor<4x2xf32>
  %2 = stablehlo.add %n, %n : tensor<2xi64>
  return %1, %2 : tensor<4x2xf32>, tensor<2xi64>
} }
"""
X = np.arange(12, dtype=np.float32).reshape(4, 3)
W = np.linspace(-1.0, 1.0, 6, dtype=np.float32).reshape(3, 2)
N = np.array([1, 2**40], np.int64)


def program(backend: Backend, scale: float, rows: int = 4) -> Any:
    """Return scale * x @ w and n + n in the dialect of a back end."""
    if backend.dialect == "stablehlo":
        return TEXT.replace("SCALE", f"{scale:.1f}").replace("tensor<4x", f"tensor<{rows}x")
    import torch

    class Module(torch.nn.Module):
        def forward(self, x: torch.Tensor, w: torch.Tensor, n: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.mm(x, w) * scale, n + n

    arrays = tuple(map(torch.from_numpy, (np.zeros((rows, 3), np.float32), W, N)))
    return torch.export.export(Module(), arrays).run_decompositions({}).graph_module


@pytest.fixture(params=sorted(BACKENDS), scope="module")
def backend(request: pytest.FixtureRequest) -> Backend:
    try:
        return make_backend(request.param)
    except EnvironmentLacks as error:
        pytest.skip(f"{error.message}: {error.hint}")


def test_it_computes_what_numpy_computes(backend: Backend) -> None:
    executable = backend.compile(program(backend, 2.0))
    first, second = run(executable, [X, W, N])
    assert np.allclose(first, 2.0 * X @ W, rtol=1e-6)
    assert first.dtype == np.float32
    assert second.dtype == np.int64  # 64-bit integers keep their width
    assert second.tolist() == [2, 2**41]


def test_the_same_inputs_give_the_same_bits(backend: Backend) -> None:
    executable, again = (backend.compile(program(backend, 2.0)) for _ in range(2))
    loaded = executable.load([X, W, N])
    digests = {output_digest(executable.fetch(executable.call(loaded))) for _ in range(3)}
    digests.add(output_digest(run(again, [X, W, N])))
    assert len(digests) == 1


def test_what_is_loaded_serves_another_program(backend: Backend) -> None:
    first, second = (backend.compile(program(backend, scale)) for scale in (2.0, 4.0))
    loaded = first.load([X, W, N])
    doubled = second.fetch(second.call(loaded))[0]
    assert np.allclose(doubled, 2.0 * first.fetch(first.call(loaded))[0], rtol=1e-6)


def test_outputs_can_be_fed_back_as_inputs(backend: Backend) -> None:
    executable = backend.compile(program(backend, 2.0))
    x, w, n = executable.load([X, W, N])
    for _ in range(3):
        _, n = executable.call([x, w, n])
    assert executable.fetch([n])[0].tolist() == [8, 2**43]


def test_what_was_fetched_stays(backend: Backend) -> None:
    many = np.tile(X, (32, 1))
    executable = backend.compile(program(backend, 2.0, len(many)))
    loaded = [executable.load([many + shift, W, N]) for shift in range(8)]
    kept = [executable.fetch(executable.call(arguments)[:1])[0][:100] for arguments in loaded]
    many = many[:100]
    for shift, found in enumerate(kept):
        assert np.allclose(found, 2.0 * (many + shift) @ W, rtol=1e-5, atol=1e-5)


def test_equal_code_has_equal_digests(backend: Backend) -> None:
    a, b, other = (backend.compile(program(backend, scale)).digest for scale in (2.0, 2.0, 4.0))
    assert a == b
    assert not a or a != other


def test_wrong_arguments_are_refused(backend: Backend) -> None:
    executable = backend.compile(program(backend, 2.0))
    with pytest.raises(Refused):
        executable.call(executable.load([X, W]))


def test_costs_are_those_of_the_program(backend: Backend) -> None:
    executable = backend.compile(program(backend, 2.0))
    run(executable, [X, W, N])
    costs = executable.costs
    if backend.name == "iree":
        assert costs.flops is None
        return
    assert costs.flops is not None
    assert costs.flops >= 2 * 4 * 3 * 2  # the product: two FLOP a multiplication
    least = X.nbytes + W.nbytes + 2 * N.nbytes + 4 * 2 * 4
    assert costs.bytes_accessed is not None
    assert costs.bytes_accessed >= least
    assert costs.operations is not None
    assert 1 <= costs.operations <= 4
    assert costs.temporary_bytes is not None


@pytest.mark.parametrize("name", ["xla", "iree"])
def test_text_that_is_no_program_is_refused(name: str) -> None:
    try:
        made = make_backend(name)
    except EnvironmentLacks as error:
        pytest.skip(error.message)
    with pytest.raises(Refused) as caught:
        made.compile("module { func.func @main() { nonsense } }")
    assert "\n" not in caught.value.message


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean torch"):
        make_backend("troch")
    with pytest.raises(UsageError, match="unknown device"):
        make_backend("xla", "cdua")


@pytest.mark.parametrize(("name", "module", "extra"), [("xla", "jaxlib", "mlir"), ("iree", "iree.compiler", "iree")])
def test_a_missing_package_names_its_extra(name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EnvironmentLacks) as caught:
        make_backend(name)
    assert f"codesign[{extra}]" in caught.value.hint


def test_a_missing_package_is_told_before_a_run_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jaxlib", None)
    with pytest.raises(EnvironmentLacks, match="the back end xla needs jaxlib"):
        search_programs({"model": "digits-mlp"}, evaluations=4, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_jaxlib_without_the_private_calls_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jaxlib", reason="needs codesign[mlir]")

    def compile_like_another_version(self: object, realised: object) -> None:
        raise AttributeError("no attribute compile_and_load")

    monkeypatch.setattr(xla.XlaBackend, "compile", compile_like_another_version)
    with pytest.raises(EnvironmentLacks) as caught:
        make_backend("xla")
    assert "compile_and_load" in caught.value.message
    assert xla.TESTED in caught.value.hint


def test_launched_counts_fusions_once() -> None:
    text = """HloModule main

%fused (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  ROOT %m = f32[2]{0} multiply(%p, %p)
}

ENTRY %main.1 (Arg_0.1: f32[2]) -> (f32[2], s64[2]) {
  %Arg_0.1 = f32[2]{0} parameter(0)
  %constant.1 = f32[] constant(1)
  %fusion = f32[2]{0} fusion(%Arg_0.1), kind=kLoop, calls=%fused
  %sort = (f32[2]{0}, s32[2]{0}) sort(%fusion, %fusion), dimensions={0}
  %part = f32[2]{0} get-tuple-element(%sort), index=0
  ROOT %tuple = (f32[2]{0}, s64[2]{0}) tuple(%part, %fusion)
}

"""
    assert xla.launched(text) == 2
