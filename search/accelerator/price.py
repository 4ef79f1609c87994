"""What a configuration costs on its models: every layer with its best mapping, static power, carbon over a life.

Layers run one after the other and models in turn; a *run* is one inference of each model, as often as its weight says.
The carbon of a run is ``E PUE CI`` and the embodied share ``TE t / (life utilisation)`` (SCI); tCDP is that carbon
times the time of the run. Joules, seconds, grams of CO2e; ends of ranges are taken at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from codesign.costmodels.accelerator.bands import Band, band
from codesign.costmodels.carbon.accounting import (
    DAYS_PER_YEAR,
    HOURS_PER_DAY,
    JOULES_PER_KWH,
    SECONDS_PER_HOUR,
    amortised_grams,
    facility_grams,
)
from codesign.costmodels.impact import Site
from codesign.quantity import Z90, Array
from codesign.search.accelerator.configure import Configured
from codesign.search.accelerator.embodied import Embodied
from codesign.search.accelerator.layers import Layers
from codesign.search.accelerator.pools import Pool

PICKS = ("edp", "energy", "latency")
"""By what the mapping of each layer is chosen from its pool."""


class LayerCost(NamedTuple):
    """One run of one layer with the mapping chosen for it.

    Attributes:
        chosen: Row of the layer's pool.
        seconds: Its time.
        joules: Of accesses, networks and operations.
        traffic: Bytes to and from DRAM.
        utilisation: Operations over the slots of all compute units.
    """

    chosen: int
    seconds: float
    joules: Band
    traffic: float
    utilisation: float


class Priced(NamedTuple):
    """A configuration on its models.

    Attributes:
        layers: One entry a distinct layer.
        latency: (M,) s of an inference of each model.
        energy: J of each model (M,), leakage included.
        run_latency: s of a run.
        run_energy: J of a run.
        power: W while the hungriest model runs.
        utilisation: Operations over slots, all of a run.
        traffic: Bytes to and from DRAM, of a run.
        operational: g of a run.
        embodied_share: g of a run.
        carbon: g of a run.
        tcdp: g s of a run.
        edp: J s of a run.
    """

    layers: tuple[LayerCost, ...]
    latency: Array
    energy: Band
    run_latency: float
    run_energy: Band
    power: Band
    utilisation: float
    traffic: float
    operational: Band
    embodied_share: Band
    carbon: Band
    tcdp: Band
    edp: Band


def layer_costs(configured: Configured, layers: Layers, pools: tuple[Pool, ...], pick: str) -> tuple[LayerCost, ...]:
    """Return every layer with the mapping of the least energy with leakage, time, or their product (``pick``)."""
    return tuple(_layer(configured, layers, pool, place, pick) for place, pool in enumerate(pools))


def _layer(configured: Configured, layers: Layers, pool: Pool, place: int, pick: str) -> LayerCost:
    costs = pool.costs(layers.problems[place], configured.architecture)
    seconds = costs.cycles / configured.clock
    low, value, high = costs.energy
    whole = value + float(configured.static_watts.value) * seconds
    score = {"edp": whole * seconds, "energy": whole, "latency": seconds}[pick]
    # equal ones are told apart by the other cost, so that a choice never wastes what it gets for nothing
    least = np.lexsort((whole if pick == "latency" else seconds, score))
    chosen = int(least[0])
    root = configured.architecture.spine().storages[0]
    bits = {tensor.name: root.element_bits(int(tensor.bits)) for tensor in layers.problems[place].tensors}
    moved = sum(
        float(costs.reads[row, chosen] + costs.fills[row, chosen] + costs.updates[row, chosen]) * bits[tensor] / 8.0
        for row, (level, tensor) in enumerate(costs.entries) if level == root.name
    )  # fmt: skip
    joules = Band(*(np.asarray(end[chosen]) for end in (low, value, high)))
    return LayerCost(chosen, float(seconds[chosen]), joules, moved, float(costs.utilisation[chosen]))


def price(
    configured: Configured, made: Embodied, layers: Layers, costs: tuple[LayerCost, ...], weights: Array, site: Site
) -> Priced:
    """Return what a configuration costs.

    Args:
        configured: The configuration.
        made: Its embodied carbon.
        layers: The distinct layers.
        costs: One run of each.
        weights: (M,) inferences of each model in a run.
        site: Grid, PUE, life and utilisation.
    """
    seconds = np.array([one.seconds for one in costs])
    latency = layers.counts @ seconds
    dynamic = Band(*(layers.counts @ np.array([float(one.joules[end]) for one in costs]) for end in range(3)))
    energy = dynamic.plus(configured.static_watts.times(latency))
    run_latency = float(weights @ latency)
    run_energy = Band(*(np.asarray(weights @ end) for end in energy))
    power = Band(*(np.asarray((end / latency).max()) for end in energy))
    share = weights @ layers.counts
    slots = sum(n * one.seconds for n, one in zip(share.tolist(), costs, strict=True)) * configured.clock
    units = configured.architecture.spine().compute_instances
    held = configured.architecture.spine().compute.operations["mac"].cycles
    spread = np.exp(Z90 * site.grid_sigma)
    grid = band(float(site.grid), 1.0 / spread, spread)
    grams = [facility_grams(joules / JOULES_PER_KWH, ci, site.pue) for joules, ci in zip(run_energy, grid, strict=True)]
    operational = Band(*(np.asarray(end) for end in grams))
    life_h = site.lifetime_years * DAYS_PER_YEAR * HOURS_PER_DAY
    reserved_h = run_latency / SECONDS_PER_HOUR / site.utilisation
    share_of_life = Band(*(amortised_grams(end, reserved_h, life_h) for end in made.total))
    carbon = operational.plus(share_of_life)
    return Priced(
        layers=costs, latency=latency, energy=energy, run_latency=run_latency, run_energy=run_energy, power=power,
        utilisation=float(share @ layers.operations) * held / (slots * units),
        traffic=sum(n * one.traffic for n, one in zip(share.tolist(), costs, strict=True)),
        operational=operational, embodied_share=share_of_life, carbon=carbon, tcdp=carbon.times(run_latency),
        edp=run_energy.times(run_latency),
    )  # fmt: skip
