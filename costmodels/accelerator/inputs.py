"""From names and files to a problem, an accelerator and a mapping: our own forms and Timeloop's, mixed as one likes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from codesign.costmodels.accelerator.checks import check_arrays, check_capacity, check_cover
from codesign.costmodels.accelerator.costs import Costs
from codesign.costmodels.accelerator.counts import evaluate
from codesign.costmodels.accelerator.files import parse_mapping_file, parse_problem_file
from codesign.costmodels.accelerator.mapping import Mappings
from codesign.costmodels.accelerator.problem import Problem
from codesign.costmodels.accelerator.problem_text import KINDS, is_problem_text, parse_problem
from codesign.costmodels.accelerator.timeloop import (
    Imported,
    import_architecture,
    import_mapping,
    import_problem,
    is_timeloop,
    read_document,
)
from codesign.costmodels.accelerator.zigzag import architecture_of, is_zigzag_hardware, read_hardware
from codesign.errors import UsageError, nearest
from codesign.strict_yaml import read_text
from codesign.targets.spatial import load_architecture
from codesign.targets.spatial.loader import is_path


class Priced(NamedTuple):
    """One mapping and what it costs, with notes for people."""

    costs: Costs
    mappings: Mappings
    notes: list[str]


def price_files(target: str, problem: str, mapping: str, tables: Sequence[str] = (), reuse: str = "reset") -> Priced:
    """Return the costs of one mapping, checked.

    Args:
        target: A name of the catalogue, a file of ours, an architecture file of Timeloop, or ZigZag's hardware file.
        problem: A line such as ``gemm:64x64x64``, a file of ours, or a problem file of Timeloop.
        mapping: A file of ours, or a mapping file of Timeloop.
        tables: ERT and ART files of a Timeloop architecture.
        reuse: ``reset`` or ``retain``, see ``evaluate``.

    Raises:
        UsageError: the mapping does not cover the problem, spread over the arrays or fit the memories.
        DataError: a file is wrong.
    """
    imported = read_architecture(target, tables)
    found = read_problem(problem)
    if is_timeloop(mapping):
        made = import_mapping(read_document(mapping), found, imported.architecture, imported.keeps)
    else:
        made = parse_mapping_file(read_text(mapping), mapping, found, imported.architecture)
    check_cover(found, made)
    check_arrays(imported.architecture.spine(made.slots.unit), made)
    costs = evaluate(found, imported.architecture, made, reuse)
    check_capacity(costs)
    return Priced(costs, made, imported.notes)


def read_architecture(target: str, tables: Sequence[str] = ()) -> Imported:
    """Return an accelerator of the catalogue, of a file of ours, of Timeloop or of ZigZag.

    Raises:
        UsageError: no such accelerator, or tables for one that has its energies.
        DataError: a file is wrong.
    """
    if is_path(target) and is_timeloop(target):
        return import_architecture(read_document(target), [read_document(table) for table in tables])
    if is_path(target) and not tables and is_zigzag_hardware(target):
        machine = read_hardware(target)
        return Imported(architecture_of(machine), {}, [], list(machine.notes))
    if tables:
        raise UsageError(f"{target} is no Timeloop architecture: it holds its own energies", "leave out --tables")
    return Imported(load_architecture(target), {}, [], [])


def read_problem(text: str) -> Problem:
    """Return the problem of a line or a file.

    Raises:
        UsageError: a line that cannot be read.
        DataError: a file that is wrong.
    """
    if is_problem_text(text) or not is_path(text):
        if ":" not in text and text not in KINDS:
            raise UsageError(
                f"problem {text[:60]!r}: no file, and no line such as {KINDS['gemm'].example}", nearest(text, KINDS)
            )
        return parse_problem(text)
    if is_timeloop(text):
        return import_problem(read_document(text))
    return parse_problem_file(read_text(text), text)
