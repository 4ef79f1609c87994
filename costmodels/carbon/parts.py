"""The parts that embodied carbon is built of, as a spec writes them, and the grams of each.

Every coefficient is an uncertain input with a name of its own; parts that take the same coefficient share its error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.carbon.boards import board_coefficient, board_grams, package_grams
from codesign.costmodels.carbon.chiplet_packages import package, system_carbon
from codesign.costmodels.carbon.chiplets import Chiplet, DesignEffort, Operation, Silicon, chiplet_process
from codesign.costmodels.carbon.coefficients import Coefficient, coefficient
from codesign.costmodels.carbon.dies import MM2_PER_CM2, ProcessNode, carbon_per_area, die_grams, fab_coefficient
from codesign.costmodels.carbon.draws import Uncertain
from codesign.costmodels.carbon.memory import memory_grams, memory_process
from codesign.costmodels.carbon.modules import module_coefficient
from codesign.costmodels.carbon.servers import ServerPreset, server_grams
from codesign.costmodels.carbon.uncertain import Take, of_coefficient, written
from codesign.costmodels.carbon.yields import USUAL_ALPHA, die_yield
from codesign.errors import DataError
from codesign.targets import Value, load_target

GENERIC_RANGE = (0.7, 1.5)
"""Range of a module figure that states none, relative."""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """A part of a system: ``count`` of them, of which the system carries ``share``."""

    name: str = ""
    count: float = 1.0
    share: float = 1.0


class Yield(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Yield from defects: a model of ``yields``, defects per cm2, alpha of the negative binomial."""

    model: str
    defects_per_cm2: Any
    alpha: float = USUAL_ALPHA


