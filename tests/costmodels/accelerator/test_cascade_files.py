"""Cascades in lines and files: what is read, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from codesign.costmodels.accelerator.cascade_files import parse_cascade_file, parse_fused_file
from codesign.costmodels.accelerator.cascade_text import parse_cascade
from codesign.costmodels.accelerator.checks import check_fused
from codesign.costmodels.accelerator.fused import evaluate_cascade
from codesign.errors import CodesignError, DataError, UsageError
from codesign.targets.spatial import load_architecture

MLP = """
schema: 1
ranks: {P: 64, D: 64, M: 112, N: 64}
weights: [W1, W2]
einsums:
  - {name: up, inputs: {X: [P, D], W1: [D, M]}, output: {A: [P, M]}}
  - {name: down, inputs: {A: [P, M], W2: [M, N]}, output: {O: [P, N]}}
"""
FUSED = """
schema: 1
shared: [P8]
stay: {A: shared_glb}
einsums:
  up:
    nest:
      - {level: DRAM, loops: [M8]}
      - {level: shared_glb, loops: [D8, P8]}
      - {array: PE_column, x: [M14]}
      - {array: PE, y: [D8]}
  down:
    nest:
      - {level: shared_glb, loops: [M14, N8, P8]}
      - {array: PE_column, x: [N8]}
      - {array: PE, y: [M8]}
"""
EYERISS = load_architecture("eyeriss-like")


def test_a_file_is_the_line() -> None:
    written, line = parse_cascade_file(MLP, "mlp.yaml"), parse_cascade("mlp:P64D64M112N64")
    assert [dict(one.ranks) for one in written.problems] == [dict(one.ranks) for one in line.problems]
    assert written.external == line.external
    mapping = parse_fused_file(FUSED, "fused.yaml", written, EYERISS)
    costs = evaluate_cascade(written, EYERISS, mapping)
    assert costs.feasible.all()
    assert costs.retained == {"A": "shared_glb"}
    # W1 comes in eight parts for each of eight blocks of rows, W2 at once and again for each of them
    assert {name: float(bits[0]) / 8 for name, bits in costs.moved.items()} == {
        "X": 64 * 64, "W1": 8 * 64 * 112, "W2": 8 * 112 * 64, "O": 64 * 64,
    }  # fmt: skip


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_attention_names_an_operation_for_every_einsum(passes: int) -> None:
    cascade = parse_cascade(f"attention:H2P64M512E8F8,passes={passes},tile=128,bits=16")
    fusemax = load_architecture("fusemax")
    known = {name for spine in fusemax.spines() for name in spine.compute.operations}
    assert {one.operation for one in cascade.problems} <= known
    words = 2 * (64 * 8 + 512 * 8 + 512 * 8 + 64 * 8)
    assert sum(cascade.external.values()) == 16 * words
    assert set(cascade.external) == {"Q", "K", "V", "AV"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("shared: [P8]", "shared: [M8]", "rank P is not covered"),
        ("{A: shared_glb}", "{A: shared_gbl}", "A stays at shared_gbl, which does not keep it"),
        ("{A: shared_glb}", "{B: shared_glb}", "the cascade makes no tensor 'B'"),
        ("{A: shared_glb}", "{A: DRAM}", ""),
        ("  down:", "  dwn:", "no Einsum 'dwn'"),
        ("shared: [P8]", "shared: [Z8]", "unknown rank 'Z'"),
        ("shared: [P8]", "shard: [P8]", "shard"),
        ("[M8]}", "[M8], outside: {X: 1}}", "DRAM has shared loops"),
    ],
)
def test_a_mapping_that_cannot_be_is_named(old: str, new: str, said: str) -> None:
    cascade = parse_cascade_file(MLP, "mlp.yaml")
    assert old in FUSED

    def price() -> None:
        from codesign.costmodels.accelerator.checks import check_cover

        parts = parse_fused_file(FUSED.replace(old, new), "fused.yaml", cascade, EYERISS)
        for problem, part in zip(cascade.problems, parts, strict=True):
            check_cover(problem, part)
        check_fused(evaluate_cascade(cascade, EYERISS, parts), parts)

    if not said:
        price()
        return
    with pytest.raises(CodesignError) as caught:
        price()
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_loops_that_do_not_fit_each_other_are_named() -> None:
    cascade = parse_cascade_file(MLP, "mlp.yaml")
    # a loop over D around A: its sums would be read before they are complete
    early = FUSED.replace("shared: [P8]", "shared: [D8]").replace("[D8, P8]}", "[P64]}").replace("N8, P8]", "N8, P64]")
    parts = parse_fused_file(early, "fused.yaml", cascade, EYERISS)
    costs = evaluate_cascade(cascade, EYERISS, parts)
    assert costs.feasible.all(), "A lacks D: all of it stays outside of that loop"
    assert costs.parts[0].tile[costs.parts[0].entry("shared_glb", "A"), 0] == 64 * 112
    large = parse_cascade("mlp:P4096D64M112N64")
    text = FUSED.replace("shared: [P8]", "shared: [P2]").replace("P8]", "P2048]")
    big = parse_fused_file(text, "fused.yaml", large, EYERISS)
    with pytest.raises(UsageError, match=r"tiles overflow shared_glb by .* A stay there"):
        check_fused(evaluate_cascade(large, EYERISS, big), big)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("output: {A: [P, M]}", "output: {A: [P, Z]}", "rank 'Z' has no extent"),
        ("inputs: {A: [P, M], ", "inputs: {O: [P, N], ", "before"),
        ("output: {O: [P, N]}", "output: {A: [P, N]}", "made twice"),
        ("name: down", "name: up", "made twice"),
        ("weights: [W1, W2]", "weights: [W3]", "no tensor 'W3'"),
        ("weights: [W1, W2]", "bits: {A: 0}", "bits.A: found 0"),
        ("M: 112", "M: -1", "found extent -1"),
        ("schema: 1", "schema: 2", "found 2, expected 1"),
    ],
)
def test_a_cascade_that_cannot_be_is_named(old: str, new: str, said: str) -> None:
    assert old in MLP
    with pytest.raises(DataError) as caught:
        parse_cascade_file(MLP.replace(old, new), "mlp.yaml")
    assert "mlp.yaml" in caught.value.message
    assert said in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mlp:P64D64M112", "rank N has no extent"),
        ("attention:H2P64M500E8F8,passes=1,tile=128", "does not divide"),
        ("attention:H2P64M512E8F8,passes=4", "1, 2 or 3"),
        ("mlp:P64D64M112N64,pases=1", "unknown option"),
    ],
)
def test_a_line_that_cannot_be_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_cascade(text)
    found: Any = caught.value
    assert said in f"{found.message} {found.hint}"
