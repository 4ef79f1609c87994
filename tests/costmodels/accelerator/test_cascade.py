"""Cascades: passes against a walk over every tile, invariances, bounds against hand counts and against groupings."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.accelerator.attention_cascades import AttentionShape, one_pass, three_pass, two_pass
from codesign.costmodels.accelerator.cascade import Cascade, partitioned, pass_count, pass_of
from codesign.costmodels.accelerator.cascade_traffic import (
    compulsory_bytes,
    fibre_bytes,
    grouped_bytes,
    tied,
    traffic_bound,
    unfused_bytes,
)
from codesign.costmodels.accelerator.fusemax import Granularity, Machine, flat_traffic, unfused_attention
from codesign.errors import CodesignError, DataError, UsageError
from codesign.workload import Axis, Einsum, Tensor, tensor

SHAPE = AttentionShape(2, 3, 512, 1024)
BUILDERS = [three_pass, two_pass, one_pass]
EXTENTS = {"m1": 3, "m0": 2, "p": 4}
SUBSETS = ["p", "m1 p", "m1 m0 p", "m0 p"]


def einsum(name: str, writes: str, *reads: str, ranks: dict[str, Any] | None = None) -> Einsum:
    named = [text.partition(":") for text in (f"{name}:{writes}", *reads)]
    views = [tensor(tensor_name, axes) for tensor_name, _, axes in named]
    used = {rank for view in views for axis in view.axes for rank, _ in axis.terms}
    known = ranks or {**EXTENTS, "m": 6}
    return Einsum(name, {rank: known[rank] for rank in sorted(used)}, tuple(views[1:]), views[0])


def renamed(cascade: Cascade, names: dict[str, str]) -> Cascade:
    def view(old: Tensor) -> Tensor:
        changed = tuple(
            msgspec.structs.replace(a, terms=tuple((names.get(r, r), s) for r, s in a.terms)) for a in old.axes
        )
        return msgspec.structs.replace(old, axes=changed)

    einsums = [
        Einsum(e.name, {names.get(r, r): x for r, x in e.ranks.items()}, tuple(map(view, e.inputs)), view(e.output))
        for e in cascade.einsums
    ]
    parts = {names.get(r, r): tuple(names.get(x, x) for x in xs) for r, xs in cascade.parts.items()}
    return Cascade(cascade.name, tuple(einsums), parts)


@pytest.mark.parametrize(("builder", "passes"), [(three_pass, 3), (two_pass, 2), (one_pass, 1)])
def test_attention_has_as_many_passes_as_its_name_says(builder: Any, passes: int) -> None:
    assert pass_count(builder(SHAPE), "m") == passes
    assert pass_count(builder(SHAPE), "p") == 1  # queries are independent


def test_the_division_after_the_product_saves_a_pass() -> None:
    whole = three_pass(SHAPE)
    ranks = whole.einsums[-1].ranks
    late = (
        *whole.einsums[:4],
        einsum("SNV", "b h f p", "SN:b h m p", "V:b h f m", ranks=dict(ranks)),
        einsum("AV", "b h f p", "SNV:b h f p", "SD:b h p", ranks=dict(ranks)),
    )
    assert pass_count(Cascade("late division", late), "m") == 2


def walked(cascade: Cascade, parts: tuple[str, ...]) -> dict[str, int]:
    """Return the pass of each Einsum from the earliest time of every element, as tiles are swept again and again.

    A sweep visits tiles in order; an element that traverses the rank is computed when its tile is visited, and needs
    what it reads by then. Anything else is computed at once. Times count visits of tiles from the first.
    """
    tiles = EXTENTS[parts[0]]
    times: dict[tuple[str, tuple[tuple[str, int], ...]], int] = {}
    passes: dict[str, int] = {}
    for e in cascade.einsums:
        inner = [p for p in parts if p in e.ranks]
        for point in product(*(range(EXTENTS[p]) for p in inner)):
            at = dict(zip(inner, point, strict=True))
            needs = [times.get(key, -1) for view in e.inputs for key in keys(view, at, parts)]
            time = max(needs, default=-1)
            if len(inner) == len(parts):
                time = max(time, 0)
                time += (at[parts[0]] - time) % tiles  # wait until the sweep is there
                passes[e.name] = max(passes.get(e.name, 1), time // tiles + 1)
            for key in keys(e.output, at, parts):
                times[key] = max(times.get(key, -1), time)
    return passes


def keys(view: Tensor, at: dict[str, int], parts: tuple[str, ...]) -> list[Any]:
    """Return the elements of ``view`` at a point; generation 0 of a recurrence is never made, hence at once there."""
    index = []
    for axis in view.axes:
        for rank, _ in axis.terms:
            if rank in parts:
                index.append((rank, at[rank] + axis.offset))
        if not axis.terms:
            index.append((parts[0], axis.offset))
    return [(view.name, tuple(sorted(index)))]


@st.composite
def cascades(draw: st.DrawFn) -> Cascade:
    shapes = {"X": "m1 m0 p", "Y": "m1 m0 p", "Z": "p"}  # from outside
    running: set[str] = set()
    einsums = []
    for i in range(draw(st.integers(1, 7))):
        reads = draw(st.lists(st.sampled_from(sorted(shapes)), min_size=1, max_size=3, unique=True))
        inputs = []
        for name in reads:
            if name not in running:
                inputs.append(tensor(name, shapes[name]))
                continue
            generation = draw(st.sampled_from([Axis((("m1", 1),)), Axis((("m1", 1),), 1), Axis((), EXTENTS["m1"])]))
            inputs.append(Tensor(name, (generation, Axis((("p", 1),)))))
        have = {r for view in inputs for axis in view.axes for r, _ in axis.terms}
        name = f"T{i}"
        if "m1" in have and draw(st.booleans()):
            running.add(name)
            shapes[name] = "m1 p"
            inputs.append(Tensor(name, (Axis((("m1", 1),)), Axis((("p", 1),)))))
            output = Tensor(name, (Axis((("m1", 1),), 1), Axis((("p", 1),))))
        else:
            shapes[name] = draw(st.sampled_from([s for s in SUBSETS if set(s.split()) <= have | {"p"}]))
            output = tensor(name, shapes[name])
        ranks = {r: EXTENTS[r] for r in sorted(have | {"p"})}
        einsums.append(Einsum(name, ranks, tuple(inputs), output))
    # the outer rank must exist for the analysis
    einsums.append(Einsum("end", EXTENTS, (tensor("X", "m1 m0 p"),), tensor("end", "p")))
    return Cascade("random", tuple(einsums), {"m": ("m1", "m0")})


@given(cascades())
def test_passes_are_those_of_a_walk(cascade: Cascade) -> None:
    assert pass_of(cascade, "m") == walked(cascade, ("m1", "m0"))


@given(cascades(), st.permutations(["m", "m1", "m0", "p"]))
def test_names_of_ranks_change_nothing(cascade: Cascade, order: list[str]) -> None:
    names = dict(zip(["m", "m1", "m0", "p"], order, strict=True))
    other = renamed(cascade, names)
    assert pass_of(other, names["m"]) == pass_of(cascade, "m")
    assert compulsory_bytes(other) == compulsory_bytes(cascade)
    assert traffic_bound(other, names["m"], 8.0) == traffic_bound(cascade, "m", 8.0)


@given(cascades(), st.data())
def test_no_grouping_is_below_the_compulsory_traffic(cascade: Cascade, data: st.DataObject) -> None:
    groups = tied(cascade)
    least = compulsory_bytes(cascade)
    moved = [unfused_bytes(cascade)]
    while len(groups) > 1:  # fuse two neighbours at a time
        at = data.draw(st.integers(0, len(groups) - 2))
        groups = [*groups[:at], groups[at] + groups[at + 1], *groups[at + 2 :]]
        moved.append(grouped_bytes(cascade, groups))
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] == least


@given(cascades(), st.floats(0, 200))
def test_the_bound_falls_with_the_buffer_to_the_compulsory_traffic(cascade: Cascade, room: float) -> None:
    bounds = traffic_bound(cascade, "m", np.array([room, room + 1.0]))
    least = compulsory_bytes(cascade)
    assert bounds[0] >= bounds[1] >= least
    assert traffic_bound(cascade, "m", np.inf) == least
    assert traffic_bound(cascade, "m", fibre_bytes(cascade, "m")) == least
    if pass_count(cascade, "m") == 1:
        assert (bounds == least).all()
        assert fibre_bytes(cascade, "m") == 0


def test_attention_traffic_by_hand() -> None:
    b, h, p, m, e, f = 2, 3, 512, 1024, 64, 64
    inputs_and_result = 2 * b * h * (p * e + m * e + m * f + p * f)
    scores = 2 * b * h * m * p
    for builder in BUILDERS:
        assert compulsory_bytes(builder(SHAPE)) == inputs_and_result
    # QK written, read for the maximum and the exponential; SN written, read twice; A written, read; GM, SD likewise
    rows = 2 * b * h * p
    assert unfused_bytes(three_pass(SHAPE)) == inputs_and_result + 8 * scores + 4 * rows
    # keys come once more for each further pass: cheaper than scores that were written
    assert traffic_bound(three_pass(SHAPE), "m", 0) == inputs_and_result + 2 * 2 * b * h * m * e
    assert traffic_bound(two_pass(SHAPE), "m", 0) == inputs_and_result + 2 * b * h * m * e
    assert traffic_bound(one_pass(SHAPE), "m", 0) == inputs_and_result


@pytest.mark.parametrize("builder", BUILDERS)
def test_arrays_of_shapes_equal_single_ones(builder: Any) -> None:
    queries, keys, room = np.array([64, 512, 4096]), np.array([4096, 256, 1024]), np.array([1e3, 1e5, 0])
    cascade = builder(AttentionShape(2, 3, queries, keys))
    alone = [builder(AttentionShape(2, 3, int(p), int(m))) for p, m in zip(queries, keys, strict=True)]
    together = traffic_bound(cascade, "m", room)
    assert together.tolist() == [float(traffic_bound(c, "m", r)) for c, r in zip(alone, room, strict=True)]
    assert np.broadcast_to(fibre_bytes(cascade, "m"), 3).tolist() == [float(fibre_bytes(c, "m")) for c in alone]


@given(*[st.integers(1, 2**9)] * 2, *[st.integers(1, 128)] * 2, st.integers(1, 2**18))
def test_what_runs_is_never_below_the_bound(queries: int, keys: int, depth: int, side: int, room: int) -> None:
    shape, machine = AttentionShape(1, 1, queries, keys, depth, depth), Machine(side, side, side, buffer_bytes=room)
    bound = traffic_bound(three_pass(shape), "m", room)
    assert unfused_attention(shape, machine).traffic_bytes >= bound
    assert flat_traffic(shape, Granularity(queries, False), machine) >= bound


@pytest.mark.parametrize("keys", [256, 4096, 65536])
def test_only_one_pass_needs_no_buffer_that_grows(keys: int) -> None:
    shape = AttentionShape(1, 1, 256, keys)
    found = [float(fibre_bytes(builder(shape), "m")) for builder in BUILDERS]
    assert found[2] == 0
    assert found[:2] == [2 * keys, 2 * keys]  # the scores of one query


def test_partition_keeps_passes_and_traffic() -> None:
    whole, tiled = three_pass(SHAPE), partitioned(three_pass(SHAPE), "m", 128)
    assert tiled.parts == {"m": ("m1", "m0")}
    assert pass_of(whole, "m") == pass_of(tiled, "m")
    assert compulsory_bytes(whole) == compulsory_bytes(tiled)
    assert [e.flops() for e in whole.einsums] == [e.flops() for e in tiled.einsums]
    window = Einsum("y", {"m": 8, "r": 3}, (Tensor("x", (Axis((("m", 2), ("r", 1))),)),), tensor("y", "m"))
    cut = partitioned(Cascade("window", (window,)), "m", 4).einsums[0]
    assert cut.inputs[0].elements(cut.ranks) == window.inputs[0].elements(window.ranks) == 17


def test_all_cascades_multiply_as_much() -> None:
    products = [sum(e.flops() for e in builder(SHAPE).einsums if e.compute.unit == "tensor") for builder in BUILDERS]
    assert products == [2.0 * 2 * 3 * 512 * 1024 * 128] * 3


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Cascade("c", (einsum("T", "p", "X:m p"), einsum("T", "p", "X:m p"))), "Einsum 'T' is made twice"),
        (lambda: Cascade("c", (einsum("T", "p", "U:m p"), einsum("U", "m p", "X:m p"))), "uses 'U' before U makes it"),
        (lambda: Cascade("c", (einsum("T", "m p", "T:m p"),)), "uses 'T' before T makes it"),
        (lambda: Cascade("c", (Einsum("T", {"p": 2}, (tensor("X", "m p"),), tensor("T", "p")),)), "'m' has no extent"),
        (
            lambda: Cascade("c", (einsum("T", "p", "X:m p"), einsum("U", "p", "T:p", ranks={"p": 5}))),
            "'p' has extent 5 .elsewhere it has 4",
        ),
        (lambda: pass_count(three_pass(SHAPE), "n"), "no Einsum has the rank 'n'"),
        (lambda: partitioned(three_pass(SHAPE), "m", 100), "tiles of 100 do not divide its extent 1024"),
        (lambda: partitioned(one_pass(SHAPE), "m", 4), "partitioned already"),
        (lambda: one_pass(SHAPE, 100), "tile: 100 does not divide 1024 keys"),
        (lambda: one_pass(SHAPE, 2.5), "tile: found 2.5"),  # type: ignore[arg-type]
        (
            lambda: grouped_bytes(three_pass(SHAPE), [["QK", "SN"], ["GM"], ["SD", "A", "AV"]]),
            "the group of QK and another wait for each other",
        ),
        (lambda: three_pass(AttentionShape(0, 1, 1, 1)), "batch: found 0"),
        (lambda: grouped_bytes(three_pass(SHAPE), [["QK"]]), "GM is in no group"),
        (lambda: grouped_bytes(three_pass(SHAPE), [["QQ"]]), "no Einsum 'QQ'"),
        (lambda: traffic_bound(three_pass(SHAPE), "m", -1), "buffer_bytes: found -1"),
        (
            lambda: grouped_bytes(one_pass(SHAPE), [[e.name] for e in one_pass(SHAPE).einsums]),
            "recurrence of 'RD' crosses two groups",
        ),
    ],
)
def test_bad_cascades_are_named(build: Any, said: str) -> None:
    with pytest.raises(CodesignError, match=said) as caught:
        build()
    assert isinstance(caught.value, UsageError | DataError)


def test_a_recurrence_that_waits_for_its_own_end_is_refused() -> None:
    running = Tensor("R", (Axis((("m", 1),), 1), Axis((("p", 1),))))
    total, earlier = tensor("S", "p"), Tensor("R", (Axis((("m", 1),)), Axis((("p", 1),))))
    ranks = {"m": 6, "p": 4}
    cascade = Cascade(
        "loop",
        (
            Einsum("S", ranks, (earlier,), total),
            Einsum("R", ranks, (tensor("X", "m p"), total), running),
        ),
    )
    with pytest.raises(DataError, match="waits for its own end"):
        pass_count(cascade, "m")
