"""Architectures of Timeloop: the tagged tree of v0.4 files, and the flattened tree of its own dumps.

A container with a ``spatial`` mesh is an array; its children follow it in the list, and inherit its attributes. In a
dump every level carries its instance count and mesh, and arrays are levels of class ``dummy_storage``. Energies come
from an ERT, areas from an ART; both may be in files of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from codesign.costmodels.accelerator.timeloop.constraints import Limit, dump_limits, limit_of, read_keeping
from codesign.costmodels.accelerator.timeloop.document import notes_of
from codesign.costmodels.accelerator.timeloop.section import Section
from codesign.costmodels.accelerator.timeloop.tables import Energies, areas, energies
from codesign.errors import nearest
from codesign.strict_yaml import TAG
from codesign.targets.spatial import Architecture, ComputeUnit, Fanout, Node, Operation, Parallel, Storage
from codesign.targets.spatial.schema import check_tree
from codesign.targets.target import Value

STORAGES = {
    "dram": "dram", "sram": "sram", "smartbuffer": "sram", "smartbuffer_sram": "sram", "storage": "sram",
    "regfile": "regfile", "smartbuffer_rf": "regfile", "reg": "regfile", "register": "regfile", "latch": "latch",
}  # fmt: skip
"""Component class in lower case -> our kind."""

COMPUTES = ("intmac", "fpmac", "mac", "compute", "intmultiplier", "fpmultiplier", "intadder", "fpadder")
"""Classes that compute."""

ARRAY = "dummy_storage"
"""Class of the levels that stand for arrays in a dump."""

USED = (
    "width", "depth", "datawidth", "word-bits", "n_banks", "cluster_size", "cluster-size", "block_size", "block-size",
    "multiple_buffering", "read_bandwidth", "write_bandwidth", "shared_bandwidth", "meshX", "meshY",
    "technology", "global_cycle_seconds",
)  # fmt: skip

FIXED: dict[str, tuple[Any, ...]] = {
    "has_power_gating": (False,), "power_gated_at": (None,), "reduction_supported": (True,),
    "allow_overbooking": (False,),
}  # fmt: skip
"""Attributes of which only the value that changes nothing is supported."""

IGNORED = (
    "type", "version", "min_utilization", "update_fifo_depth", "multiplier_width", "adder_width", "latency", "n_ports",
    "n_rd_ports", "n_wr_ports", "n_rdwr_ports", "action_latency_cycles", "metadata_datawidth",
)  # fmt: skip
"""Attributes that only table generation reads, or that steer a search."""

SHORTEST, LONGEST = 1e-15, 1e3
"""Cycles in s that are taken seriously."""

_TECHNOLOGY = re.compile(r"(\d{1,4}(?:\.\d{1,3})?)\s*nm")
_COUNTED = re.compile(r"([^\[\]]+)\[(\d+)\.\.(\d+)\]")


class Imported(NamedTuple):
    """An architecture of Timeloop.

    Attributes:
        architecture: The accelerator.
        keeps: Level -> tensors that its constraints let it keep; levels without constraints are absent.
        limits: What its constraints let a search do with loops.
        notes: What was read but not used, for people.
        passes: Level -> tensors that its constraints let pass by, of levels that do not say what they keep.
    """

    architecture: Architecture
    keeps: dict[str, list[str]]
    limits: list[Limit]
    notes: list[str]
    passes: dict[str, list[str]]


Constraints = tuple[dict[str, list[str]], dict[str, list[str]], list[Limit]]
"""What constraints say so far: tensors that levels keep, tensors that pass them by, limits on loops."""


class Level(NamedTuple):
    """A component before its energies are known: its part of the file, attributes, class."""

    name: str
    section: Section
    attributes: dict[str, Any]
    kind: str
    group: int


def import_architecture(document: Section, tables: Iterable[Section] = ()) -> Imported:
    """Return the accelerator of a document.

    Args:
        document: File with an ``architecture``; ERT and ART in it are used.
        tables: Further files with ERT or ART.

    Raises:
        DataError: unknown component classes, unsupported attributes, a tree that is not connected.
    """
    section = document.at("architecture")
    section.keys(("nodes", "subtree"), ("version",))
    known: Energies = {}
    sizes: dict[str, Value] = {}
    for source in (document, *tables):
        known |= energies(source)
        sizes |= areas(source)
    compound = _compound_classes(document)
    flat = section.get("subtree") is not None
    limits, keeps, passes = dump_limits(document)
    parts = list(_flattened(section, compound) if flat else _tagged(section, compound, (keeps, passes, limits)))
    nodes = _assembled(parts, known, sizes)
    check_tree(nodes, document.file)
    clock = _clock(parts, document)
    stem = re.sub(r"[^a-z0-9.+-]+", "-", document.file.rpartition("/")[2].removesuffix(".yaml").lower()).strip("-")
    architecture = Architecture(
        id=stem or "timeloop",
        name=document.file.rpartition("/")[2],
        nodes=nodes,
        node_nm=_node_nm(parts),
        clock=clock,
        origin=document.file,
    )
    notes = notes_of(document)
    if known:
        notes.append("energies of reference tables are shown without an interval: the tables state none")
    return Imported(architecture, keeps, limits, notes, passes)


def _compound_classes(document: Section) -> list[str]:
    found = document.get("compound_components")
    classes = found.get("classes") if found is not None else None
    return [entry.at("name").text() for entry in classes.items()] if classes is not None else []


def _attributes(section: Section, inherited: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a part, those of the containers around it included."""
    given = section.get("attributes")
    if given is None:
        return dict(inherited)
    own = given.keys(USED, (*FIXED, *IGNORED))
    for key, allowed in FIXED.items():
        if key in own and own[key] not in allowed:
            raise given.at(key).fail(f"unsupported value {own[key]!r}", f"only {allowed[0]!r} is supported")
    return {**inherited, **own}


