"""Problems of Timeloop: a shape (dimensions, coefficients, data spaces) and an instance (extents, coefficients)."""

from __future__ import annotations

from codesign.costmodels.accelerator.problem import Problem, checked
from codesign.costmodels.accelerator.timeloop.section import Section
from codesign.errors import DataError, UsageError, nearest
from codesign.workload import Axis, Role, Tensor

DERIVED = ("H", "W", "Hpad", "Wpad", "densities")
"""Instance keys that follow from others, or describe data: P and Q are given."""

BITS = 8
"""Bits of an element where a level does not say; Timeloop's levels do."""


def import_problem(document: Section) -> Problem:
    """Return the problem of a document.

    Raises:
        DataError: ranks without extents, data spaces without exactly one output, unsupported keys.
    """
    section = document.at("problem")
    section.keys(("shape", "instance"), ("version",))
    shape, instance = section.at("shape"), section.at("instance")
    shape.keys(("dimensions", "coefficients", "data_spaces"), ("name", "version"))
    ranks = shape.at("dimensions").names()
    values = _coefficients(shape, instance)
    given = instance.keys((*ranks, *values), DERIVED)
    if given.get("densities"):
        raise instance.at("densities").fail("sparse data are not supported", "remove it for a dense problem")
    for rank in ranks:
        if rank not in given:
            raise instance.fail(f"rank {rank!r} has no extent", f"add {rank}: and its size")
    extents = {rank: instance.at(rank).integer() for rank in ranks}
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    for space in shape.at("data_spaces").items():
        space.keys(("name", "projection"), ("read_write",))
        written = space.get("read_write")
        (outputs if written is not None and written.data is True else inputs).append(_tensor(space, ranks, values))
    if len(outputs) != 1:
        raise shape.at("data_spaces").fail(f"found {len(outputs)} read-write data spaces, expected one")
    name = shape.get("name")
    label = name.text() if name is not None and name.data != "" else "problem"
    try:
        return checked(Problem(name=label, ranks=extents, inputs=tuple(inputs), output=outputs[0]))
    except UsageError as error:
        raise DataError(f"{document.file}: {error.message}", error.hint) from None


def _coefficients(shape: Section, instance: Section) -> dict[str, int]:
    values: dict[str, int] = {}
    listed = shape.get("coefficients")
    for entry in listed.items() if listed is not None else ():
        entry.keys(("name", "default"))
        name = entry.at("name").text()
        given = instance.get(name) or entry.get("default")
        if given is None:
            raise entry.fail(f"coefficient {name!r} has no value", f"add a default, or {name}: to the instance")
        values[name] = given.integer()
    return values


def _tensor(space: Section, ranks: list[str], values: dict[str, int]) -> Tensor:
    name = space.at("name").text()
    projection = space.at("projection")
    if isinstance(projection.data, str):
        raise projection.fail("an expression", "write it as lists: an axis is a list of [rank] or [rank, coefficient]")
    axes = []
    for axis in projection.items():
        terms = []
        for term in axis.items():
            parts = list(term.items())
            if not 1 <= len(parts) <= 2:
                raise term.fail(f"found {len(parts)} parts, expected [rank] or [rank, coefficient]")
            rank = parts[0].text()
            if rank not in ranks:
                raise term.fail(f"unknown rank {rank!r}", nearest(rank, ranks))
            terms.append((rank, _coefficient(parts[1], values) if len(parts) == 2 else 1))
        axes.append(Axis(tuple(terms)))
    role = Role.WEIGHT if name.lower().startswith("weight") else Role.ACTIVATION
    return Tensor(name, tuple(axes), role, BITS)


def _coefficient(part: Section, values: dict[str, int]) -> int:
    if isinstance(part.data, int):
        return part.integer()
    name = part.text()
    if name not in values:
        raise part.fail(f"unknown coefficient {name!r}", nearest(name, values) if values else "list it in coefficients")
    return values[name]
