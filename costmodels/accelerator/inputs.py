"""From names and files to a problem, an accelerator and a mapping: our own forms and Timeloop's, mixed as one likes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from codesign.costmodels.accelerator.cascade_files import parse_cascade_file, parse_fused_file
from codesign.costmodels.accelerator.cascade_problem import CascadeProblem
from codesign.costmodels.accelerator.cascade_text import is_cascade_text, parse_cascade
from codesign.costmodels.accelerator.checks import check_arrays, check_capacity, check_cover, check_fused
from codesign.costmodels.accelerator.costs import Costs
from codesign.costmodels.accelerator.counts import evaluate
from codesign.costmodels.accelerator.files import parse_mapping_file, parse_problem_file
from codesign.costmodels.accelerator.fused import FusedCosts, evaluate_cascade
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


def price_files(
    target: str, problem: str, mapping: str, tables: Sequence[str] = (), reuse: str = "reset", latency: str = "ideal"
) -> Priced:
    """Return the costs of one mapping, checked.

    Args:
        target: A name of the catalogue, a file of ours, an architecture file of Timeloop, or ZigZag's hardware file.
        problem: A line such as ``gemm:64x64x64``, a file of ours, or a problem file of Timeloop.
        mapping: A file of ours, or a mapping file of Timeloop.
        tables: ERT and ART files of a Timeloop architecture.
        reuse: ``reset`` or ``retain``, see ``evaluate``.
        latency: How cycles are counted: a mode and flags such as ``systolic,ramp-up``.

    Raises:
        UsageError: the mapping does not cover the problem, spread over the arrays or fit the memories.
        DataError: a file is wrong.
    """
    imported = read_architecture(target, tables)
    found = read_problem(problem)
    if is_timeloop(mapping):
        made = import_mapping(read_document(mapping), found, imported.architecture, imported.keeps, imported.passes)
    else:
        made = parse_mapping_file(read_text(mapping), mapping, found, imported.architecture)
    check_cover(found, made)
    check_arrays(imported.architecture.spine(made.slots.unit), made)
    costs = evaluate(found, imported.architecture, made, reuse, latency)
    check_capacity(costs)
    unused = ", ".join(dict.fromkeys(limit.node for limit in imported.limits))
    notes = [f"{target}: constraints of a search, not used here: {unused}"] if unused else []
    return Priced(costs, made, [*imported.notes, *notes])


class FusedPrice(NamedTuple):
    """One mapping of a cascade and what it costs, with notes for people."""

    costs: FusedCosts
    parts: list[Mappings]
    notes: list[str]


def price_cascade_files(
    target: str, problem: str, mapping: str, tables: Sequence[str] = (), reuse: str = "reset", latency: str = "ideal"
) -> FusedPrice:
    """Return the costs of one mapping of a cascade, checked; arguments as of ``price_files``.

    Raises:
        UsageError: the mapping does not cover an Einsum, spread over the arrays, fit the memories, or loops of Einsums
            that pass a tensor on do not fit each other; ``retain``, which cascades do not have.
        DataError: a file is wrong.
    """
    if reuse != "reset":
        raise UsageError(f"reuse {reuse!r} does not go with a cascade", "leave it out")
    imported = read_architecture(target, tables)
    cascade = read_cascade(problem)
    parts = parse_fused_file(read_text(mapping), mapping, cascade, imported.architecture)
    for one, part in zip(cascade.problems, parts, strict=True):
        check_cover(one, part)
        check_arrays(imported.architecture.spine(part.slots.unit), part)
    costs = evaluate_cascade(cascade, imported.architecture, parts, latency)
    check_fused(costs, parts)
    return FusedPrice(costs, parts, imported.notes)


def is_cascade(text: str) -> bool:
    """Say whether ``text`` is a cascade: a line such as ``mlp:P64D32M128N32``, or a file that lists Einsums."""
    if is_cascade_text(text) or not is_path(text):
        return is_cascade_text(text)
    return not is_timeloop(text) and re.search(r"^einsums:", read_text(text), re.MULTILINE) is not None


def read_cascade(text: str) -> CascadeProblem:
    """Return the cascade of a line or a file.

    Raises:
        UsageError: a line that cannot be read.
        DataError: a file that is wrong.
    """
    return parse_cascade(text) if is_cascade_text(text) else parse_cascade_file(read_text(text), text)


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
        return Imported(architecture_of(machine), {}, [], list(machine.notes), {})
    if tables:
        raise UsageError(f"{target} is no Timeloop architecture: it holds its own energies", "leave out --tables")
    return Imported(load_architecture(target), {}, [], [], {})


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
