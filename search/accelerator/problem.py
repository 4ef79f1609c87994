"""The accelerator problem: which configuration of a template runs a set of models best, carbon included.

Outside, knobs of a template; inside, the best mappings of every distinct layer (``pools``), found once for each
geometry. A configuration that breaks a limit known before any mapping (area, peak power, embodied carbon) is not
mapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.accelerator.bands import Band
from codesign.costmodels.siting import placed
from codesign.errors import UsageError
from codesign.quantity import Array
from codesign.search import problem as base
from codesign.search.accelerator.configure import ASSUMPTIONS, Configured, configure
from codesign.search.accelerator.embodied import Embodied, embodied, fits_wafer
from codesign.search.accelerator.fused import (
    FUSED_ASSUMPTIONS,
    FusedConfigured,
    configure_fused,
    fused_costs,
)
from codesign.search.accelerator.layers import Layers, layers_of
from codesign.search.accelerator.pools import Pools
from codesign.search.accelerator.price import Priced, layer_costs, price
from codesign.search.accelerator.spec import AcceleratorSpec, checked, parameters
from codesign.search.accelerator.technologies import technologies
from codesign.search.accelerator.template import Design, read_template
from codesign.search.constraints import parse_where, violations
from codesign.search.digests import digests
from codesign.search.objectives import chosen_names
from codesign.search.problem import Details, Metric, Objective, Points, Results, Stage, Status
from codesign.search.space import BoxSpace
from codesign.strict_yaml import convert
from codesign.units import format_si

RUN = "inference of each model"

KNOWN: dict[str, Objective] = {
    one.name: one
    for one in (
        Objective("latency", "s", RUN), Objective("energy", "J", RUN), Objective("area", "mm2"),
        Objective("embodied_carbon", "gCO2e", "device"), Objective("carbon", "gCO2e", RUN),
        Objective("tcdp", "gCO2e s", RUN), Objective("edp", "J s", RUN),
    )
}  # fmt: skip

FURTHER = (
    Metric("peak_power", "W"), Metric("power", "W"), Metric("static_power", "W"),
    Metric("operational_carbon", "gCO2e", RUN), Metric("embodied_share", "gCO2e", RUN), Metric("utilisation"),
    Metric("traffic", "B", RUN),
)  # fmt: skip
"""Shown beside the objectives; power is that of the hungriest model while it runs."""

BEFORE_MAPPING = ("area", "peak_power", "static_power", "embodied_carbon")
"""Numbers that are known before any mapping."""

NO_WAFER = "a die does not fit the wafer"

LIMITED_KNOBS = {"rows": "", "columns": "", "cores": "", "buffer": "B"}


class AcceleratorProblem(base.Problem):
    """Configurations of one template for several models; deterministic."""

    name = "accelerator"
    functional_unit = RUN
    stages = (Stage("map", dear=True),)

    def __init__(self, **spec: Any) -> None:
        """Set up from a spec (see ``AcceleratorSpec``).

        Raises:
            UsageError: unknown names, or numbers out of range.
            DataError: a file is wrong.
        """
        self.asked = asked = checked(convert(placed(spec), AcceleratorSpec, "accelerator spec"))
        self.template = read_template(asked.template)
        self.box = self.space = BoxSpace(parameters(asked, self.template))
        self.weights = np.array(asked.weights or (1.0,) * len(asked.models))
        memories = tuple(str(name) for name in asked.vary.get("memory", ()))
        self.pools = Pools(self.template, asked.mappings, asked.mapping_seed, memories)
        self._layers: dict[int, Layers] = {}
        self.layers_at(self.template.bits)  # unknown models are refused here
        self.objectives = tuple(KNOWN[name] for name in chosen_names(asked.objectives, KNOWN))
        chosen = {one.name for one in self.objectives}
        each: list[Metric] = []
        if len(asked.models) > 1:
            for what, unit in (("latency", "s"), ("energy", "J")):
                each += [Metric(f"{what}_{plain(model)}", unit, "inference") for model in asked.models]
        more = (Metric(one.name, one.unit, one.functional_unit) for one in KNOWN.values() if one.name not in chosen)
        self.metrics = (*more, *FURTHER, *each)
        units = {one.name: one.unit for one in self.objectives} | {one.name: one.unit for one in self.metrics}
        units |= LIMITED_KNOBS
        self.constraints = tuple(parse_where(text, units) for text in asked.where)
        self.title = f"{', '.join(asked.models)} on {self.template.architecture.id}"
        self.question = f"Which configuration of {self.template.architecture.name} runs {', '.join(asked.models)} best?"
        first, *others = (one.name for one in self.objectives)
        self.views = tuple((first, other) for other in others)
        self.sources = (
            *(FUSED_ASSUMPTIONS if self.template.fused else ASSUMPTIONS),
            *(f"{name}: {one.source}" for name, one in technologies().memories.items()),
            f"clock: {technologies().supply.source}",
        )
        self._closest: dict[str, tuple[float, float]] = {}

    def layers_at(self, bits: int) -> Layers:
        """Return the layers of all models with operands of ``bits``."""
        if bits not in self._layers:
            self._layers[bits] = layers_of(self.asked.models, bits)
        return self._layers[bits]

    # --- one design ---------------------------------------------------------------------------------------------

    def design(self, values: Mapping[str, Any]) -> Design:
        """Return the design of parameter values (None where inactive)."""
        fields = {name: value for name, value in values.items() if value is not None}
        if fields["cores"] == 1:
            fields["package"] = "monolithic"
        return Design(**fields)

    def configured(self, design: Design) -> Configured:
        """Return a design with everything that is known before any mapping.

        Raises:
            UsageError: a number without data, or a knob that the template does not have.
        """
        return configure_fused(self.template, design) if self.template.fused else configure(self.template, design)

    def priced(self, design: Design) -> tuple[Configured, Embodied, Priced | str]:
        """Return what a design is and costs; in place of its costs the reason why a layer cannot be mapped."""
        configured = self.configured(design)
        made = embodied(configured)
        layers = self.layers_at(design.bits)
        if isinstance(configured, FusedConfigured):
            try:
                fused = tuple(one.cost for one in fused_costs(configured, layers))
            except UsageError as error:
                return configured, made, error.message
            return configured, made, price(configured, made, layers, fused, self.weights, self.asked.site)
        pools = self.pools.of(layers, design)
        lacking = next((pool.reason for pool in pools if pool.problem is None), None)
        if lacking is not None:
            return configured, made, lacking
        costs = layer_costs(configured, layers, pools, self.asked.pick)
        return configured, made, price(configured, made, layers, costs, self.weights, self.asked.site)

    # --- evaluation ---------------------------------------------------------------------------------------------

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return the results of configurations, each a structure of its own whose mappings are priced as arrays."""
        rows = [self._row(self.design(values)) for values in self.box.rows(points)]
        columns = {name: _column([one[name] for one in rows]) for name in self._names}
        broken = violations(self.constraints, {k.metric: columns[k.metric].value for k in self.constraints}, len(rows))
        reasons = dict.fromkeys(str(one["reason"]) for one in rows if one["reason"])
        place = {text: index for index, text in enumerate(reasons)}
        # of a design that was not mapped only what is known counts: the rest is unknown, not violated
        unmapped = np.array([bool(one["unmapped"]) for one in rows])
        later = np.array([k.metric not in (*BEFORE_MAPPING, *LIMITED_KNOBS) for k in self.constraints], dtype=np.bool_)
        broken[np.ix_(unmapped, later)] = 0.0
        self._note_closest(columns, broken)
        names = [one.name for one in self.objectives]
        return Results.make(
            np.stack([columns[name].value for name in names], axis=1),
            low=np.stack([columns[name].low for name in names], axis=1),
            high=np.stack([columns[name].high for name in names], axis=1),
            violations=broken if self.constraints else None,
            constraints=self.constraints,
            status=np.array([Status.INFEASIBLE if one["reason"] else Status.OK for one in rows], np.uint8),
            reason=np.array([place.get(str(one["reason"]), -1) for one in rows], np.int32),
            reasons=tuple(reasons),
            metrics={one.name: columns[one.name].value for one in self.metrics},
        )

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return (*(one.name for one in self.objectives), *(one.name for one in self.metrics), *LIMITED_KNOBS)

    def _row(self, design: Design) -> dict[str, Any]:
        """Return name -> (low, value, high) of a design, with ``reason`` where it cannot run and ``unmapped``."""
        unknown = (np.nan, np.nan, np.nan)
        row: dict[str, Any] = dict.fromkeys(self._names, unknown)
        row |= {name: (float(getattr(design, name)),) * 3 for name in LIMITED_KNOBS}
        try:
            configured = self.configured(design)
        except UsageError as error:  # a memory beyond the fit: this design cannot be priced, the next one may
            return {**row, "reason": error.message, "unmapped": True}
        row |= {"area": _ends(configured.area), "reason": "", "unmapped": False}
        if not fits_wafer(configured):
            return {**row, "reason": NO_WAFER, "unmapped": True}
        row |= {name: _ends(one) for name, one in _before(configured, embodied(configured)).items()}
        for limit in self.constraints:
            known = limit.metric in BEFORE_MAPPING or limit.metric in LIMITED_KNOBS
            if known and limit.violation(np.asarray(row[limit.metric][1])) > 0.0:
                return {**row, "reason": f"violates {limit.text}", "unmapped": True}
        _, _, priced = self.priced(design)
        if isinstance(priced, str):
            return {**row, "reason": priced, "unmapped": True}
        return row | {name: _ends(one) for name, one in self._after(priced).items()}

    def _after(self, priced: Priced) -> dict[str, Any]:
        """Return the numbers of a mapped design."""
        found: dict[str, Any] = {
            "latency": priced.run_latency, "energy": priced.run_energy, "carbon": priced.carbon, "tcdp": priced.tcdp,
            "edp": priced.edp, "power": priced.power, "operational_carbon": priced.operational,
            "embodied_share": priced.embodied_share, "utilisation": priced.utilisation, "traffic": priced.traffic,
        }  # fmt: skip
        if len(self.asked.models) > 1:
            for place, model in enumerate(self.asked.models):
                found[f"latency_{plain(model)}"] = float(priced.latency[place])
                found[f"energy_{plain(model)}"] = Band(*(end[place] for end in priced.energy))
        return found

    def _note_closest(self, columns: Mapping[str, Band], broken: Array) -> None:
        """Keep for every limit how near a design came to it, for the error that none keeps it."""
        for place, limit in enumerate(self.constraints):
            known = np.isfinite(columns[limit.metric].value)
            if not known.any():
                continue
            best = int(np.where(known, broken[:, place], np.inf).argmin())
            if broken[best, place] < self._closest.get(limit.text, (np.inf, 0.0))[0]:
                self._closest[limit.text] = (float(broken[best, place]), float(columns[limit.metric].value[best]))

    # --- what reports ask ---------------------------------------------------------------------------------------

    def baseline(self) -> Points | None:
        """Return the template itself; where a knob does not have its value, that which is nearest."""
        return self.box.encode(**nearest_values(self.box, self.template.design()))

    def describe(self, point: Points) -> Details:
        """Return mappings, energy by level, roofline of the layers and comparison with the baseline of one design."""
        from codesign.search.accelerator.details import details

        return details(self, np.atleast_2d(point))

    def nearest_miss(self) -> str:
        """Return how far from the hardest limit the nearest design is."""
        missed = {text: found for text, found in self._closest.items() if found[0] > 0.0}
        if not missed:
            return ""
        text = max(missed, key=lambda one: missed[one][0])
        unit = next(limit.unit for limit in self.constraints if limit.text == text)
        found = format_si(missed[text][1], unit)
        return f"{text!r} binds: the nearest design has {found}; relax it or widen a knob with --vary"

    def fingerprint(self) -> dict[str, str]:
        """Return the digests of question, template and layers."""
        inputs: dict[str, Any] = {
            "question": msgspec.to_builtins(self.asked),
            "technologies": msgspec.to_builtins(technologies()),
            f"template {self.template.architecture.id}": msgspec.to_builtins(self.template.architecture),
        }
        inputs |= {f"layers at {bits} bits": msgspec.to_builtins([dict(p.ranks) for p in self.layers_at(bits).problems])
                   for bits in sorted({self.template.bits})}  # fmt: skip
        return digests(inputs)

    def spec(self) -> dict[str, Any]:
        """Return the whole question as JSON types."""
        built: dict[str, Any] = msgspec.to_builtins(self.asked)
        return built

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> AcceleratorProblem:
        """Return the problem of a spec."""
        return cls(**spec)