def _level(section: Section, attributes: dict[str, Any], compound: list[str], group: int) -> Level:
    kind = section.at("class").text()
    if kind.lower() not in (*STORAGES, *COMPUTES, ARRAY) and kind not in compound:
        hint = nearest(kind, [*STORAGES, *COMPUTES, *compound])
        raise section.at("class").fail(f"unknown component class {kind!r}", hint)
    name = section.at("name").text()
    return Level(_COUNTED.sub(r"\1", name), section, attributes, kind.lower(), group)


def _flattened(section: Section, compound: list[str]) -> Iterator[Level | Fanout]:
    """Yield the levels of a dump, an array wherever the mesh of the next level is larger."""
    (root, *more) = section.at("subtree").items()
    if more:
        raise section.at("subtree").fail("several trees", "expected one")
    root.keys(("name", "attributes", "local"), ("version",))
    # levels repeat what they inherit: other names here are variables of the user
    given = part.data if (part := root.get("attributes")) is not None and isinstance(part.data, dict) else {}
    shared = {key: value for key, value in given.items() if key in USED}
    levels = []
    for entry in root.at("local").items():
        entry.keys(("name", "class", "attributes"), ("required_actions", "enabled"))
        levels.append(_level(entry, _attributes(entry, shared), compound, -1))
    if not levels:
        raise root.at("local").fail("disconnected architecture: no component")
    for level, inner in zip(levels, [*levels[1:], levels[-1]], strict=True):
        (above_x, above_y), (below_x, below_y) = _mesh(level), _mesh(inner)
        if below_x % above_x or below_y % above_y:
            raise inner.section.fail(f"mesh {below_x} x {below_y} does not divide by {above_x} x {above_y} above it")
        x, y = below_x // above_x, below_y // above_y
        if level.kind == ARRAY:
            yield Fanout(name=level.name, x=x, y=y, source=level.section.file)
            continue
        yield level
        if x * y > 1:
            yield Fanout(name=f"below_{level.name}", x=x, y=y, source=level.section.file)


