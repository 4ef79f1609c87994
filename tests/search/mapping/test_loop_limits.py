"""Constraints of Timeloop as limits of the space: every mapping that is drawn, varied or listed meets them."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.accelerator.timeloop import import_architecture, import_problem, mapping_text, parse_document
from codesign.costmodels.accelerator.timeloop.constraints import Limit
from codesign.errors import CodesignError, DataError, UsageError
from codesign.search.mapping import MappingSpace
from codesign.search.mapping.inner import search
from codesign.search.mapping.loop_limits import keeping
from codesign.search.mapping.problem import MappingProblem
from codesign.search.mapping.space import Rows
from codesign.targets.spatial import Architecture
from tests.costmodels.accelerator.timeloop.written import PROBLEM, TABLES, TAGGED

RANKS = ("M", "K", "N")
PRODUCT = import_problem(parse_document(PROBLEM, "prob.yaml"))
LARGE = msgspec.structs.replace(PRODUCT, ranks={"M": 48, "K": 64, "N": 40})


def machine(text: str = TAGGED) -> Architecture:
    return import_architecture(parse_document(text, "arch.yaml"), [parse_document(TABLES, "t.yaml")]).architecture


def limit(node: str, *, spatial: bool = False, **fields: object) -> Limit:
    plain: dict[str, object] = {"fixed": {}, "most": {}, "order": (), "split": None}
    return Limit(node, spatial, **{**plain, **fields}, place=f"arch.yaml: {node}")  # type: ignore[arg-type]


def met(space: MappingSpace, rows: Rows, limits: list[Limit]) -> None:
    """Check mappings against the words of the limits, by their loops."""
    genome, slots = space.genome(rows), space.skeletons.slots
    ranks = space.skeletons.ranks
    assert (genome.factors.prod(axis=0) == space.divisors.extents[:, None]).all()
    for one in limits:
        node = "Grid" if one.spatial else one.node
        mine = [at for at, slot in enumerate(slots) if slot.node == node]
        bound = {rank: genome.factors[mine, place].prod(axis=0) for place, rank in enumerate(ranks)}
        for rank in ranks:
            if one.fixed.get(rank):
                assert (bound[rank] == one.fixed[rank]).all()
            if one.fixed.get(rank) == 0:
                rest = [at for at in range(len(slots)) if at not in mine]
                named = {at for other in limits for at, slot in enumerate(slots)
                         if other is not one and slot.node == ("Grid" if other.spatial else other.node)
                         and other.fixed.get(rank)}  # fmt: skip
                assert (genome.factors[[at for at in rest if at not in named], ranks.index(rank)] == 1).all()
            assert (bound[rank] <= one.most.get(rank, 10**9)).all()
            if one.only and rank not in (*one.fixed, *one.most):
                assert (bound[rank] == 1).all()
        if one.spatial and one.split is not None:
            for at, (x, y) in enumerate([mine] * len(one.order)):
                other = y if at < one.split else x
                assert (genome.factors[other, ranks.index(one.order[at])] == 1).all()
        if one.order and not one.spatial:
            place = space.skeletons.temporal.index(mine[0])
            for column in range(genome.size):
                order = [ranks[rank] for rank in genome.orders[place][::-1, column]]  # innermost first
                running = [rank for rank in order if genome.factors[mine[0], ranks.index(rank), column] > 1]
                listed = [rank for rank in one.order if rank in running]
                assert running[: len(listed)] == listed


@st.composite
def limited(draw: st.DrawFn) -> list[Limit]:
    """Return limits on some levels and the array, of the problem's divisors; they may contradict each other."""
    found = []
    for node in draw(st.lists(st.sampled_from(["Main", "Buffer", "Pad", "Sum", "Grid"]), unique=True, max_size=4)):
        kinds = draw(st.lists(st.sampled_from(RANKS), unique=True, max_size=3))
        fixed = {rank: draw(st.sampled_from([0, 1, 2, 4])) for rank in kinds if draw(st.booleans())}
        most = {rank: draw(st.sampled_from([1, 2, 4])) for rank in kinds if rank not in fixed}
        order = tuple(draw(st.permutations(RANKS)))[: draw(st.integers(0, 3))]
        split = draw(st.integers(0, 3)) if node == "Grid" and order else None
        found.append(
            limit(node, spatial=node == "Grid", fixed=fixed, most=most, order=order, split=split,
                  only=draw(st.booleans()) and draw(st.booleans()))
        )  # fmt: skip
    return found


