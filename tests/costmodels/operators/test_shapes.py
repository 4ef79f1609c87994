"""Groups of a workload as operators: the same FLOP and bytes, whatever the ranks are called."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.operators.device import Columns, device_of
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.physics import Work
from codesign.costmodels.operators.shape_limits import faults
from codesign.costmodels.operators.shapes import Shape, form_of, shapes_of
from codesign.costmodels.operators.vector_kinds import BINARY, UNARY
from codesign.costmodels.work import phase_work
from codesign.models import load_model
from codesign.targets import load_target
from codesign.workload.einsum import Axis, Compute, Einsum, Role, Tensor, axes, tensor, vector
from codesign.workload.graph import Group

H100 = device_of(load_target("h100-sxm"))
EXTENT = st.integers(1, 4096)


def work(shape: Shape) -> Work:
    sizes = {name: np.atleast_1d(np.asarray(size, np.float64)) for name, size in shape.sizes.items()}
    assert sizes.keys() == FAMILIES[shape.family].shape.keys(), "every column of the family, and no other"
    assert not list(faults(shape.family, sizes)), "an operator that there is"
    return FAMILIES[shape.family].work(sizes, Columns.single(H100, shape.form))


@st.composite
def products(draw: st.DrawFn) -> tuple[Group, dict[str, int]]:
    """Draw a product with up to two ranks of each kind, in any order, under any names."""
    names = iter(draw(st.permutations("abcdefgh")))
    ranks: dict[str, dict[str, int]] = {}
    for kind, most in (("batch", 2), ("m", 2), ("n", 2), ("k", 2)):
        least = 0 if kind == "batch" else 1
        ranks[kind] = {next(names): draw(st.integers(1, 64)) for _ in range(draw(st.integers(least, most)))}

    def shuffled(*kinds: str) -> str:
        return " ".join(draw(st.permutations([rank for kind in kinds for rank in ranks[kind]])))

    first = tensor("x", shuffled("batch", "m", "k"))
    second = tensor("w", shuffled("batch", "k", "n"), Role.WEIGHT)
    output = tensor("y", shuffled("batch", "m", "n"))
    every = {rank: extent for kind in ranks.values() for rank, extent in kind.items()}
    sizes = {kind: prod(extents.values(), start=1) for kind, extents in ranks.items()}
    return Group("product", (Einsum("product", every, (first, second), output),), "gemm"), sizes


@given(drawn=products())
@settings(max_examples=60)
def test_a_product_is_told_by_its_ranks(drawn: tuple[Group, dict[str, int]]) -> None:
    group, sizes = drawn
    (shape,) = shapes_of(group)
    assert (shape.family, shape.form.name) == ("gemm", "bf16")
    assert dict(shape.sizes) == sizes
    assert work(shape).flops[0] == group.flops()
    assert work(shape).bytes[0] == group.traffic()


@given(m=EXTENT, k=EXTENT, n=st.lists(EXTENT, min_size=1, max_size=4))
@settings(max_examples=30)
def test_products_that_share_their_input_run_as_one(m: int, k: int, n: list[int]) -> None:
    ops = tuple(
        Einsum(f"p{at}", {"m": m, "k": k, "n": columns},
               (tensor("x", "m k"), tensor(f"w{at}", "k n", Role.WEIGHT)), tensor(f"y{at}", "m n"))
        for at, columns in enumerate(n)
    )  # fmt: skip
    group = Group("qkv", ops, "gemm")
    (shape,) = shapes_of(group)
    assert shape.sizes == {"batch": 1, "m": m, "k": k, "n": sum(n)}
    assert (work(shape).flops[0], work(shape).bytes[0]) == (group.flops(), group.traffic())
    apart = tuple(Einsum(op.name, op.ranks, (tensor(f"x{op.name}", "m k"), op.inputs[1]), op.output) for op in ops)
    assert len(shapes_of(Group("apart", apart, "gemm"))) == len(n)


@given(
    batch=st.integers(1, 64), kv=st.integers(1, 16), share=st.integers(1, 8), width=st.integers(16, 256),
    new=st.integers(1, 2048), cached=st.integers(0, 8192), decode=st.booleans(),
)  # fmt: skip
@settings(max_examples=60)
def test_attention_does_the_work_of_its_causal_mask(
    batch: int, kv: int, share: int, width: int, new: int, cached: int, decode: bool
) -> None:
    new, seen = (1, max(cached, 1)) if decode else (new, new + cached)
    pairs = seen if decode else new * cached + new * (new + 1) // 2
    ranks = {"b": batch, "s": new, "c": seen, "kv": kv, "g": share, "k": width}
    query, keys = tensor("q", "b s kv g k"), tensor("keys", "b c kv k", Role.KV)
    scores, mixed = tensor("scores", "b kv g s c"), tensor("mixed", "b s kv g k")
    ops = (
        Einsum("scores", ranks, (query, keys), scores, density=pairs / (new * seen)),
        Einsum("values", ranks, (scores, tensor("values", "b c kv k", Role.KV)), mixed, density=pairs / (new * seen)),
    )
    group = Group("attention", ops, "attention_decode" if decode else "attention_prefill")
    (shape,) = shapes_of(group)
    assert shape.family == ("decode" if decode else "prefill")
    assert work(shape).flops[0] == pytest.approx(group.flops(), rel=1e-12)
    assert work(shape).bytes[0] == pytest.approx(group.traffic(frozenset({"scores"})), rel=1e-12)


@given(
    batch=st.integers(1, 32), inputs=st.integers(1, 512), outputs=st.integers(1, 512), size=st.integers(7, 64),
    kernel=st.sampled_from([1, 3, 5, 7]), stride=st.integers(1, 2), padding=st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=40)
def test_a_convolution_is_its_window(
    batch: int, inputs: int, outputs: int, size: int, kernel: int, stride: int, padding: int
) -> None:
    side = (size + 2 * padding - kernel) // stride + 1
    ranks = {"b": batch, "i": inputs, "o": outputs, "y": side, "x": side, "r": kernel, "t": kernel}
    windows = tuple(Axis(((out, stride), (tap, 1)), -padding, size) for out, tap in (("y", "r"), ("x", "t")))
    image = Tensor("image", (*axes("b i"), *windows))
    op = Einsum("conv", ranks, (image, tensor("w", "o i r t", Role.WEIGHT)), tensor("out", "b o y x"))
    (shape,) = shapes_of(Group("conv", (op,), "conv"))
    assert shape.sizes == {"batch": batch, "inputs": inputs, "outputs": outputs, "size": size, "kernel": kernel,
                           "stride": stride, "padding": padding}  # fmt: skip
    assert work(shape).flops[0] == op.flops()


@given(rows=EXTENT, length=EXTENT, inputs=st.integers(1, 3))
@settings(max_examples=20)
def test_elementwise_work_is_one_pass(rows: int, length: int, inputs: int) -> None:
    given_ = tuple(tensor(f"x{at}", "r l") for at in range(inputs))
    op = Einsum("add", {"r": rows, "l": length}, given_, tensor("y", "r l"), vector(flops=1.0))
    (shape,) = shapes_of(Group("add", (op,)))
    assert dict(shape.sizes) == {"rows": rows, "length": length, "kind": UNARY if inputs == 1 else BINARY}


UNLIKE = {
    "a sum over a rank of one side": ("m k", "n k p", "m n"),
    "a rank that no tensor has": ("m k", "k n", "m n q"),
}


@pytest.mark.parametrize("what", sorted(UNLIKE))
def test_what_is_like_no_measured_operator_has_no_shape(what: str) -> None:
    first, second, output = UNLIKE[what]
    ranks = dict.fromkeys("mknpq", 8)
    used = {rank: ranks[rank] for rank in {*first.split(), *second.split(), *output.split()}}
    op = Einsum("odd", used, (tensor("x", first), tensor("w", second)), tensor("y", output))
    assert shapes_of(Group("odd", (op,), "gemm")) == ()


def test_formats_stand_for_near_bits_only() -> None:
    named = {bits: form_of("bf16", bits) for bits in (16, 8, 8.5, 4.25, 4.5, 2, 12)}
    assert {bits: form and form.name for bits, form in named.items()} == {
        16: "bf16", 8: "int8_wo", 8.5: "int8_wo", 4.25: "int4_wo", 4.5: "int4_wo", 2: None, 12: None,
    }  # fmt: skip
    assert form_of("bf16", np.array([16.0, 16.0])) is form_of("bf16", 16)
    assert form_of("bf16", np.array([16.0, 4.25])) is None
    assert form_of("fp128", 16) is None
    odd = Einsum("odd", {"m": 8, "k": 8, "n": 8}, (tensor("x", "m k"), tensor("w", "k n", bits=12)),
                 tensor("y", "m n"), Compute("tensor", "bf16"))  # fmt: skip
    assert shapes_of(Group("odd", (odd,), "gemm")) == ()


@pytest.mark.parametrize("name", ["llama-3.2-1b", "mixtral-8x7b", "resnet-50", "gpt2"])
def test_products_of_presets_keep_their_work(name: str) -> None:
    """FLOP exactly; bytes of matrix products and attention to biases, which no measured operator reads."""
    looked_at = 0
    for phase in load_model(name).workload(batch=3).phases:
        for group in phase_work(phase).groups:
            flops: Any = sum(np.sum(count) for kind, count in group.compute if kind.unit == "tensor")
            if not flops:
                continue
            assert group.shapes, f"{group.name} is like no operator"
            works = [work_of_points(shape) for shape in group.shapes]
            assert sum(np.sum(one.flops) for one in works) == pytest.approx(flops, rel=1e-9), group.name
            if group.family in ("gemm", "attention_prefill", "attention_decode"):
                moved = np.sum(group.lasting + group.passing)
                assert sum(np.sum(one.bytes) for one in works) == pytest.approx(moved, rel=2e-3), group.name
            looked_at += 1
    assert looked_at >= 5


def work_of_points(shape: Shape) -> Work:
    sizes = {name: np.asarray(size, np.float64) for name, size in shape.sizes.items()}
    return FAMILIES[shape.family].work(sizes, Columns.single(H100, shape.form))
