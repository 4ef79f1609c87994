"""What an eager framework runs as kernels of their own: functions beside a product, not its bias; pages of results."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from codesign.costmodels.factors import COUNT, F
from codesign.costmodels.kernel_models import KernelTime, kernel_times
from codesign.costmodels.machine import machine
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.shapes import Shape
from codesign.costmodels.operators.unfused import FRESH, KEPT, SECONDS_A_FRESH_BYTE, fresh_seconds, unfused
from codesign.costmodels.operators.vector_kinds import BINARY, FUNCTION, NORMALISATION, UNARY
from codesign.costmodels.work import group_work
from codesign.models import load_model
from codesign.quantity import Column
from codesign.targets import OperatorCalibration, Target, load_target
from codesign.testing.synthetic_machine import processor
from codesign.workload.graph import Group, Phase


def phase(name: str, which: str, **sizes: int) -> Phase:
    found: Phase = load_model(name).workload(**sizes).phase(which)
    return found


def group(phase: Phase, name: str) -> Group:
    return next(found for _, found in phase.groups() if found.name == name)


RESNET = phase("resnet-50", "forward", batch=2)
GPT = phase("gpt2", "prefill", batch=1, prompt=16, generate=2)
LLAMA = phase("llama-3.2-1b", "prefill", batch=1, prompt=16, generate=2)


def kinds(found: Group) -> list[float]:
    return [float(shape.sizes["kind"]) for shape in unfused(found.ops, found.family)]


@pytest.mark.parametrize(
    ("phase", "name", "expected"),
    [
        (RESNET, "conv1", [UNARY, UNARY]),  # batch norm, ReLU
        (RESNET, "conv3", [UNARY, BINARY, UNARY]),  # batch norm, residual, ReLU
        (GPT, "qkv", []),  # biases
        (GPT, "up", [FUNCTION]),
        (GPT, "attention", []),
        (GPT, "mlp_norm", [BINARY, NORMALISATION]),
        (LLAMA, "activation", [BINARY, FUNCTION]),
        (LLAMA, "gate_up", []),
    ],
)
def test_kernels_of_a_group(phase: Phase, name: str, expected: list[float]) -> None:
    assert kinds(group(phase, name)) == expected


def test_a_kernel_has_the_size_of_its_largest_tensor() -> None:
    (pool,) = unfused(group(RESNET, "pool").ops, "vector")
    assert pool.sizes["rows"] * pool.sizes["length"] == 2 * 64 * 112 * 112
    (gelu,) = unfused(group(GPT, "up").ops, "gemm")
    assert gelu.sizes["rows"] * gelu.sizes["length"] == 16 * 3072
    assert gelu.form == format_of("fp32")


def test_only_large_results_take_fresh_pages() -> None:
    def made(elements: float) -> float:
        return float(fresh_seconds(Shape("vector", format_of("fp32"), {"rows": 1, "length": elements, "kind": UNARY})))

    a_byte = FRESH * SECONDS_A_FRESH_BYTE
    assert made(KEPT / 4) == 0.0
    assert made(KEPT / 4 + 1) == pytest.approx((KEPT + 4) * a_byte)
    sizes = {"batch": 16, "inputs": 64, "outputs": 256, "size": 56, "kernel": 1, "stride": 1, "padding": 0}
    convolved = fresh_seconds(Shape("convolution", format_of("fp32"), sizes))
    assert float(convolved) == pytest.approx(4.0 * 16 * 256 * 56**2 * a_byte), "libraries use their copies again"
    several = fresh_seconds(Shape("gemm", format_of("fp32"), {"batch": 1, "m": np.array([1, 2**14]), "n": 768, "k": 9}))
    assert several.tolist() == [0.0, pytest.approx(4.0 * 2**14 * 768 * a_byte)]


def calibrated() -> Target:
    names = ("gemm-cpu", "convolution-cpu", "prefill-cpu", "decode-cpu", "vector-cpu")
    entries = tuple(OperatorCalibration(name, (0.0,) * 4, 0.0, 0.2, 9, "a test") for name in names)
    return msgspec.structs.replace(processor(), operators=entries)


def seconds(found: Group, target: Target, execution: str) -> float:
    (time,) = kernel_times([group_work(found, 1, RESNET.internal())], machine(target), execution)
    assert isinstance(time, KernelTime)
    return float(np.asarray(time.seconds))


def test_a_processor_runs_them_eagerly_and_fuses_them_otherwise() -> None:
    target = calibrated()
    conv = group(RESNET, "conv3")
    fused, eager = (seconds(conv, target, execution) for execution in ("compiled", "eager"))
    passes = sum(shape.sizes["rows"] * shape.sizes["length"] * 4.0 for shape in unfused(conv.ops, "conv"))
    assert eager > fused + passes / (2.0 * target.memory_bandwidth * 64)
    bare = msgspec.structs.replace(conv, ops=conv.ops[:1])
    assert seconds(bare, target, "eager") == pytest.approx(seconds(bare, target, "compiled"))


def test_an_accelerator_takes_what_it_takes() -> None:
    works = [group_work(found, 1, frozenset()) for _, found in GPT.groups()]
    eager, graph = (kernel_times(works, machine(load_target("h100-sxm")), how) for how in ("eager", "graph"))
    for one, other in zip(eager, graph, strict=True):
        assert (one is None) == (other is None)
        assert one is None or other is None or float(one.seconds) == float(other.seconds)


def test_launches_of_a_processor_add_to_its_kernels_but_for_their_floors() -> None:
    slopes = np.zeros((COUNT, 1))
    slopes[F.FLOOR], slopes[F.MATRIX] = 2e-3, 5e-3
    device = Column(slopes.sum(axis=0), slopes, np.zeros(1))
    target = calibrated()
    launches = 1000.0
    host = launches * 3.5 * target.host.dispatch.value
    assert host > 2e-3
    alone = machine(target).with_host(device, launches, "eager").value[0]
    assert alone == pytest.approx(5e-3 + host), "floors are part of what launches cost"
    assert machine(target).with_host(device, 1.0, "eager").value[0] == pytest.approx(7e-3)
    other = machine(load_target("h100-sxm")).with_host(device, 1.0, "eager").value[0]
    assert other == pytest.approx(7e-3, rel=1e-6), "an accelerator hides them"
