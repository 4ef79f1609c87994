"""The reference inputs and outputs of Timeloop themselves, where they are at hand: read as files, priced, compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from codesign.costmodels.accelerator import evaluate
from codesign.costmodels.accelerator.published import cases
from codesign.costmodels.accelerator.timeloop import (
    import_architecture,
    import_mapping,
    import_problem,
    mapping_text,
    parse_document,
    read_document,
)

EXPECTED = {case.name: case.expected for case in cases()}
FOLDER = Path(__file__).parents[5] / "shared" / "data" / "accelerators" / "timeloop"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the reference files of Timeloop are not here")


@pytest.mark.parametrize("name", EXPECTED)
def test_a_dump_prices_as_published(name: str) -> None:
    folder, expected = FOLDER / name, EXPECTED[name]
    dump = read_document(str(folder / "parsed-processed-input.yaml"))
    tables = [read_document(str(next(folder.glob(f"*.{kind}.yaml")))) for kind in ("ERT", "ART")]
    imported = import_architecture(dump, tables)
    problem = import_problem(dump)
    mapped = list(folder.glob("*.map.yaml"))
    source = read_document(str(mapped[0])) if mapped else dump
    mapping = import_mapping(source, problem, imported.architecture)
    costs = evaluate(problem, imported.architecture, mapping)
    for level, tensors in expected["levels"].items():
        for tensor, counts in tensors.items():
            row = costs.entry(level, tensor)
            found = (costs.reads[row, 0], costs.fills[row, 0], costs.updates[row, 0], costs.tile[row, 0])
            keys = ("reads", "fills", "updates", "utilized_capacity")
            assert found == tuple(counts[key] for key in keys), (level, tensor)
    assert costs.cycles[0] == expected["cycles"]
    joules = expected["fj_per_compute"]["Total"] * 1e-15 * expected["computes"]
    assert costs.energy[1, 0] == pytest.approx(joules, rel=1e-6)
    assert imported.architecture.area() is not None
    again = import_mapping(parse_document(mapping_text(problem, mapping), "export"), problem, imported.architecture)
    once_more = evaluate(problem, imported.architecture, again)
    assert (once_more.reads == costs.reads).all()
    assert (once_more.energy == costs.energy).all()
    assert again.slots == mapping.slots
    assert (again.factors == mapping.factors).all()


@pytest.mark.parametrize("name", ["00-conv1d-1level", "02-conv1d+oc-2level-tiling", "03-conv1d+oc-3level-bypass"])
def test_files_that_a_user_writes_price_as_published(name: str) -> None:
    folder, expected = FOLDER / name, EXPECTED[name]
    architecture = read_document(str(next((folder / "input").glob("*.arch.yaml"))))
    problem = import_problem(read_document(str(next((folder / "input").glob("*.prob.yaml")))))
    imported = import_architecture(architecture, [read_document(str(next(folder.glob("*.ERT.yaml"))))])
    mapping = read_document(str(next((folder / "input").glob("*.map.yaml"))))
    costs = evaluate(problem, imported.architecture, import_mapping(mapping, problem, imported.architecture))
    joules = expected["fj_per_compute"]["Total"] * 1e-15 * expected["computes"]
    assert costs.energy[1, 0] == pytest.approx(joules, rel=1e-6)
    assert costs.cycles[0] == expected["cycles"]


def test_the_tagged_eyeriss_and_its_mapping_price_as_published() -> None:
    folder, expected = FOLDER / "eyeriss_like", EXPECTED["eyeriss_like"]
    imported = import_architecture(
        read_document(str(folder / "input" / "arch.yaml")), [read_document(str(next(folder.glob("*.ERT.yaml"))))]
    )
    problem = import_problem(read_document(str(folder / "input" / "default_problem.yaml")))
    mapping = import_mapping(read_document(str(next(folder.glob("*.map.yaml")))), problem, imported.architecture)
    costs = evaluate(problem, imported.architecture, mapping)
    assert costs.cycles[0] == expected["cycles"]
    assert costs.energy[1, 0] == pytest.approx(expected["fj_per_compute"]["Total"] * 1e-15 * expected["computes"], 1e-6)