def check(space: MappingSpace, limits: list[Limit], seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = space.sample(generator, 40)
    met(space, points, limits)
    for _ in range(2):
        points = space.mutate(generator, points)
        met(space, points, limits)
    points = space.crossover(generator, points, points[::-1])
    met(space, points, limits)
    met(space, space.neighbours(points[0]), limits)
    if space.size is not None:
        met(space, space.enumerate(0, min(space.size, 200)), limits)


@given(limited(), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_every_mapping_meets_the_limits(limits: list[Limit], seed: int) -> None:
    try:
        space = MappingSpace(LARGE, machine(), limits=limits)
    except DataError as error:
        said = (error.message, error.hint)
    else:
        check(space, limits, seed)
        return
    assert "arch.yaml" in said[0]
    assert said[1]


MET = (
    [limit("Buffer", fixed={"M": 4, "K": 1})],
    [limit("Buffer", fixed={"M": 0}), limit("Pad", fixed={"M": 2})],
    [limit("Grid", spatial=True, fixed={"K": 4, "M": 2}, order=("K", "M"), split=1)],
    [limit("Grid", spatial=True, order=("N", "K", "M"), split=0)],
    [limit("Sum", fixed={"N": 2}, only=True), limit("Buffer", most={"K": 2}, order=("N", "M"))],
    [limit(node, most={"M": 2}) for node in ("Main", "Buffer", "Sum")],
)


@pytest.mark.parametrize("limits", MET, ids=range(len(MET)))
@pytest.mark.parametrize("small", [False, True])
def test_limits_that_can_be_met_are(limits: list[Limit], small: bool) -> None:
    check(MappingSpace(PRODUCT if small else LARGE, machine(), limits=limits), limits, 1)


def test_a_listed_space_holds_all_mappings_within_the_limits() -> None:
    tiny = msgspec.structs.replace(PRODUCT, ranks={"M": 4, "K": 2, "N": 2})
    limits = [limit("Buffer", fixed={"M": 2}), limit("Grid", spatial=True, fixed={"K": 1}, most={"M": 2})]
    space, whole = (MappingSpace(tiny, machine(), limits=one) for one in (limits, []))
    assert space.size is not None
    assert whole.size is not None
    every = whole.enumerate(0, whole.size)
    factors = whole.genome(every).factors
    slots = [(slot.node, slot.direction) for slot in whole.skeletons.slots]
    buffer, x, y = (slots.index(one) for one in (("Buffer", "temporal"), ("Grid", "x"), ("Grid", "y")))
    within = (factors[buffer, 0] == 2) & (factors[[x, y], 1] == 1).all(axis=0) & (factors[x, 0] <= 2)
    within &= factors[y, 0] == 1
    assert np.array_equal(np.sort(whole.key(every[within])), np.sort(space.key(space.enumerate(0, space.size))))


def test_a_search_within_limits_exports_what_they_say() -> None:
    text = TAGGED.replace("temporal: {permutation: [K, M, N]}", "temporal: {factors: [M=2], permutation: [M, K]}")
    text = text.replace("meshY: 2}", "meshY: 2}\n    constraints: {spatial: {permutation: [K, M, N], split: 1}}")
    document = parse_document(text, "arch.yaml")
    imported = import_architecture(document, [parse_document(TABLES, "t.yaml")])
    problem = MappingProblem(einsum=PRODUCT, architecture=imported.architecture)
    problem.space = MappingSpace(
        PRODUCT, imported.architecture, keeps=imported.keeps, must=imported.keeps, limits=imported.limits
    )
    front = search(problem, 600)
    met(problem.space, front.points, list(imported.limits))
    assert "target: Sum, type: temporal, factors: [M=2" in mapping_text(PRODUCT, front.mapping("energy"))
    mappings = problem.space.mappings(front.points)[0][1]
    levels = {holding.level for holding in mappings.slots.holdings[[t.name for t in PRODUCT.tensors].index("B")]}
    assert levels == {"Main", "Pad"}, "a level that keeps a tensor has to"


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ([limit("Buffer", fixed={"R": 2})], "arch.yaml: Buffer.factors: unknown rank 'R'"),
        ([limit("Bufer", fixed={"M": 2})], "arch.yaml: Bufer: unknown level 'Bufer'"),
        ([limit("Pads", spatial=True, fixed={"M": 2})], "unknown array 'Pads'"),
        ([limit("Buffer", fixed={"M": 3})], "no mapping of M .8 iterations. meets M=3 at arch.yaml: Buffer"),
        ([limit("Grid", spatial=True, fixed={"M": 8})], "M=8 has no room at Grid"),
        ([limit("Buffer", fixed={"M": 0}), limit("Pad", fixed={"M": 0})], "a second M=0"),
        ([limit("Buffer", still=("Q",))], "no_iteration_over_dataspaces: unknown tensor 'Q'"),
    ],
)
def test_limits_that_cannot_be_met_say_where_they_stand(limits: list[Limit], said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        MappingSpace(PRODUCT, machine(), limits=limits)
    assert caught.value.hint


def test_limits_overflow_refuse_other_tiles_and_survive_as_json() -> None:
    with pytest.raises(DataError, match="smallest tiles overflow Pad"):
        MappingSpace(PRODUCT, machine(TAGGED.replace("{depth: 8, width: 8", "{depth: 2, width: 8")),
                     keeps={"Pad": ["B"]}, must={"Pad": ["B"]}, limits=[limit("Pad", fixed={"K": 4})])  # fmt: skip
    with pytest.raises(UsageError, match="do not go with ragged tiles"):
        MappingSpace(PRODUCT, machine(), limits=[limit("Pad", fixed={"K": 1})], ragged=True)
    with pytest.raises(CodesignError, match="unknown tensor 'Bs'"):
        keeping(PRODUCT, machine().spine(), {"Pad": ["Bs"]}, {}, "arch.yaml")
    assert keeping(PRODUCT, machine().spine(), {}, {"Pad": ["B"]}, "arch.yaml") == {"Pad": ["A", "Z"]}
    space = MappingSpace(PRODUCT, machine(), limits=[limit("Pad", fixed={"K": 1}, order=("M",))])
    again = MappingSpace.from_json(space.to_json(), machine())
    assert again.to_json() == space.to_json()
