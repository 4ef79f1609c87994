"""Timeloop files of our own making: both forms of an architecture, and everything that is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.accelerator import Mappings, Problem, evaluate
from codesign.costmodels.accelerator.timeloop import (
    import_architecture,
    import_mapping,
    import_problem,
    mapping_text,
    parse_document,
)
from codesign.costmodels.accelerator.timeloop.constraints import Limit
from codesign.costmodels.accelerator.timeloop.section import Section
from codesign.errors import CodesignError, DataError, UsageError
from codesign.targets.spatial import Architecture, Fanout
from tests.costmodels.accelerator.random_designs import designs
from tests.costmodels.accelerator.timeloop.written import FLAT, MAPPING, PROBLEM, TABLES, TAGGED

Read = Callable[[Section], object]


def architecture(text: str = TAGGED) -> Architecture:
    return import_architecture(parse_document(text, "arch.yaml"), [parse_document(TABLES, "tables.yaml")]).architecture


def problem() -> Problem:
    return import_problem(parse_document(PROBLEM, "prob.yaml"))


def mapping(text: str = MAPPING) -> Mappings:
    return import_mapping(parse_document(text, "map.yaml"), problem(), architecture())


def test_both_forms_of_an_architecture_are_the_same_machine() -> None:
    tagged, flat = architecture(TAGGED), architecture(FLAT)
    assert tagged.clock is not None
    assert tagged.clock.value == pytest.approx(1e9)
    assert tagged.area() == flat.area() == pytest.approx((1000 + 8 * 60) * 1e-6)
    both = [evaluate(problem(), machine, import_mapping(parse_document(MAPPING, "m"), problem(), machine))
            for machine in (tagged, flat)]  # fmt: skip
    assert np.array_equal(both[0].reads, both[1].reads)
    assert np.array_equal(both[0].energy, both[1].energy)
    assert [(n.x, n.y) for n in tagged.spine().nodes if isinstance(n, Fanout)] == [(4, 2)]


def test_node_and_clock_come_from_attributes_or_variables() -> None:
    found = architecture()
    assert found.node_nm is not None
    assert found.node_nm.value == 32.0
    without = TAGGED.replace(", global_cycle_seconds: 1e-9", "").replace("32nm", "unknown")
    bare = import_architecture(parse_document(without, "arch.yaml")).architecture
    assert (bare.clock, bare.node_nm) == (None, None)
    imported = import_architecture(parse_document(without + "variables: {global_cycle_seconds: 4e-9}\n", "arch.yaml"))
    assert imported.architecture.clock is not None
    assert imported.architecture.clock.value == pytest.approx(0.25e9)


def test_a_mapping_is_read_as_timeloop_means_it() -> None:
    found = mapping()
    slots = found.slots
    m, k, n = range(3)
    assert found.factors[slots.find("Main"), :, 0].tolist() == [2, 2, 1]
    assert found.factors[slots.find("Buffer"), :, 0].tolist() == [2, 1, 4], "N=0 takes what is left"
    assert found.orders[0, -2:, 0].tolist() == [m, k], "the leftmost of a permutation is the innermost loop"
    assert found.factors[slots.find("Grid", "x"), k, 0] == 4
    assert found.factors[slots.find("Grid", "y"), m, 0] == 2
    assert [[holding.level for holding in one] for one in slots.holdings] == [
        ["Main", "Buffer"], ["Main", "Pad"], ["Main", "Buffer", "Sum"],
    ]  # fmt: skip
    assert n == slots.ranks.index("N")


def test_constraints_say_what_a_level_keeps_where_the_mapping_does_not() -> None:
    imported = import_architecture(parse_document(TAGGED, "arch.yaml"))
    assert imported.keeps == {"Buffer": ["A", "Z"], "Pad": ["B"], "Sum": ["Z"]}
    where = "arch.yaml: architecture.nodes[4].nodes[1].constraints.temporal"
    assert imported.limits == [Limit("Sum", False, {}, {}, ("K", "M", "N"), None, place=where)]
    silent = "\n".join(line for line in MAPPING.splitlines() if "keep" not in line)
    found = import_mapping(parse_document(silent, "m"), problem(), imported.architecture, imported.keeps)
    assert found.slots == mapping().slots


def test_constraints_of_a_dump_are_limits_of_a_search() -> None:
    targets = """
architecture_constraints:
  targets:
  - {type: temporal, target: Pad, factors: "M=1,N<=4", permutation: NM}
  - {type: spatial, target: inter_Grid_spatial, factors: [K=4], permutation: [K, M], split: 1}
  - {type: bypass, target: Pad, keep: [B], bypass: [A, Z]}