def plain(model: str) -> str:
    """Return a model's name as a part of a column's."""
    return "".join(one if one.isalnum() else "_" for one in model)


def nearest_values(box: BoxSpace, design: Design) -> dict[str, Any]:
    """Return for every knob its value nearest to that of a design; the first where a name is not among them."""
    found: dict[str, Any] = {}
    for parameter in box.parameters:
        own = getattr(design, parameter.name)
        values: tuple[Any, ...] = getattr(parameter, "values", ())
        if parameter.when is not None and found[parameter.when.parameter] not in parameter.when.values:
            continue
        if own in values:
            found[parameter.name] = own
        elif isinstance(own, str):
            found[parameter.name] = values[0]
        else:
            found[parameter.name] = min(values, key=lambda value: (abs(value - own), value))
    return found


def _before(configured: Configured, made: Embodied) -> dict[str, Band]:
    return {
        "area": configured.area, "peak_power": configured.peak_watts, "static_power": configured.static_watts,
        "embodied_carbon": made.total,
    }  # fmt: skip


def _column(ends: list[tuple[float, float, float]]) -> Band:
    """Return the (low, value, high) of N designs as a band of shape (N,)."""
    low, value, high = np.array(ends).T
    return Band(low, value, high)


def _ends(value: Any) -> tuple[float, float, float]:
    if isinstance(value, Band):
        return float(value.low), float(value.value), float(value.high)
    return (float(value),) * 3
