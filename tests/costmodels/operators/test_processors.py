"""The form of processors: which bytes pass which cache, what is copied, and what never takes less."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.operators import physics, processors
from codesign.costmodels.operators.device import Columns, Device, device_of
from codesign.costmodels.operators.families import FAMILIES, features
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.processors import COPY, PART, PRIORS, passes
from codesign.costmodels.operators.vector_kinds import BINARY, FUNCTION, LOOKUP, NORMALISATION, SOFTMAX, UNARY
from codesign.targets import load_target
from codesign.testing.synthetic_machine import processor

HERE = device_of(processor())
STATED = msgspec.structs.replace(HERE, last_level=50e9)
SHAPES: dict[str, dict[str, float]] = {
    "gemm": {"batch": 1, "m": 256, "n": 1024, "k": 512},
    "convolution": {"batch": 8, "inputs": 64, "outputs": 128, "size": 56, "kernel": 3, "stride": 1, "padding": 1},
    "prefill": {"batch": 2, "heads": 12, "kv_heads": 4, "head_width": 64, "cached": 0, "new": 256, "window": 0,
                "kv_bytes": 4},
    "decode": {"batch": 2, "heads": 12, "kv_heads": 4, "head_width": 64, "cached": 512, "window": 0, "kv_bytes": 4},
    "moe": {"tokens": 64, "hidden": 512, "inter": 1024, "topk": 2, "experts": 8, "tp": 1, "ep": 1, "skew": 1},
    "vector": {"rows": 64, "length": 768, "kind": UNARY},
}  # fmt: skip
BOUNDS = zip(physics.PROCESSOR_LEAST, physics.PROCESSOR_MOST, strict=True)
PARAMETERS = st.tuples(*(st.floats(low, high) for low, high in BOUNDS))


def columns(form: str = "fp32", count: int = 1, device: Device = HERE) -> Columns:
    return Columns.of([device], np.zeros(count, np.int64), [format_of(form)], np.zeros(count, np.int64))


def work(family: str, on: Columns | None = None, /, **changed: Any) -> physics.Work:
    given = {**SHAPES[family], **changed}
    return FAMILIES[family].work(
        {name: np.array([value], np.float64) for name, value in given.items()}, on or columns()
    )


def here(family: str, form: str = "fp32", **changed: Any) -> physics.OnProcessor:
    found = work(family, columns(form), **changed).processor
    assert found is not None
    return found


def every_byte(family: str, form: str = "fp32", **changed: Any) -> float:
    found = here(family, form, **changed)
    return float((found.memory + found.far + found.near)[0])


def test_a_tensor_passes_the_caches_it_fits() -> None:
    on = columns()
    assert HERE.private < HERE.cache
    small, middle, large = (passes(np.array([size]), on, 2.0) for size in (HERE.private, HERE.cache, 4.0 * HERE.cache))
    assert (small.memory[0], small.far[0], small.near[0]) == (0.0, 0.0, 2.0 * HERE.private)
    assert (middle.memory[0], middle.near[0]) == (0.0, pytest.approx(2.0 * HERE.private))
    assert large.memory[0] == pytest.approx(2.0 * 3.0 * HERE.cache)
    for found, size in ((small, HERE.private), (middle, HERE.cache), (large, 4.0 * HERE.cache)):
        assert sum(column[0] for column in found) == pytest.approx(2.0 * size)


def test_products_copy_weights_but_not_for_one_row_on_vector_units() -> None:
    weights = 4.0 * 1024 * 512
    one, two = every_byte("gemm", m=1), every_byte("gemm", m=2)
    assert here("gemm", m=1).memory[0] == weights, "weights come from memory"
    assert two - one == pytest.approx(COPY * weights + 4.0 * (512 + 1024))
    assert every_byte("gemm", "bf16", m=1) == pytest.approx((1.0 + COPY) * weights / 2.0 + 2.0 * (512 + 1024))
    assert here("gemm", batch=12).memory[0] == weights, "batched products multiply what was just made, but for one"
    assert here("gemm", m=2, n=2**16, k=2**12).memory[0] == 4.0 * 2**28, "copies are made in panels that a cache holds"


def test_convolutions_copy_all_their_tensors() -> None:
    image, weights, result = 4.0 * 8 * 64 * 56**2, 4.0 * 64 * 128 * 9, 4.0 * 8 * 128 * 56**2
    assert every_byte("convolution") == pytest.approx(weights + COPY * (image + weights + result))


def test_a_decode_step_reads_again_for_every_head_that_shares() -> None:
    kept = 2.0 * 4.0 * 2 * 4 * 64 * 512
    queries = 2.0 * 4.0 * 2 * 12 * 64
    assert here("decode").memory[0] == pytest.approx(kept)
    assert every_byte("decode") == pytest.approx(kept + 3.0 * kept + queries)


def test_rows_of_a_table_come_from_memory_and_what_is_made_of_them_passes_a_cache() -> None:
    one = 4.0 * 64 * 768
    assert (here("vector", kind=LOOKUP).memory[0], every_byte("vector", kind=LOOKUP)) == (one, 2.0 * one)
    assert (here("vector", kind=UNARY).memory[0], every_byte("vector", kind=UNARY)) == (0.0, 2.0 * one)


@pytest.mark.parametrize("kind", [UNARY, BINARY, SOFTMAX, NORMALISATION])
def test_streams_pass_the_last_level_cache_at_the_rate_that_the_target_states(kind: float) -> None:
    """A second half of what fits the last-level cache alone takes as long as that rate says."""
    on = columns(device=STATED)
    tensors = 3 if kind == BINARY else 2
    rows = [share * HERE.cache / (4.0 * 768 * tensors) for share in (0.5, 1.0)]
    half, full = (work("vector", on, kind=kind, rows=count) for count in rows)
    took = [physics.seconds(np.log(PRIORS["vector"]), one, on)[0] for one in (half, full)]
    assert half.processor is not None
    assert full.processor is not None
    computed = (full.processor.flops - half.processor.flops)[0] / (HERE.vector * PRIORS["vector"].matrix)
    assert took[1] - took[0] == pytest.approx(HERE.cache / 2.0 / STATED.last_level + computed, rel=1e-6)


def test_small_elementwise_operators_run_on_one_core_and_functions_cost_more() -> None:
    assert here("vector", rows=1, length=PART).parallel[0] == 1.0 / HERE.cores
    assert here("vector", rows=HERE.cores, length=PART).parallel[0] == 1.0
    took = [
        float(physics.seconds(np.log(PRIORS["vector"]), work("vector", kind=kind), columns())[0])
        for kind in (UNARY, BINARY, NORMALISATION, SOFTMAX)
    ]
    assert took == sorted(took)
    function = physics.seconds(np.log(PRIORS["vector"]), work("vector", kind=FUNCTION), columns())[0]
    assert function > took[0]
    lookup = physics.seconds(np.log(PRIORS["vector"]), work("vector", kind=LOOKUP), columns())[0]
    assert lookup > took[0]


def test_accelerators_have_no_such_form_and_see_no_functions() -> None:
    on = columns(device=device_of(load_target("h100-sxm")))
    for family in FAMILIES:
        assert work(family, on).processor is None
    seen = []
    for kind in (UNARY, LOOKUP, FUNCTION):
        s = {name: np.array([value], np.float64) for name, value in {**SHAPES["vector"], "kind": kind}.items()}
        found = FAMILIES["vector"].work(s, on)
        one = np.ones(1)
        seen.append((found.flops[0], features(FAMILIES["vector"], s, found, on, one, one, by_power=False).tolist()))
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("family", sorted(FAMILIES))
@given(data=st.data(), parameters=PARAMETERS)
def test_more_work_never_takes_less(family: str, data: st.DataObject, parameters: tuple[float, ...]) -> None:
    name = data.draw(st.sampled_from(FAMILIES[family].grows))
    value = max(SHAPES[family][name], 1.0)
    factor = data.draw(st.sampled_from([1.01, 2.0, 3.0, 64.0]))
    on = columns(device=data.draw(st.sampled_from([HERE, STATED])))
    few, many = (
        physics.seconds(np.array(parameters), work(family, on, **{name: amount}), on)[0]
        for amount in (value, np.ceil(value * factor))
    )
    assert many >= few * (1 - 1e-9)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@given(parameters=PARAMETERS)
def test_a_faster_processor_is_never_slower(family: str, parameters: tuple[float, ...]) -> None:
    on = columns()
    plain = physics.seconds(np.array(parameters), work(family, on), on)
    for name in ("bandwidth", "cache_bandwidth", "peak", "vector", "private", "cache"):
        faster = Columns(**{**{f: getattr(on, f) for f in on.__struct_fields__}, name: 2.0 * getattr(on, name)})
        assert physics.seconds(np.array(parameters), work(family, faster), faster) <= plain * (1 + 1e-9), name


@pytest.mark.parametrize("family", sorted(FAMILIES))
@given(parameters=PARAMETERS)
def test_parts_add(family: str, parameters: tuple[float, ...]) -> None:
    on = columns()
    found = work(family, on)
    seconds = physics.seconds(np.array(parameters), found, on)[0]
    most = np.exp(physics.PROCESSOR_MOST[1])
    assert np.isfinite(seconds)
    assert seconds >= np.exp(parameters[0]) * (1 - 1e-9)
    assert found.processor is not None
    assert seconds >= found.processor.flops[0] / physics.rate(found, on)[0] / most * (1 - 1e-9)


def test_every_family_has_a_form_and_a_prior() -> None:
    assert set(processors.PASSES) == set(PRIORS) == set(FAMILIES)
    rowwise = np.repeat(np.log(PRIORS["gemm"])[:, None], 3, axis=1)
    on = columns(count=3)
    s = {name: np.array([value, 2 * value, 3 * value]) for name, value in SHAPES["gemm"].items()}
    found = FAMILIES["gemm"].work(s, on)
    together = physics.seconds(np.log(PRIORS["gemm"]), found, on)
    np.testing.assert_array_equal(together, physics.seconds(rowwise, found, on))
