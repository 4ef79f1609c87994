"""The mapping of a cascade as a problem: files read back at equal costs, never worse than unfused, a seed a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.cli.search_mapping_view import begun
from codesign.costmodels.accelerator import evaluate
from codesign.costmodels.accelerator.cascade_export import fused_text, loop_text
from codesign.costmodels.accelerator.cascade_files import parse_fused_file
from codesign.costmodels.accelerator.cascade_text import parse_cascade
from codesign.costmodels.accelerator.checks import check_arrays, check_cover, check_fused
from codesign.costmodels.accelerator.files import read_loop
from codesign.costmodels.accelerator.fused import evaluate_cascade
from codesign.costmodels.accelerator.mapping import make_slots, one_mapping
from codesign.errors import CodesignError, UsageError
from codesign.search.driver import resume_search, run_search
from codesign.search.mapping.cascade import unhindered
from codesign.search.mapping.cascade_mapping import MISSING, CascadeMapping
from codesign.search.mapping.inner import search
from codesign.search.mapping.problem import MappingProblem
from codesign.search.problem import Status
from codesign.targets.spatial import load_architecture
from tests.costmodels.accelerator.test_fused import machine

ATTENTION = "attention:H1P2M8E2F2,passes=1,tile=4,bits=16"

FILE = """
schema: 1
name: pair
ranks: {P: 8, D1: 4, M: 8, N: 4}
einsums:
  - {name: "a b", inputs: {X: [P, D1], W: [D1, M]}, output: {A: [P, M]}}
  - {name: "yes", inputs: {A: [P, M], V: [M, N]}, output: {O: [P, N]}}