def _mesh(level: Level) -> tuple[int, int]:
    """Return the copies of a level along both directions; without a mesh all that its name counts lie along X."""
    place = Section(level.attributes, level.section.file, f"{level.section.path}.attributes")
    x, y = (part.integer() if (part := place.get(key)) is not None else None for key in ("meshX", "meshY"))
    counted = _COUNTED.fullmatch(level.section.at("name").text())
    if counted is None:
        return x or 1, y or 1
    count = int(counted[3]) - int(counted[2]) + 1
    found = (x if x is not None else max(1, count // (y or 1)), y or 1)
    if found[0] * found[1] != count:
        raise level.section.fail(f"{count} instances on a mesh of {found[0]} x {found[1]}")
    return found


def _tagged(section: Section, compound: list[str], found: Constraints) -> Iterator[Level | Fanout]:
    """Yield the levels of a v0.4 file in order; containers hand their attributes to all that follows."""
    inherited: dict[str, Any] = {}
    for place, node in enumerate(section.at("nodes").items()):
        tag = node.data.get(TAG) if isinstance(node.data, dict) else None
        if tag == "!Parallel":
            node.keys(("nodes", TAG))
            for member in node.at("nodes").items():
                yield from _component(member, inherited, compound, place, found)
        elif tag == "!Container":
            node.keys(("name", "attributes", "spatial", "constraints", TAG))
            inherited = {k: v for k, v in _attributes(node, inherited).items() if not k.startswith("mesh")}
            yield from _array(node)
            _constraints(node, found)
        elif tag == "!Component":
            yield from _component(node, inherited, compound, -1, found)
        else:
            raise node.fail("found no tag, expected !Container, !Component or !Parallel")


def _component(
    node: Section, inherited: dict[str, Any], compound: list[str], group: int, found: Constraints
) -> Iterator[Level | Fanout]:
    node.keys(
        ("name", "class", "attributes", "spatial", "constraints", TAG), ("required_actions", "enabled", "subclass")
    )
    if group >= 0 and node.get("spatial") is not None:
        raise node.at("spatial").fail("an array inside a parallel group is not supported", "put a container above")
    yield from _array(node)
    yield _level(node, _attributes(node, inherited), compound, group)
    _constraints(node, found)


def _array(node: Section) -> Iterator[Fanout]:
    spatial = node.get("spatial")
    if spatial is None:
        return
    spatial.keys(("meshX", "meshY"))
    x, y = (part.integer() if (part := spatial.get(key)) is not None else 1 for key in ("meshX", "meshY"))
    name = node.at("name").text()
    component = isinstance(node.data, dict) and node.data.get(TAG) == "!Component"
    yield Fanout(name=f"inter_{name}_spatial" if component else name, x=x, y=y, source=node.file)


def _constraints(node: Section, found: Constraints) -> None:
    """Read which tensors a level keeps, and what a search may do with its loops."""
    given = node.get("constraints")
    if given is None:
        return
    given.keys(("dataspace", "temporal", "spatial"))
    keeps, passes, limits = found
    name = node.at("name").text()
    if (kept := given.get("dataspace")) is not None:
        kept.keys(("keep", "bypass"))
        read_keeping(kept, name, keeps, passes)
    for key in ("temporal", "spatial"):
        if (part := given.get(key)) is not None:
            limits.append(limit_of(part, name, key == "spatial"))


def _assembled(parts: list[Level | Fanout], known: Energies, sizes: dict[str, Value]) -> tuple[Node, ...]:
    nodes: list[Node] = []
    group: list[Storage] = []
    last = next((part for part in reversed(parts) if isinstance(part, Level)), None)
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        if isinstance(part, Fanout):
            nodes.append(part)
        elif part.kind in COMPUTES or (part is last and part.kind not in STORAGES):
            energy = known.get(part.name, {}).get("compute")
            operations = {"mac": Operation(energy)}
            nodes.append(ComputeUnit(name=part.name, operations=operations, area=sizes.get(part.name)))
        else:
            storage = _storage(part, known.get(part.name, {}), sizes.get(part.name))
            if part.group < 0:
                nodes.append(storage)
                continue
            group.append(storage)
            if not isinstance(following, Level) or following.group != part.group:
                nodes.append(Parallel(members=tuple(group)))
                group = []
    return tuple(nodes)


def _storage(level: Level, actions: dict[str, Value], area: Value | None) -> Storage:
    place = Section(level.attributes, level.section.file, f"{level.section.path}.attributes")

    def integer(*keys: str) -> int | None:
        found = [part for key in keys if (part := place.get(key)) is not None]
        return found[0].integer() if found else None

    def bandwidth(key: str) -> float | None:
        found = place.get(key)
        if found is not None and found.number() == 0.0:
            raise found.fail("zero bandwidth: no data could move", "leave it out where it does not limit")
        return None if found is None else found.number()

    word = integer("datawidth", "word-bits")
    if word is None:
        raise place.fail("missing datawidth", "bits of a word")
    cluster = integer("cluster_size", "cluster-size") or 1
    block = integer("block_size", "block-size")
    width = integer("width") or (block * word * cluster if block is not None else None)
    if width is None:
        raise place.fail("missing width", "bits that one access moves")
    kind = STORAGES.get(level.kind, "sram")
    return Storage(
        name=level.name, kind=kind, width_bits=width, word_bits=word, depth=integer("depth"), cluster=cluster,
        buffers=integer("multiple_buffering") or 1, banks=integer("n_banks") or 1,
        read_bandwidth=bandwidth("read_bandwidth"),
        write_bandwidth=bandwidth("write_bandwidth"), shared_bandwidth=bandwidth("shared_bandwidth"),
        read=actions.get("read"), write=actions.get("write"), update=actions.get("update"), leak=actions.get("leak"),
        area=area, source=level.section.file,
    )  # fmt: skip


def _clock(parts: list[Level | Fanout], document: Section) -> Value | None:
    """Return the clock of the first part that states a cycle, else that of the document's ``variables``."""
    places = [
        Section(part.attributes, part.section.file, f"{part.section.path}.attributes")
        for part in parts
        if isinstance(part, Level)
    ]
    variables = document.get("variables")
    for place in (*places, *([variables] if variables is not None else [])):
        given = place.get("global_cycle_seconds")
        if given is not None:
            seconds = given.number()
            if not SHORTEST <= seconds <= LONGEST:
                raise given.fail(f"found {seconds:g}, expected a positive time such as 1e-9")
            return Value(1.0 / seconds, "Hz", f"global_cycle_seconds of {given.file}")
    return None


def _node_nm(parts: list[Level | Fanout]) -> Value | None:
    """Return the feature size of the innermost part that states one (``32nm``)."""
    for part in reversed(parts):
        if isinstance(part, Level):
            match = _TECHNOLOGY.fullmatch(str(part.attributes.get("technology", "")))
            if match is not None and float(match[1]) > 0.0:
                return Value(float(match[1]), "nm", f"technology of {part.section.file}")
    return None
