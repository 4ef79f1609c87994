"""What an accelerator search is asked: the spec that ``run.json`` stores, and the knobs with their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from codesign.costmodels.accelerator.node_scaling import LEAST_VOLTS, MOST_VOLTS
from codesign.costmodels.impact import Site
from codesign.costmodels.siting import check_site
from codesign.errors import UsageError, nearest
from codesign.search.accelerator.pools import MAPPINGS
from codesign.search.accelerator.price import PICKS
from codesign.search.accelerator.technologies import technologies
from codesign.search.accelerator.template import NODES_NM, Template
from codesign.search.parameters import Categorical, Ordinal, Parameter, When
from codesign.units import parse_quantity

UNITS = {
    "rows": "", "columns": "", "pads": "", "buffer": "B", "bandwidth": "B", "memory": "", "node": "nm", "bits": "",
    "cores": "", "package": "", "volts": "V",
}  # fmt: skip
"""Knob -> unit; ``bandwidth`` is B a cycle, ``pads`` times the template's."""

NAMED = ("memory", "package")
"""Knobs whose values are names."""

WHOLE = ("rows", "columns", "bits", "cores")
"""Knobs whose values are whole numbers."""

RANGES = {
    "rows": (1, 1024), "columns": (1, 1024), "pads": (1 / 64, 64), "buffer": (256, 2**28), "bandwidth": (1, 2048),
    "bits": (8, 16), "cores": (1, 64), "volts": (LEAST_VOLTS, MOST_VOLTS),
}  # fmt: skip
"""Knob -> least and largest value that is taken seriously; the fits of the tables end near them."""

SCALES = {
    "rows": (0.5, 1, 2, 4), "columns": (0.5, 1, 2, 4), "pads": (0.5, 1, 2), "buffer": (0.25, 0.5, 1, 2, 4, 8),
    "bandwidth": (1, 2, 4),
}  # fmt: skip
"""Knob -> its values over the template's, where none are given."""

CHOICES: dict[str, tuple[Any, ...]] = {
    "memory": ("lpddr4", "hbm2", "hbm3"), "node": NODES_NM, "cores": (1, 2, 4),
    "package": ("monolithic", "2.5d", "3d"), "volts": (0.6, 0.7, 0.8, 0.9, 1.0),
}  # fmt: skip
"""Knob -> its values where none are given."""


class AcceleratorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An accelerator search.

    Attributes:
        models: Whose layers run.
        template: An accelerator of the catalogue, or a file.
        objectives: What to minimise.
        where: Limits.
        vary: Knob -> values, instead of the usual ones; a single value fixes a knob.
        weights: Inferences of each model in a run; one of each where empty.
        pick: By what the mapping of each layer is chosen: ``edp``, ``energy``, ``latency``.
        mappings: Priced for each layer on each geometry.
        mapping_seed: Of the searches for mappings.
        site: Grid, PUE, life, utilisation.
    """

    models: tuple[str, ...] = ("resnet-18", "bert-base")
    template: str = "eyeriss-like"
    objectives: tuple[str, ...] = ("latency", "energy", "tcdp")
    where: tuple[str, ...] = ()
    vary: dict[str, tuple[float | str, ...]] = {}
    weights: tuple[float, ...] = ()
    pick: str = "edp"
    mappings: Annotated[int, msgspec.Meta(ge=100, le=10_000_000)] = MAPPINGS
    mapping_seed: int = 0
    site: Site = Site()


def read_vary(texts: Sequence[str]) -> dict[str, tuple[float | str, ...]]:
    """Return what ``--vary KNOB=V1,V2`` options say.

    Raises:
        UsageError: unreadable, an unknown knob, or a value of another unit.
    """
    found: dict[str, tuple[float | str, ...]] = {}
    for text in texts:
        knob, separator, values = text.partition("=")
        knob = knob.strip()
        listed = [part.strip() for part in values.split(",") if part.strip()]
        if not separator or not listed:
            raise UsageError(f"--vary {text!r}: expected KNOB=VALUES", "for example --vary 'buffer=64 KiB,256 KiB'")
        if knob not in UNITS:
            raise UsageError(f"--vary {text!r}: unknown knob {knob!r}", nearest(knob, UNITS))
        found[knob] = tuple(one if knob in NAMED else _number(knob, one, text) for one in listed)
    return found


def read_weights(text: str) -> tuple[float, ...]:
    """Return what ``--weights W1,W2`` says.

    Raises:
        UsageError: an entry is no number.
    """
    found = []
    for part in text.split(",") if text.strip() else ():
        try:
            found.append(float(part))
        except ValueError:
            raise UsageError(f"--weights: found {part.strip()!r}", "expected numbers, such as 1,0.5") from None
    return tuple(found)


def _number(knob: str, value: str, text: str) -> float:
    try:
        return float(value)
    except ValueError:
        return parse_quantity(value, UNITS[knob], f"--vary {text!r}")


def checked(asked: AcceleratorSpec) -> AcceleratorSpec:
    """Return the spec; names without data and numbers out of range are refused before any work.

    Raises:
        UsageError: naming the field, what was found and what is known.
    """
    if asked.pick not in PICKS:
        raise UsageError(f"pick is {asked.pick!r}", nearest(asked.pick, PICKS))
    if asked.weights and len(asked.weights) != len(asked.models):
        raise UsageError(f"{len(asked.weights)} weights for {len(asked.models)} models", "give one for each model")
    if not all(0.0 < weight < 1e9 for weight in asked.weights):
        raise UsageError(f"weights: found {min(asked.weights):g}", "expected positive numbers")
    if isinstance(asked.site.grid, bool) or not isinstance(asked.site.grid, int | float):
        raise UsageError(f"site.grid is {asked.site.grid!r}", "expected a number once looked up")
    check_site(asked.site)
    for knob, values in asked.vary.items():
        if knob not in UNITS:
            raise UsageError(f"vary: unknown knob {knob!r}", nearest(knob, UNITS))
        for value in values:
            _check(knob, value)
    return asked


def _check(knob: str, value: float | str) -> None:
    names = {"memory": technologies().memories, "package": technologies().packages}
    if knob in NAMED:
        if value not in names[knob]:
            raise UsageError(f"{knob}: no data of {value!r}", nearest(str(value), names[knob]))
        return
    if isinstance(value, str):
        raise UsageError(f"{knob}: found {value!r}, expected a number")
    if knob == "node" and value not in NODES_NM:
        listed = ", ".join(f"{node:g}" for node in NODES_NM)
        raise UsageError(
            f"node: {value:g} nm has no coefficients of carbon", f"known: {listed} nm; nothing is extrapolated"
        )
    low, high = RANGES.get(knob, (0.0, np.inf))
    if not low <= value <= high:
        raise UsageError(f"{knob}: found {value:g}, expected {low:g} to {high:g} {UNITS[knob]}".rstrip())
    if knob in WHOLE and value != int(value):
        raise UsageError(f"{knob}: found {value:g}, expected a whole number")
    if knob == "bits" and value not in (8, 16):
        raise UsageError(f"bits: found {value:g}, expected 8 or 16")


def parameters(asked: AcceleratorSpec, template: Template) -> list[Parameter]:
    """Return the knobs as parameters: those of the spec, else values around the template's.

    Raises:
        UsageError: a package, where every design has one core; a knob that a fused template does not have.
    """
    own = template.design()._asdict()
    # a fused design has one core with its own proportions
    fixed = ("pads", "bandwidth", "cores", "bits") if template.fused else ()
    for knob in fixed:
        if any(value != own[knob] for value in asked.vary.get(knob, ())):
            message = f"{knob}: {template.architecture.id} has {own[knob]:g} only"
            raise UsageError(message, "vary rows, columns, buffer, memory, node or volts")
    found: list[Parameter] = []
    several: tuple[int, ...] = ()
    for knob, unit in UNITS.items():
        values = asked.vary.get(knob) or ((own[knob],) if knob in fixed else _usual(knob, own[knob]))
        if knob == "package":  # a single core is one die whatever the package
            if knob in asked.vary and not several:
                raise UsageError("package: given, but every design has one core", "give cores too: --vary cores=2,4")
            names = tuple(dict.fromkeys(values))
            found += [Categorical(knob, names, when=When("cores", several))] if several else []
        elif knob in NAMED:
            found.append(Categorical(knob, tuple(dict.fromkeys(values))))
        else:
            cast: Any = int if knob in WHOLE else float
            numbers = tuple(sorted({cast(value) for value in values}))
            several = tuple(number for number in numbers if number > 1) if knob == "cores" else several
            found.append(Ordinal(knob, numbers, unit))
    return found


def _usual(knob: str, own: Any) -> tuple[Any, ...]:
    if knob == "bits":
        return (own,)
    if knob in CHOICES:
        return CHOICES[knob]
    low, high = RANGES[knob]
    scaled = [own * scale for scale in SCALES[knob]]
    values = tuple(value for value in scaled if low <= value <= high and (knob not in WHOLE or value == int(value)))
    return values or (own,)


def accelerator_spec(site: Mapping[str, Any] | None = None, **asked: Any) -> dict[str, Any]:
    """Return the spec of options, those not given (None or empty) left at their defaults."""
    given = {
        name: value
        for name, value in asked.items()
        if value is not None and (value or name in ("objectives", "models"))
    }
    stated = {name: value for name, value in (site or {}).items() if value is not None}
    return {**given, "site": stated} if stated else given
