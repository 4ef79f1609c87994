"""The space of mappings: its list is what brute force finds, its operators stay inside, equal designs equal rows."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import msgspec
import numpy as np
import pytest

from codesign.costmodels.accelerator import Problem, evaluate
from codesign.errors import LimitCrossed, UsageError
from codesign.search.accelerator.pools import adapted
from codesign.search.engines import ENGINES, make_engine
from codesign.search.mapping import MappingSpace
from codesign.search.mapping.loop_factors import perfect_splits, ragged_splits, tighten
from codesign.targets.spatial import Architecture, load_architecture
from codesign.testing.engines import CHECKS
from tests.search.mapping.designs import ARRAY, BUFFERED, PADS, PRODUCT, WINDOW, machine, memory

CASES = {
    "product in a buffer": (PRODUCT, BUFFERED),
    "window in a buffer": (WINDOW, BUFFERED),
    "window on an array": (WINDOW, ARRAY),
    "product with pads": (PRODUCT, PADS),
}
KINDS: dict[str, dict[str, Any]] = {"plain": {"bypass": False}, "bypass": {}, "ragged": {"ragged": True}}


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def feasible(space: MappingSpace, points: np.ndarray) -> np.ndarray:
    """Return whether the cost model finds each point feasible."""
    found = np.zeros(len(points), dtype=bool)
    for places, mappings in space.mappings(points):
        found[places] = evaluate(space.problem, space.architecture, mappings).feasible
    return found


@pytest.mark.parametrize("extent", [1, 2, 6, 12])
@pytest.mark.parametrize("limits", [(0, 0), (0, 2, 0), (0, 3, 2, 0)])
def test_splits_are_what_brute_force_finds(extent: int, limits: tuple[int, ...]) -> None:
    most = [limit or extent for limit in limits]
    every = [row for row in product(*(range(1, one + 1) for one in most)) if prod(row) >= extent]
    perfect = {row for row in every if prod(row) == extent}
    tight = {row for row in every if all(b == 1 or prod(row) // b * (b - 1) < extent for b in row)}
    assert set(map(tuple, perfect_splits(extent, limits).tolist())) == perfect
    assert set(map(tuple, ragged_splits(extent, limits).tolist())) == tight
    rows = np.array(every).T[:, None, :]
    assert set(map(tuple, tighten(rows, np.array([extent]))[:, 0].T.tolist())) <= tight


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_the_list_is_every_mapping_once(case: str, kind: str) -> None:
    problem, architecture = CASES[case]
    space = MappingSpace(problem, architecture, **KINDS[kind])
    assert space.size is not None
    points = space.enumerate(0, space.size)
    assert len(points) == space.size
    assert len(np.unique(space.key(points))) == space.size
    assert np.array_equal(space.repair(points), points)
    assert feasible(space, points).all()
    # brute force over splits and kept levels: the pairs that the cost model finds feasible are those listed
    make = ragged_splits if space.ragged else perfect_splits
    free = [0] * len(space.limits)
    each = [make(problem.ranks[rank], free) for rank in space.skeletons.ranks]
    options = [range(len(one)) for one in space.skeletons.options]
    tensors, slots, ranks = len(options), len(space.limits), len(each)
    splits = np.array(list(product(*(range(len(one)) for one in each))))
    factors = np.stack([table[splits[:, rank]] for rank, table in enumerate(each)], axis=2).reshape(len(splits), -1)
    orders = np.tile(np.arange(ranks), len(space.skeletons.temporal))
    rows = np.array([(*chosen, *split, *orders) for chosen in product(*options) for split in factors.tolist()])
    head = tensors + slots * ranks
    expected = set(map(tuple, rows[feasible(space, rows)][:, :head].tolist()))
    assert set(map(tuple, points[:, :head].tolist())) == expected


@pytest.mark.parametrize("kind", [*KINDS, "uneven"])
@pytest.mark.parametrize("case", CASES)
def test_operators_stay_inside(case: str, kind: str) -> None:
    problem, architecture = CASES[case]
    space = MappingSpace(problem, architecture, **({"uneven": True} if kind == "uneven" else KINDS[kind]))
    some = space.sample(generator(1), 200)
    for points in (some, space.mutate(generator(2), some), space.crossover(generator(3), some, some[::-1])):
        assert points.shape == (200, space.dimensions)
        assert np.array_equal(space.repair(points), points)
        assert feasible(space, points).all()
    around = space.neighbours(some[0])
    assert len(around)
    assert feasible(space, around).all()
    keys = space.key(around)
    assert len(np.unique(keys)) == len(keys)
    assert space.key(some[:1])[0] not in keys


def test_samples_reach_every_point() -> None:
    space = MappingSpace(PRODUCT, BUFFERED, bypass=False)
    assert space.size is not None
    seen = np.unique(space.key(space.sample(generator(), 200 * space.size)))
    assert len(seen) == space.size


def test_neighbourhoods_connect_the_space() -> None:
    space = MappingSpace(WINDOW, ARRAY, bypass=False)
    assert space.size is not None
    points = space.enumerate(0, space.size)
    place = {key: index for index, key in enumerate(space.key(points).tolist())}
    seen, waiting = {0}, [0]
    while waiting:
        found = {place[key] for key in space.key(space.neighbours(points[waiting.pop()])).tolist()} - seen
        seen |= found
        waiting += found
    assert len(seen) == space.size


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "merge"])
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("size", ["small", "large"])
def test_engines_conform(engine: str, check: str, size: str) -> None:
    class Boxed(MappingSpace):
        """A mapping space with the bounds that the suite's toy objectives ask of a box."""

        @property
        def low(self) -> np.ndarray:
            return np.zeros(self.dimensions)

        @property
        def high(self) -> np.ndarray:
            return np.full(self.dimensions, 1024.0)

    problem = PRODUCT if size == "small" else Problem(
        name="large", ranks={"M": 64, "N": 64, "K": 64}, inputs=PRODUCT.inputs, output=PRODUCT.output
    )  # fmt: skip
    space: Any = Boxed(problem, BUFFERED if size == "small" else load_architecture("tpu-like"))
    assert (space.size is None) == (size == "large")
    if engine == "exhaustive" and space.size is None:
        with pytest.raises(UsageError, match="finite"):
            make_engine(engine, space, seed=0, evaluations=None, objectives=2)
        return
    CHECKS[check](lambda seed: make_engine(engine, space, seed=seed, evaluations=200, objectives=2), space)