"""
    imported = import_architecture(parse_document(FLAT + targets, "dump.yaml"))
    where = "dump.yaml: architecture_constraints.targets"
    assert imported.limits == [
        Limit("Pad", False, {"M": 1}, {"N": 4}, ("N", "M"), None, place=f"{where}[0]"),
        Limit("inter_Grid_spatial", True, {"K": 4}, {}, ("K", "M"), 1, place=f"{where}[1]"),
    ]
    assert imported.keeps == {"Pad": ["B"]}
    for old, new, said in (
        ("M=1,N<=4", "M=one", "expected a factor"),
        ("type: bypass", "type: bypas", "did you mean bypass"),
        ("split: 1", "splitt: 1", "did you mean split"),
    ):
        refused(import_architecture, (FLAT + targets).replace(old, new), said)


def test_what_only_passes_by_and_further_limits_of_loops() -> None:
    text = TAGGED.replace("{keep: [A, Z], bypass: [B]}", "{bypass: [B]}").replace(
        "temporal: {permutation: [K, M, N]}", "temporal: {factors_only: [K=2], no_iteration_over_dataspaces: [A]}"
    )
    imported = import_architecture(parse_document(text, "arch.yaml"))
    assert (imported.keeps, imported.passes) == ({"Pad": ["B"], "Sum": ["Z"]}, {"Buffer": ["B"]})
    (limit,) = imported.limits
    assert (limit.fixed, limit.only, limit.still) == ({"K": 2}, True, ("A",))
    silent = "\n".join(line for line in MAPPING.splitlines() if "keep" not in line)
    found = import_mapping(
        parse_document(silent, "m"), problem(), imported.architecture, imported.keeps, imported.passes
    )
    assert found.slots == mapping().slots
    refused(import_architecture, text.replace("[K=2]", "[K=2, K<=4]"), "two factors of rank K")


def test_a_dump_without_meshes_counts_by_names() -> None:
    bare = FLAT.replace(", meshX: 4, meshY: 2", "")
    found = import_architecture(parse_document(bare, "dump.yaml")).architecture
    assert found.spine().compute_instances == 8
    refused(import_architecture, FLAT.replace("Mac[1..8]", "Mac[1..6]"), "6 instances on a mesh of 4 x 2")
    refused(import_architecture, FLAT[: FLAT.index("    - {name")] + "      []\n", "disconnected architecture")


def test_without_tables_energies_are_unknown() -> None:
    imported = import_architecture(parse_document(TAGGED, "arch.yaml")).architecture
    costs = evaluate(problem(), imported, import_mapping(parse_document(MAPPING, "m"), problem(), imported))
    assert set(costs.unpriced) == {"Main", "Buffer", "Pad", "Sum", "Mac"}


@given(designs())
def test_an_exported_mapping_reads_back(design: tuple[Problem, Architecture, Mappings]) -> None:
    found, machine, mappings = design
    try:
        text = mapping_text(found, mappings)
    except UsageError:
        return  # uneven: Timeloop has no form for it
    again = import_mapping(parse_document(text, "export"), found, machine)
    one, other = evaluate(found, machine, mappings), evaluate(found, machine, again)
    for name in ("reads", "fills", "updates", "tile"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), text
    assert np.array_equal(one.cycles, other.cycles)


def test_an_uneven_mapping_has_no_timeloop_form() -> None:
    from codesign.costmodels.accelerator import make_slots, one_mapping

    slots = make_slots(problem(), architecture().spine(), splits={"Buffer": 2}, cuts={("A", "Buffer"): 1})
    uneven = one_mapping(slots, [(slots.find("Buffer"), "M", 8), (0, "K", 16), (0, "N", 4)])
    with pytest.raises(UsageError, match="uneven mapping has no Timeloop form"):
        mapping_text(problem(), uneven)


ARCHITECTURES = [
    ("class: SRAM", "class: SRAMM", "unknown component class 'SRAMM' (did you mean sram"),
    ("read_bandwidth: 4", "read_bandwidth: 0", "zero bandwidth"),
    ("read_bandwidth: 4", "read_bandwith: 4", "unsupported key 'read_bandwith' (did you mean read_bandwidth"),
    ("read_bandwidth: 4", "has_power_gating: true", "unsupported value True"),
    ("spatial: {meshX: 4, meshY: 2}", "spatial: {meshX: 4, meshZ: 2}", "unsupported key 'meshZ'"),
    ("meshX: 4", "meshX: 0", "expected an integer from 1"),
    ("!Parallel", "!Hierarchical", "tag '!Hierarchical' is refused"),
    ("!Parallel", "!!python/object:os.system", "is refused"),
    ("- !Component\n    name: Mac", "- name: Mac", "found no tag"),
    ("constraints: {dataspace: {keep: [B]}}", "constraint: {}", "did you mean constraints"),
    ("name: Pad", "name: Sum", "two nodes are called 'Sum'"),
    ("global_cycle_seconds: 1e-9", "global_cycle_seconds: 0", "expected a positive time"),
    ("width: 64, datawidth: 8}", "width: 64}", "missing datawidth"),
    ("architecture:", "sparse_optimizations: {targets: [1]}\narchitecture:", "sparse formats"),
    ("architecture:", "architektur:", "did you mean architecture"),
    ("technology: \"32nm\"", "technology: \"{{node}}\"", "Jinja2"),
    ("attributes: {multiplier_width: 8}", "attributes: &a {multiplier_width: 8}", "anchors"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), ARCHITECTURES)
def test_an_architecture_that_is_not_supported_says_where(old: str, new: str, said: str) -> None:
    assert old in TAGGED
    refused(lambda document: import_architecture(document), TAGGED.replace(old, new, 1), said)


def test_a_disconnected_architecture_is_refused() -> None:
    unit = TAGGED[TAGGED.index("  - !Component\n    name: Mac") :]
    refused(lambda document: import_architecture(document), TAGGED.replace(unit, ""), "disconnected architecture")
    moved = TAGGED.replace(unit, "").replace("  nodes:\n", "  nodes:\n" + unit, 1)
    refused(lambda document: import_architecture(document), moved, "disconnected architecture")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("N: 4}", "Q: 4}", "unsupported key 'Q'"),
        (", N: 4}", "}", "rank 'N' has no extent"),
        ("N: 4}", "N: 0}", "expected an integer from 1"),
        ("[[[M, step]]", "[[[M, stride]]", "unknown coefficient 'stride'"),
        ("[[[M, step]]", "[[[T]]", "unknown rank 'T'"),
        ("[[[M, step]], [[K]]]", '"[M] [K]"', "an expression"),
        ("read_write: true", "read_write: false", "found 0 read-write"),
        ("N: 4}", "N: 4, densities: {A: 0.5}}", "sparse data"),
        ("instance:", "instances:", "did you mean instance"),
        (", default: 1", "", "has no value"),
    ],
)
def test_a_problem_that_is_wrong_says_where(old: str, new: str, said: str) -> None:
    assert old in PROBLEM
    refused(import_problem, PROBLEM.replace(old, new, 1), said)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("target: Main", "target: Mein", "did you mean Main"),
        ("M=2 K=2", "M=2 T=2", "unknown rank 'T'"),
        ("M=2 K=2", "M=2 M=2", "two factors of rank M"),
        ("M=2 K=2", "M=2 K=two", "expected a factor such as R=3"),
        ("permutation: KMN}", "permutation: M}", "does not order rank K"),
        ("permutation: KMN}", "permutation: KKM}", "rank K twice"),
        ("type: temporal", "type: temporl", "did you mean temporal"),
        ("target: Grid, type: spatial", "target: Grid, type: temporal", "temporal loops at the array"),
        ("target: Grid", "target: Main", "no array at 'Main'"),
        ("keep: [A, Z]", "keep: [A, Y]", "unknown tensor 'Y'"),
        ("split: 1", "splits: 1", "did you mean split"),
        ("M=2,N=0", "K=0,N=0", ""),
    ],
)
def test_a_mapping_that_is_wrong_says_where(old: str, new: str, said: str) -> None:
    assert old in MAPPING
    if said:
        machine, found = architecture(), problem()
        refused(lambda document: import_mapping(document, found, machine), MAPPING.replace(old, new, 1), said)
    else:
        assert mapping(MAPPING.replace(old, new, 1)).factors[1].ravel().tolist() == [1, 1, 4]


TEXTS = (TAGGED, FLAT, TABLES, PROBLEM, MAPPING)
JUNK = (
    "",
    "0",
    "-1",
    "null",
    "[]",
    "{}",
    "!Component",
    "1e309",
    ".nan",
    "\x00",
    "'",
    "[[[",
    "R=99999999999999999999",
    "é\u202e",
)


@settings(max_examples=300)
@given(st.integers(0, 4), st.integers(0, 10_000), st.sampled_from(JUNK), st.integers(0, 12))
def test_a_damaged_file_is_refused_or_read_but_never_breaks(which: int, place: int, junk: str, cut: int) -> None:
    text = TEXTS[which]
    place %= len(text)
    texts = [*TEXTS]
    texts[which] = text[:place] + junk + text[place + cut :]
    tagged, flat, tables, prob, mapped = texts
    try:
        found = import_problem(parse_document(prob, "prob.yaml"))
        for written in (tagged, flat):
            machine = import_architecture(parse_document(written, "a.yaml"), [parse_document(tables, "t.yaml")])
            mappings = import_mapping(parse_document(mapped, "m.yaml"), found, machine.architecture, machine.keeps)
            assert np.isfinite(evaluate(found, machine.architecture, mappings).cycles).all()
    except CodesignError:
        return  # refused in one line; anything else is a bug


def refused(read: Read, text: str, said: str) -> None:
    with pytest.raises(DataError) as raised:
        read(parse_document(text, "given.yaml"))
    assert said in str(raised.value)
    assert "given.yaml" in str(raised.value)
