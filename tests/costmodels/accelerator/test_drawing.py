"""The loop nest as text, and mapping files of our own."""

from __future__ import annotations

import pytest

from codesign.costmodels.accelerator import evaluate, parse_problem
from codesign.costmodels.accelerator.drawing import draw
from codesign.costmodels.accelerator.files import parse_mapping_file
from codesign.errors import DataError
from codesign.targets.spatial import load_architecture

MAPPING = """
schema: 1
nest:
  - {level: DRAM, loops: [P8, Q2, K4]}
  - {level: shared_glb, loops: [P14, Q4], outside: {Outputs: 1}}
  - {array: PE_column, x: [Q14]}
  - {array: PE, y: [C3, S3]}
  - {level: weights_spad, loops: [R3]}
  - {level: psum_spad, loops: [K8]}
"""
PROBLEM = "conv:K32C3P112Q112R3S3,stride=2"


def test_tiles_of_an_uneven_level_stand_where_they_begin() -> None:
    problem, architecture = parse_problem(PROBLEM), load_architecture("eyeriss-like")
    mappings = parse_mapping_file(MAPPING, "map.yaml", problem, architecture)
    costs = evaluate(problem, architecture, mappings)
    lines = [line.strip() for line in draw(costs, mappings)]
    assert lines[0] == "[DRAM: Inputs 151,875, Weights 864, Outputs 401,408]"
    first, second = lines.index("[shared_glb: Inputs 9,831]"), lines.index("[shared_glb: Outputs 448]")
    assert lines[first + 1 : second] == ["for P in 0..14"]
    assert lines[-1] == "Outputs += Inputs * Weights"
    assert len(lines) == len(set(lines)) == 12 + 6 - 1
    even = parse_mapping_file(MAPPING.replace(", outside: {Outputs: 1}", ""), "map.yaml", problem, architecture)
    whole = evaluate(problem, architecture, even)
    assert whole.tile[whole.entry("shared_glb", "Outputs"), 0] == 14 * 448
    assert whole.cycles[0] == costs.cycles[0] == 86_016


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("schema: 1", "schema: 3", "expected 1"),
        ("level: DRAM", "level: DRM", "did you mean DRAM"),
        ("array: PE,", "array: PEE,", "did you mean PE"),
        ("loops: [R3]", "loop: [R3]", "unknown key 'loop'"),
        ("loops: [R3]", "loops: [3R]", "cannot be read"),
        ("loops: [R3]", "loops: [T3]", "unknown rank 'T'"),
        ("loops: [R3]", "loops: [R0]", "expected 1 or more"),
        ("loops: [R3]", "loops: [R3, R1]", "rank R twice"),
        ("x: [Q14]", "loops: [Q14]", "arrays have x and y"),
        ("outside: {Outputs: 1}", "outside: {Outputs: 9}", "expected 0 to 2"),
        ("outside: {Outputs: 1}", "outside: {Output: 1}", "no tensor 'Output'"),
        ("outside: {Outputs: 1}", "keep: [Weights]", "holds input, output only"),
        ("level: psum_spad", "level: ifmap_spad", "out of order"),
        ("nest:", "unit: vector\nnest:", "no compute unit 'vector'"),
    ],
)
def test_a_mapping_file_that_is_wrong_says_where(old: str, new: str, said: str) -> None:
    assert old in MAPPING
    with pytest.raises(DataError) as refused:
        parse_mapping_file(
            MAPPING.replace(old, new), "map.yaml", parse_problem(PROBLEM), load_architecture("eyeriss-like")
        )
    assert said in str(refused.value)
    assert "map.yaml" in str(refused.value)