@pytest.mark.parametrize("kind", [*KINDS, "uneven"])
def test_a_problem_of_one_operation_has_a_space(kind: str) -> None:
    one = Problem(name="one", ranks={"M": 1, "N": 1, "K": 1}, inputs=PRODUCT.inputs, output=PRODUCT.output)
    space = MappingSpace(one, PADS, **({"uneven": True} if kind == "uneven" else KINDS[kind]))
    points = space.sample(generator(), 5)
    assert feasible(space, space.mutate(generator(), points)).all()
    assert feasible(space, space.crossover(generator(), points, points[::-1])).all()
    assert space.size is not None
    assert len(space.neighbours(points[:1])) < space.size


@pytest.mark.parametrize("kind", [*KINDS, "uneven"])
def test_batches_of_any_size_can_be_varied(kind: str) -> None:
    space = MappingSpace(PRODUCT, PADS, **({"uneven": True} if kind == "uneven" else KINDS[kind]))
    for seed in range(40):
        points = space.sample(generator(seed), seed % 4)
        assert len(space.mutate(generator(seed), points)) == len(points)
        assert len(space.crossover(generator(seed), points, points[::-1])) == len(points)


def test_json_and_rows_name_every_loop() -> None:
    space = MappingSpace(PRODUCT, PADS)
    assert msgspec.json.decode(msgspec.json.encode(space.to_json()))["target"] == "tiny"
    rows = space.rows(space.sample(generator(), 20))
    names = [entry["name"] for entry in space.describe()]
    for row in rows:
        assert list(row) == names
        bounds = [int(loop[1:]) for column in names[:-3] for loop in row[column].split() if loop != "-"]
        assert prod(bounds) == PRODUCT.operations
    assert space.rows(space.sample(generator(), 0)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_space_comes_back_from_json(kind: str) -> None:
    space = MappingSpace(PRODUCT, load_architecture("gemmini-like"), **KINDS[kind])
    again = MappingSpace.from_json(msgspec.json.decode(msgspec.json.encode(space.to_json())))
    assert again.to_json() == space.to_json()
    assert np.array_equal(again.sample(generator(), 10), space.sample(generator(), 10))


def test_a_level_keeps_only_what_it_is_told_to() -> None:
    space = MappingSpace(PRODUCT, ARRAY, keeps={"Buffer": ["Weights"]})
    rows = space.rows(space.sample(generator(), 50))
    assert {row["Inputs"] for row in rows} == {row["Outputs"] for row in rows} == {"Main"}
    assert {row["Weights"] for row in rows} == {"Main", "Main, Buffer"}


def test_uneven_spaces_hold_the_even_mappings() -> None:
    even, uneven = MappingSpace(PRODUCT, PADS), MappingSpace(PRODUCT, PADS, uneven=True)
    assert uneven.skeletons.count > even.skeletons.count
    levels = [[tuple(one.level for one in option) for option in options] for options in even.skeletons.options]
    more = [{tuple(one.level for one in option) for option in options} for options in uneven.skeletons.options]
    assert all(set(one) == other for one, other in zip(levels, more, strict=True))


def too_small() -> Architecture:
    return machine(memory("Buffer", 5.0, words=2))


def test_a_memory_that_holds_nothing_is_refused_or_passed_by() -> None:
    with pytest.raises(LimitCrossed, match="overflow Buffer"):
        MappingSpace(PRODUCT, too_small(), bypass=False)
    assert MappingSpace(PRODUCT, too_small()).size  # tensors may pass by


def test_a_large_space_cannot_be_numbered() -> None:
    space = MappingSpace(Problem(name="large", ranks={"M": 1024, "N": 1024, "K": 1024}, inputs=PRODUCT.inputs,
                                 output=PRODUCT.output), PADS)  # fmt: skip
    assert space.size is None
    with pytest.raises(UsageError, match="too many mappings"):
        space.enumerate(0, 10)


def test_filling_uses_arrays_and_what_is_adapted_fits() -> None:
    problem = Problem(
        name="large", ranks={"M": 64, "N": 64, "K": 64}, inputs=PRODUCT.inputs, output=PRODUCT.output
    )  # fmt: skip
    space = MappingSpace(problem, load_architecture("tpu-like"))
    generator = np.random.default_rng(3)
    drawn = space.moves.sample(generator, 60)
    filled = space.moves.fill(generator, drawn)
    arrays = np.flatnonzero(space.limits > 1)
    used = [genome.factors[arrays].prod(axis=(0, 1)) for genome in (drawn, filled)]
    assert (used[1] >= used[0]).mean() > 0.9, "a repair may take a prime out again"
    assert np.log(used[1]).mean() > np.log(used[0]).mean() + 1.0
    smaller = MappingSpace(problem, load_architecture("gemmini-like"))
    rows = adapted(smaller, smaller.rows_of(smaller.moves.sample(generator, 9)), 0)
    genome = smaller.genome(rows)
    assert not smaller.tiles.overflow(genome).any()
    assert (genome.factors.prod(axis=0) == smaller.divisors.extents[:, None]).all()
    limits = smaller.limits[:, None]
    assert ((genome.factors.prod(axis=1) <= limits) | (limits == 0)).all()
    assert len(np.unique(smaller.key(rows))) == len(rows)


def test_breeding_gives_fitting_children_of_both_parents() -> None:
    space = MappingSpace(PRODUCT, ARRAY)
    generator = np.random.default_rng(0)
    mothers, fathers = space.sample(generator, 30), space.sample(generator, 10)
    children = space.breed(generator, mothers, fathers, np.arange(10))
    genome = space.genome(children)
    assert np.array_equal(children, space.rows_of(genome)), "orders are canonical"
    assert not space.tiles.overflow(genome).any()
    assert (genome.factors.prod(axis=0) == space.divisors.extents[:, None]).all()