class Die(Part, tag="die", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A logic die after ACT."""

    area: Any
    node_nm: float
    fab: str | float = "taiwan-2022"
    abatement: Any = None
    yield_: float | Yield | None = msgspec.field(default=None, name="yield")


class Memory(Part, tag="memory", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """DRAM, HBM, flash or a disk: a process or product of the tables, and a capacity in GB of 1e9 bytes."""

    process: str
    capacity: str


class Packaging(Part, tag="package", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Packages of integrated circuits."""

    circuits: int = 1


class Board(Part, tag="board", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bare printed circuit board."""

    area: Any
    layers: int


class Module(Part, tag="module", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole accelerator: the figure published under ``model``, or that of the target of this name."""

    model: str


class Server(Part, tag="server", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server from the preset, without the GPUs that stand as parts of their own."""

    memory_gb: float = 16.0
    cpus: int = 1
    ssds: int = 0
    hdds: int = 0
    gpus: int = 0


class WrittenChiplet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chiplet: kind of circuit, area at 7 nm, node."""

    type: str
    area_7nm: str
    node_nm: float


class Chiplets(Part, tag="chiplets", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Chiplets in a package after ECO-CHIP, with the carbon of their design shared by the parts made."""

    package: str
    chiplets: tuple[WrittenChiplet, ...]
    wafer_mm: float = 300.0
    parts_made: float = 100_000
    design_grid: float = 700.0


class Figure(Part, tag="figure", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A published or own figure, as grams with a unit, and its source."""

    value: Any
    source: str
    low: Any = None
    high: Any = None


AnyPart = Die | Memory | Packaging | Board | Module | Server | Chiplets | Figure


def part_grams(part: AnyPart, take: Take, where: str) -> Any:
    """Return the grams of one part with its count and share: a number, or draws.

    Raises:
        DataError: a number without its unit, or out of its domain; ``where`` is the place in the spec.
        UsageError: an unknown node, process, place or product; the nearest is named.
    """
    if not 0.0 < part.share <= 1.0:
        raise DataError(f"{where}.share: found {part.share:g}, expected above 0, at most 1")
    if not 0.0 < part.count < 1e9:
        raise DataError(f"{where}.count: found {part.count:g}, expected above 0")
    return _GRAMS[type(part)](part, take, where) * part.count * part.share


def part_name(part: AnyPart) -> str:
    """Return what a part is called in tables."""
    words: dict[type, Callable[[Any], str]] = {
        Die: lambda p: f"die {p.node_nm:g} nm", Memory: lambda p: f"{p.process} {p.capacity}",
        Module: lambda p: p.model, Board: lambda p: f"board of {p.layers} layers",
        Chiplets: lambda p: f"{len(p.chiplets)} chiplets, {p.package}",
    }  # fmt: skip
    kind = str(part.__struct_config__.tag)
    of_kind = words.get(type(part))
    return part.name or (kind if of_kind is None else of_kind(part))


def _die(part: Die, take: Take, where: str) -> Any:
    area = _plain(part.area, "mm2", f"{where}.area")

    def of_node(label: str, group: str) -> Any:
        return take(label, of_coefficient(coefficient(group, part.node_nm, f"{where}.node_nm")))

    node = ProcessNode(
        of_node("fab electricity", "logic_energy"), of_node("fab gases", "logic_gas_95"),
        of_node("fab gases", "logic_gas_99"), of_node("fab materials", "logic_material"),
    )  # fmt: skip
    fab = take(f"fab grid {part.fab}", of_coefficient(fab_coefficient(part.fab))) if isinstance(part.fab, str) else (
        part.fab)  # fmt: skip
    abatement = (
        take("gas abatement", of_coefficient(coefficient("default", "abatement")))
        if part.abatement is None
        else _plain(part.abatement, "", f"{where}.abatement")
    )
    per_area = carbon_per_area(node, fab, abatement, _yield(part.yield_, area, take, f"{where}.yield"))
    return die_grams(area, per_area.total_g_cm2)


def _yield(given: float | Yield | None, area_mm2: float, take: Take, where: str) -> Any:
    if given is None:
        return take("yield", of_coefficient(coefficient("default", "yield")))
    if isinstance(given, Yield):
        defects = take("defects", written(given.defects_per_cm2, "", f"{where}.defects_per_cm2"))
        return die_yield(given.model, area_mm2 / MM2_PER_CM2, defects, given.alpha)
    return given


def _memory(part: Memory, take: Take, where: str) -> Any:
    process = memory_process(part.process)
    capacity = _plain(part.capacity, "B", f"{where}.capacity") / 1e9
    return memory_grams(take(f"memory {process.name}", of_coefficient(process)), capacity)


def _package(part: Packaging, take: Take, where: str) -> Any:
    return package_grams(part.circuits, take("package", of_coefficient(coefficient("package", "per_ic"))))


def _board(part: Board, take: Take, where: str) -> Any:
    low, value, high = (board_coefficient(part.layers, end) for end in ("low", "value", "high"))
    return board_grams(_plain(part.area, "mm2", f"{where}.area") / 1e6, take("board", Uncertain(low, value, high)))


def _module(part: Module, take: Take, where: str) -> Any:
    published = module_coefficient(part.model)
    if published is not None:
        return take(f"module {published.name}", of_coefficient(published))
    declared = load_target(part.model).embodied
    if declared is None:
        raise DataError(f"{where}.model: {part.model} declares no embodied carbon", "list its parts instead")
    return take(f"module {part.model}", of_module(declared))


def of_module(declared: Value) -> Uncertain:
    """Return the embodied carbon that a target declares, with the range of modules where it states none."""
    ends = zip((declared.low, declared.high), GENERIC_RANGE, strict=True)
    low, high = (declared.value * factor if end is None else end for end, factor in ends)
    return Uncertain(low, declared.value, high)


def _server(part: Server, take: Take, where: str) -> Any:
    def of(name: str) -> Any:
        return take(f"server {name.replace('_', ' ')}", of_coefficient(coefficient("server", name)))

    preset = ServerPreset(*(of(name) for name in ServerPreset._fields))
    return server_grams(preset, part.memory_gb, part.ssds, part.hdds, part.cpus, part.gpus)


def _chiplets(part: Chiplets, take: Take, where: str) -> Any:
    chosen = package(part.package)
    bonding: Coefficient = coefficient("chiplet_package", "bonding_yield")
    chosen = chosen._replace(
        bonding_yield=take("bonding yield", of_coefficient(bonding)),
        interposer=chosen.interposer._replace(
            carbon_g_mm2=take("chiplet silicon", of_coefficient(coefficient("chiplet_carbon", 65)))
        ),
    )
    chiplets = []
    for number, one in enumerate(part.chiplets):
        area = _plain(one.area_7nm, "mm2", f"{where}.chiplets[{number}].area_7nm")
        process = chiplet_process(one.type, one.node_nm)._replace(
            carbon_g_mm2=take("chiplet silicon", of_coefficient(coefficient("chiplet_carbon", one.node_nm))),
            defects_cm2=take("chiplet defects", of_coefficient(coefficient("chiplet_defects", one.node_nm))),
        )
        chiplets.append(Chiplet(area, one.node_nm, process))
    found = system_carbon(
        chiplets, chosen, Operation(0.0, 0.0), part.design_grid, Silicon(part.wafer_mm),
        DesignEffort(parts_made=part.parts_made),
    )  # fmt: skip
    whole = found.manufacturing_g.sum(axis=0) + found.design_g.sum(axis=0)
    return np.asarray(whole + found.packaging_g + found.packaging_design_g)


def _figure(part: Figure, take: Take, where: str) -> Any:
    ends = {name: end for name, end in (("low", part.low), ("high", part.high)) if end is not None}
    given = written({"value": part.value, **ends}, "gCO2e", f"{where}.value")
    return take(f"figure {part.name or part.source}", given)


def _plain(given: Any, unit: str, where: str) -> float:
    found = written(given, unit, where)
    if found.low != found.high:
        raise DataError(f"{where}: a range is not read here", "give one number")
    return found.value


_GRAMS: dict[Any, Callable[[Any, Take, str], Any]] = {
    Die: _die, Memory: _memory, Packaging: _package, Board: _board, Module: _module, Server: _server,
    Chiplets: _chiplets, Figure: _figure,
}  # fmt: skip

KINDS = tuple(str(kind.__struct_config__.tag) for kind in _GRAMS)
"""Kinds of parts that a spec may name."""
