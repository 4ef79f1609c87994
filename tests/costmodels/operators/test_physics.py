"""The physical form of operator latencies: bounds, monotony, and arrays that agree with scalars."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.device import Columns, device_of
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.formats import FORMATS, format_of
from codesign.costmodels.operators.vector_kinds import BINARY, NORMALISATION, SOFTMAX, UNARY
from codesign.errors import UsageError
from codesign.targets import load_target

H100 = device_of(load_target("h100-sxm"))
SHAPES: dict[str, dict[str, float]] = {
    "gemm": {"batch": 1, "m": 256, "n": 4096, "k": 4096},
    "convolution": {"batch": 8, "inputs": 64, "outputs": 128, "size": 56, "kernel": 3, "stride": 1, "padding": 1},
    "prefill": {"batch": 2, "heads": 32, "kv_heads": 8, "head_width": 128, "cached": 512, "new": 1024, "window": 0,
                "kv_bytes": 2},
    "decode": {"batch": 32, "heads": 32, "kv_heads": 8, "head_width": 128, "cached": 4096, "window": 0, "kv_bytes": 2},
    "moe": {"tokens": 512, "hidden": 4096, "inter": 14336, "topk": 2, "experts": 8, "tp": 1, "ep": 1, "skew": 1},
    "vector": {"rows": 4096, "length": 4096, "kind": UNARY},
}  # fmt: skip
PARAMETERS = st.tuples(*(st.floats(low, high) for low, high in zip(physics.LEAST, physics.MOST, strict=True)))


def columns(count: int, form: str = "bf16", device: Any = H100) -> Columns:
    return Columns.of([device], np.zeros(count, np.int64), [format_of(form)], np.zeros(count, np.int64))


def shapes(family: str, count: int = 1, **changed: Any) -> dict[str, Any]:
    given = {**SHAPES[family], **changed}
    return {name: np.broadcast_to(np.asarray(value, np.float64), (count,)) for name, value in given.items()}


def seconds(family: str, changed: dict[str, Any], parameters: Any = physics.PRIOR, count: int = 1) -> Any:
    on = columns(count)
    return physics.seconds(np.asarray(parameters), FAMILIES[family].work(shapes(family, count, **changed), on), on)


def test_the_work_of_a_product_by_hand() -> None:
    work = FAMILIES["gemm"].work(shapes("gemm", batch=3, m=10, n=20, k=30), columns(1, "fp8"))
    assert work.flops[0] == 2 * 3 * 10 * 20 * 30
    assert work.bytes[0] == 3 * (10 * 30 * 1 + 30 * 20 * 1 + 10 * 20 * 2)


def test_the_work_of_attention_by_hand() -> None:
    s = shapes("prefill", batch=1, heads=4, kv_heads=2, head_width=8, cached=3, new=5)
    work = FAMILIES["prefill"].work(s, columns(1))
    pairs = sum(3 + position for position in range(1, 6))
    assert work.flops[0] == 4 * 4 * 8 * pairs
    assert work.bytes[0] == 8 * (2 * 2 * 4 * 5 + 2 * 2 * 2 * (3 + 5))
    windowed = FAMILIES["prefill"].work({**s, "window": np.array([2.0])}, columns(1))
    assert windowed.flops[0] <= 4 * 4 * 8 * 5 * 2
    step = FAMILIES["decode"].work(shapes("decode", batch=2, heads=4, kv_heads=2, head_width=8, cached=9), columns(1))
    assert (step.flops[0], step.bytes[0]) == (4 * 2 * 4 * 8 * 9, 2 * 8 * (2 * 2 * 2 * 9 + 2 * 2 * 4))


def test_one_token_of_one_expert_is_an_mlp() -> None:
    work = FAMILIES["moe"].work(shapes("moe", tokens=1, hidden=16, inter=32, topk=1, experts=1), columns(1))
    assert work.flops[0] == 6 * 16 * 32
    assert work.bytes[0] == 3 * 16 * 32 * 2 + 2 * 16 * 2 + 3 * 32 * 2


@pytest.mark.parametrize(("kind", "tensors"), [(UNARY, 2), (BINARY, 3), (SOFTMAX, 2), (NORMALISATION, 2)])
def test_vector_operators_move_their_tensors(kind: float, tensors: int) -> None:
    work = FAMILIES["vector"].work(shapes("vector", rows=7, length=11, kind=kind), columns(1, "fp32"))
    assert work.bytes[0] == tensors * 7 * 11 * 4


@pytest.mark.parametrize("family", sorted(FAMILIES))
@given(parameters=PARAMETERS)
def test_nothing_undercuts_the_least_time_over_the_largest_share(family: str, parameters: tuple[float, ...]) -> None:
    on = columns(1)
    work = FAMILIES[family].work(shapes(family), on)
    found = physics.seconds(np.array(parameters), work, on)
    assert np.isfinite(found).all()
    assert found >= physics.least(work, on) / np.exp(physics.MOST[1]) * (1 - 1e-9)
    assert found > np.exp(parameters[0]) * (1 - 1e-9)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@given(data=st.data(), parameters=PARAMETERS)
def test_more_work_never_takes_less(family: str, data: st.DataObject, parameters: tuple[float, ...]) -> None:
    name = data.draw(st.sampled_from(FAMILIES[family].grows))
    value = SHAPES[family][name]
    factor = data.draw(st.sampled_from([2, 3, 8]))
    few, many = (seconds(family, {name: amount}, parameters) for amount in (value, value * factor))
    assert many >= few * (1 - 1e-9)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_faster_device_is_never_slower(family: str) -> None:
    on = columns(1)
    work = FAMILIES[family].work(shapes(family), on)
    for name in ("bandwidth", "cache_bandwidth", "peak", "vector", "functions"):
        faster = type(on)(**{**{f: getattr(on, f) for f in on.__struct_fields__}, name: 2.0 * getattr(on, name)})
        assert physics.seconds(physics.PRIOR, work, faster) <= physics.seconds(physics.PRIOR, work, on) * (1 + 1e-12)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_an_array_is_its_scalars(family: str) -> None:
    name = FAMILIES[family].grows[0]
    values = np.array([1.0, 2.0, 3.0, 64.0, 100.0])
    together = seconds(family, {name: values}, count=5)
    alone = [float(seconds(family, {name: value})[0]) for value in values]
    assert together.tolist() == alone
    rowwise = np.repeat(physics.PRIOR[:, None], 5, axis=1)
    assert seconds(family, {name: values}, rowwise, 5).tolist() == alone


def test_every_spelling_of_a_format_is_known_once() -> None:
    names = [name for form in FORMATS for name in (form.name, *form.aliases)]
    assert len(names) == len(set(names))
    assert format_of("BFloat16").name == "bf16"
    with pytest.raises(UsageError, match="dtype 'fp17' is unknown"):
        format_of("fp17")


def test_a_dtype_that_a_device_lacks_is_named() -> None:
    with pytest.raises(UsageError, match="a100-80gb-sxm has no fp8"):
        columns(1, "fp8", device_of(load_target("a100-80gb-sxm")))
    assert H100.peak(format_of("fp32")) == H100.vector
    with pytest.raises(UsageError, match="states no clock"):
        device_of(msgspec.structs.replace(load_target("h100-sxm"), clock_rate=None))


@pytest.mark.parametrize("accelerator", ["tpu-v4", "tpu-v5e", "gaudi3"])
def test_accelerators_without_kernels_have_no_operators(accelerator: str) -> None:
    with pytest.raises(UsageError, match="kernels were measured on GPUs and processors only"):
        device_of(load_target(accelerator))


def test_exponentials_are_what_a_target_states_else_what_a_core_does() -> None:
    for name, rate in (("h100-sxm", 16.0), ("b200-sxm", 16.0), ("b300-sxm", 32.0), ("gb300", 32.0)):
        target = load_target(name)
        clocks = (target.cores or 0.0) * (target.clock or 0.0)
        assert device_of(target).functions == pytest.approx(rate * clocks)
    assert device_of(load_target("h100-sxm")).functions == pytest.approx(3.9e12, rel=0.1)  # FlashAttention-3, section 3
    assert device_of(load_target("b300-sxm")).functions == pytest.approx(10.7e12, rel=0.15)  # as its vendor lists


def on_stack(form: str = "bf16", **stack: float) -> Columns:
    return msgspec.structs.replace(columns(1, form), **{name: np.array([value]) for name, value in stack.items()})


def priced(family: str, on: Columns, parameters: Any = physics.PRIOR, **changed: Any) -> float:
    return float(physics.seconds(np.asarray(parameters), FAMILIES[family].work(shapes(family, **changed), on), on)[0])


@pytest.mark.parametrize(("family", "form"), [("moe", "bf16"), ("prefill", "bf16"), ("gemm", "fp8")])
def test_an_eighth_parameter_is_assumed_where_there_is_none(family: str, form: str) -> None:
    on = columns(1, form)
    eighth = FAMILIES[family].work(shapes(family), on).eighth
    assert priced(family, on) == priced(family, on, np.append(physics.PRIOR, eighth.prior))
    more, less = (priced(family, on, np.append(physics.PRIOR, eighth.prior + step)) for step in (0.5, -0.5))
    assert more > less if family == "prefill" else more < less  # a longer beginning; a larger share of bandwidth


def test_of_products_in_fp32_the_eighth_parameter_is_the_energy_of_an_operation() -> None:
    assert FAMILIES["gemm"].work(shapes("gemm"), columns(1, "fp32")).eighth is physics.JOULES
    assert FAMILIES["gemm"].work(shapes("gemm"), columns(1)).eighth is physics.CONVERTS


def test_activations_are_converted_before_a_product_of_eight_bits() -> None:
    on = columns(1, "fp8")
    for m, n in ((16, 4096), (8192, 128)):
        work = FAMILIES["gemm"].work(shapes("gemm", m=m, n=n), on)
        bare = physics.seconds(physics.PRIOR, work._replace(converted=None), on)
        moved = m * 4096 * (2 + 1)  # read in 16 bits, written in 8
        memory, share = np.exp(physics.PRIOR[2]), np.exp(physics.CONVERTS.prior)
        added = moved / (memory * on.bandwidth) + moved / (share * on.cache_bandwidth)
        assert physics.seconds(physics.PRIOR, work, on) - bare == pytest.approx(added)
    for form in ("bf16", "int8_wo", "int8"):
        found = FAMILIES["gemm"].work(shapes("gemm"), columns(1, form)).converted
        assert found is not None
        assert found[0] == 0.0, "engines count no such kernel to these"


def test_loads_take_slots_of_vector_units_and_more_in_small_tiles() -> None:
    def slots(on: Columns, side: float) -> float:
        work = FAMILIES["gemm"].work(shapes("gemm", k=65536, m=side, n=side), on)._replace(bytes=np.ones(1))
        bare = work._replace(grids=tuple(grid._replace(loads=0.0) for grid in work.grids))
        none = np.append(-99.0, physics.PRIOR[1:])  # no floor
        return float((physics.seconds(none, work, on) / physics.seconds(none, bare, on))[0])

    on = columns(1, "fp32")
    one = msgspec.structs.replace(on, cores=np.ones(1))
    assert slots(one, 8192) == pytest.approx(1.0 + physics.LOADS * (1 / 128 + 1 / 256), rel=1e-3)
    assert slots(on, 64) > 1.1, "small tiles keep more cores busy, at a price"
    assert slots(columns(1), 64) == 1.0, "matrix units load by themselves"
    assert slots(columns(1, "tf32", device_of(load_target("rtx-4090"))), 64) == 1.0, "at the rate of its vector units"
    assert slots(columns(1, "fp32", device_of(load_target("mi210"))), 64) == 1.0, "it has matrix units for fp32"


def test_block_scaled_products_take_a_tile_of_rows_for_one() -> None:
    on = columns(1, "nvfp4", device_of(load_target("b200-sxm")))
    works = [FAMILIES["gemm"].work(shapes("gemm", m=m, k=16384), on)._replace(converted=None) for m in (1, 128)]
    compute = [physics.seconds(physics.PRIOR, w._replace(bytes=np.ones(1)), on)[0] for w in works]
    assert compute[0] == pytest.approx(compute[1])
    wide = columns(1, "fp8", device_of(load_target("b200-sxm")))
    works = [FAMILIES["gemm"].work(shapes("gemm", m=m, k=16384), wide)._replace(converted=None) for m in (1, 128)]
    compute = [physics.seconds(physics.PRIOR, w._replace(bytes=np.ones(1)), wide)[0] for w in works]
    assert compute[0] < compute[1]


def test_tokens_of_other_devices_pass_through_some_kernels() -> None:
    spread = {"experts": 256, "topk": 8, "ep": 32, "tokens": 8192, "inter": 2048}
    seconds_of = [priced("moe", on_stack(elsewhere=level), **spread) for level in (0.0, 1.0, 2.0)]
    assert seconds_of[0] < seconds_of[1] < seconds_of[2]
    alone = [priced("moe", on_stack(elsewhere=level), **{**spread, "ep": 1}) for level in (0.0, 1.0, 2.0)]
    assert alone[0] == alone[1] < alone[2]


def test_what_stacks_pass_does_not_change_the_roofline() -> None:
    works = [FAMILIES["moe"].work(shapes("moe", experts=64, ep=8), on_stack(elsewhere=level)) for level in (0.0, 2.0)]
    assert works[0].bytes[0] == works[1].bytes[0]
    assert works[0].flops[0] == works[1].flops[0]


def test_exponentials_bind_attention_of_narrow_heads() -> None:
    on = columns(1, "fp8")
    # the same FLOP: half the width, twice the heads; exponentials double
    wide, narrow = ({"heads": h, "kv_heads": h, "head_width": d, "new": 8192, "kv_bytes": 1}
                    for h, d in ((16, 128), (32, 64)))  # fmt: skip
    works = [FAMILIES["prefill"].work(shapes("prefill", **sizes), on) for sizes in (wide, narrow)]
    assert works[0].flops[0] == works[1].flops[0]
    assert works[0].functions is not None
    assert works[1].functions is not None
    assert works[1].functions[0] == 2.0 * works[0].functions[0]
    least = works[1].functions[0] / on.functions[0]
    assert priced("prefill", on, **narrow) > max(least, 1.2 * priced("prefill", on, **wide))


def test_stacks_that_gather_heads_begin_fewer_stripes() -> None:
    few = {"new": 4, "batch": 256, "heads": 64, "kv_heads": 8}
    begun = [FAMILIES["prefill"].work(shapes("prefill", **few), on_stack(gathers=g)).begins for g in (0.0, 4.0)]
    assert begun[0] is not None
    assert begun[1] is not None
    assert begun[0][0] == 8.0 * begun[1][0]
    assert priced("prefill", on_stack(gathers=4.0), **few) < priced("prefill", on_stack(gathers=0.0), **few)


@pytest.mark.parametrize(
    ("level", "gathers"),
    [(0, ()), (1, ("one",)), (2, ("one", "one in a window")), (3, ("one", "one in a window")),
     (4, ("one", "one in a window", "some"))],
)  # fmt: skip
def test_some_stacks_gather_heads_of_single_tokens_alone(level: int, gathers: tuple[str, ...]) -> None:
    asked = {"one": (1, 0), "one in a window": (1, 128), "some": (16, 0)}
    for name, (new, window) in asked.items():
        work = FAMILIES["prefill"].work(shapes("prefill", new=new, window=window), on_stack(gathers=float(level)))
        assert work.begins is not None
        assert work.begins[0] == 2 * (8 if name in gathers else 32), name
    # FlashInfer gathers always on devices of workstations, unlike the H100
    plain = msgspec.structs.replace(columns(1, device=device_of(load_target("l40s"))), gathers=np.array([float(level)]))
    begins = FAMILIES["prefill"].work(shapes("prefill", new=16), plain).begins
    assert begins is not None
    assert begins[0] == 2 * (8 if level > 2 else 32)


def test_packed_inputs_of_prefill_move_once_more() -> None:
    many = {"new": 4096, "batch": 16, "window": 128, "cached": 0}
    moved = [FAMILIES["prefill"].work(shapes("prefill", **many), on_stack(packed=p)).touched for p in (0.0, 1.0)]
    assert moved[0] is not None
    assert moved[1] is not None
    extra = 16 * 128 * 4096 * (32 + 8 + 8) * 2 + 16 * 128 * 4096 * (32 - 8 - 8) * 2
    assert moved[1][0] - moved[0][0] == extra