"""


@pytest.fixture(scope="module")
def mlp() -> CascadeMapping:
    target = machine(depth=400, bandwidth=2.0)
    return CascadeMapping(cascade=parse_cascade("mlp:P16D8M32N8"), architecture=target, mappings=50)


def check_files(problem: CascadeMapping, latency: str = "ideal") -> None:
    """Read every mapping of a problem back from its file, and compare all costs."""
    points = problem.space.front()
    results = problem.evaluate(points)
    assert results.ok.all()
    for row, point in enumerate(points):
        text = problem.mapping_file(point)
        parts = parse_fused_file(text, "map.yaml", problem.cascade, problem.architecture)
        for einsum, part in zip(problem.cascade.problems, parts, strict=True):
            check_cover(einsum, part)
            check_arrays(problem.architecture.spine(part.slots.unit), part)
        costs = evaluate_cascade(problem.cascade, problem.architecture, parts, latency)
        check_fused(costs, parts)
        columns = problem.columns(costs)
        for place, objective in enumerate(problem.objectives):
            assert columns[objective.name][0] == pytest.approx(results.objectives[row, place], rel=1e-12)
        for metric in problem.metrics:
            assert columns[metric.name][0] == pytest.approx(results.metrics[metric.name][row], rel=1e-12)


def test_every_mapping_is_read_back_from_its_file_at_the_same_costs(mlp: CascadeMapping) -> None:
    assert any(one.candidate.shared for one in mlp.space.fusions)
    check_files(mlp)


def test_recurrences_and_ranks_that_end_in_digits_are_read_back() -> None:
    problem = CascadeMapping(problem=ATTENTION, target="fusemax", mappings=5, latency="pipelined")
    assert problem.baseline() is None
    told = problem.describe(problem.space.front()[:1])
    assert any("unfused: no such mapping runs" in note for note in told.notes)
    check_files(problem, "pipelined")


@pytest.mark.parametrize(("rank", "bound"), [("M", 4), ("m1", 4), ("K", 12), ("rank_2", 1)])
def test_a_loop_is_read_back(rank: str, bound: int) -> None:
    assert read_loop(loop_text(rank, bound), "here") == (rank, bound)


def test_an_uneven_mapping_has_no_file() -> None:
    cascade, spine = parse_cascade("mlp:P4D4M4N4"), load_architecture("eyeriss-like").spine()
    parts = [one_mapping(make_slots(problem, spine, splits={"shared_glb": 2}), []) for problem in cascade.problems]
    with pytest.raises(UsageError, match="uneven"):
        fused_text(cascade, (), {}, parts)


@settings(max_examples=6, deadline=None)
@given(
    sizes=st.tuples(*(st.sampled_from((2, 4, 6, 8, 16)) for _ in "PDMN")),
    depth=st.sampled_from((64, 200, 2048)),
    seed=st.integers(0, 3),
    objectives=st.sampled_from((("energy", "latency"), ("traffic",), ("edp", "traffic"))),
)
def test_the_front_is_never_worse_than_the_unfused_baseline(
    sizes: tuple[int, ...], depth: int, seed: int, objectives: tuple[str, ...]
) -> None:
    line = "mlp:" + "".join(f"{name}{size}" for name, size in zip("PDMN", sizes, strict=True))
    problem = CascadeMapping(
        cascade=parse_cascade(line), architecture=machine(depth=depth, bandwidth=2.0), mappings=10, seed=seed,
        objectives=objectives,
    )  # fmt: skip
    base = problem.baseline()
    assert base is not None
    alone = problem.evaluate(base).objectives
    assert (problem.found.values <= alone * (1.0 + 1e-12)).all(axis=1).any()
    values = np.concatenate([problem.evaluate(problem.space.front()).objectives, alone])
    assert values.min(axis=0) == pytest.approx(problem.found.values.min(axis=0), rel=1e-12)
    stays = [row["stays"] for row in problem.space.rows(base)]
    assert stays == ["nothing"]


def test_unfused_costs_the_sum_of_what_its_einsums_cost_by_themselves(mlp: CascadeMapping) -> None:
    names, target = ("energy", "latency", "traffic", "buffer"), unhindered(mlp.architecture)
    asked = [
        MappingProblem(einsum=one, architecture=target, objectives=names, bypass=False) for one in mlp.cascade.problems
    ]
    energy = cycles = 0.0
    for one in asked:
        found = one.space.mappings(search(one, mlp.asked.mappings, baseline=False).points)[0][1]
        costs = evaluate(one.einsum, mlp.architecture, found)
        energy += float(costs.energy[1].min())
        cycles += float(costs.cycles.min())
    assert mlp.found.unfused == pytest.approx([energy, cycles], rel=1e-12)


def test_runs_of_one_seed_are_equal_and_made_again_from_their_spec(mlp: CascadeMapping, tmp_path: Path) -> None:
    (tmp_path / "pair.yaml").write_text(FILE)
    asked: dict[str, Any] = {"target": "tpu-like", "mappings": 10, "seed": 3}
    first = CascadeMapping(problem=str(tmp_path / "pair.yaml"), **asked)
    run = run_search(first, engine="merge", directory=tmp_path / "run")
    (tmp_path / "pair.yaml").unlink()
    again = CascadeMapping.from_spec(run.meta["spec"]["spec"])
    assert np.array_equal(again.space.front(), first.space.front())
    assert np.array_equal(again.found.values, first.found.values)
    assert resume_search(tmp_path / "run").front["columns"] == run.front["columns"]
    check_files(first)
    names = {f"mapping-{number}.yaml" for number in run.front["columns"]["id"]} | {"mapping-0.yaml"}
    assert {path.name for path in (tmp_path / "run").glob("*.yaml")} == names


def test_the_front_of_the_run_is_that_of_the_whole_space(mlp: CascadeMapping, tmp_path: Path) -> None:
    fronts = []
    for engine in ("merge", "exhaustive"):
        columns = run_search(mlp, engine=engine, directory=tmp_path / engine).front["columns"]
        fronts.append(sorted(zip(columns["energy"], columns["latency"], strict=True)))
    assert fronts[0] == pytest.approx(np.array(fronts[1]), rel=1e-12)
    assert np.array(fronts[0]) == pytest.approx(mlp.found.values, rel=1e-12)


def test_combinations_that_no_search_found_are_invalid_and_say_so(mlp: CascadeMapping) -> None:
    points = np.array([[0.0, 1.0, 0.0], *mlp.space.front()[:1]])
    row = mlp.space.rows(points)[0]
    assert row["stays"] == "nothing"
    assert row["shared"] != "no loop"
    results = mlp.evaluate(points)
    assert results.status.tolist() == [Status.INVALID, Status.OK]
    assert results.reason_counts() == {MISSING: 1}
    with pytest.raises(UsageError, match="no mapping of this number"):
        mlp.describe(points[:1])


def test_details_add_up(mlp: CascadeMapping) -> None:
    point = mlp.space.front()[-1:]
    told, columns = mlp.describe(point), mlp.columns(mlp.mapping(point)[2])
    parts = {one.title: sum(item.value for item in one.items) for one in told.breakdowns}
    for title in ("Energy by level", "Energy by Einsum"):
        assert parts[title] == pytest.approx(columns["energy"][0], rel=1e-12)
    assert parts["Traffic by tensor"] == pytest.approx(columns["traffic"][0], rel=1e-12)
    base = mlp.baseline()
    assert base is not None
    assert parts["Energy by level, baseline"] == pytest.approx(mlp.evaluate(base).objectives[0, 0], rel=1e-12)
    (roof,) = told.rooflines
    assert all(spot.y <= roof.peak * (1.0 + 1e-12) for spot in roof.spots)
    own = mlp.describe(base)
    assert any("energy x 1, latency x 1, traffic x 1" in note for note in own.notes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"objectives": ("energi",)}, "unknown objective 'energi'"),
        ({"objectives": ()}, "no objective given"),
        ({"target": ""}, "no target given"),
        ({"problem": ""}, "no problem given"),
        ({"problem": "mlp:P4"}, "mlp:P4"),
        ({"mappings": 0}, "mappings"),
        ({"latency": "fast"}, "unknown 'fast'"),
        ({"problem": {"name": "x", "problems": [], "tensors": []}}, "do not name every view"),
    ],
)
def test_bad_specs_name_what_is_wrong(change: dict[str, Any], said: str) -> None:
    with pytest.raises(CodesignError, match=said):
        CascadeMapping(**{"problem": "mlp:P4D4M4N4", "target": "eyeriss-like", "mappings": 10, **change})


def test_notes_say_whether_enumerations_were_complete() -> None:
    assert begun([None, None]) == []
    assert "complete, it left out only what others dominate" in begun([True, None])[0]
    assert "not complete, it cut off" in begun([False])[0]
    assert "complete for none of 2 searches, they cut off" in begun([False, False])[0]
    assert "complete for 1 of 3 searches, the others cut off" in begun([True, False, False])[0]
