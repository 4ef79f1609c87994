"""Efficiency of each operator family on each kind of target, read from ``efficiency.yaml``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec

from codesign.strict_yaml import decode_yaml


class Efficiency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``t = floor + max(FLOP / (rate * peak), bytes / (memory * bandwidth))`` for one operator family."""

    kind: str
    family: str
    rate: float
    memory: float
    floor_us: float
    shared: float
    own: float
    source: str
    dtypes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()


class ExecutionDefaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How launches cost host time in each execution mode."""

    eager_operators_per_group: float
    graph_launch_us: float
    graph_gap_us: float
    source: str


class LinkDefaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sustained share of a link's rate by place; ``pcie`` where devices of a node share PCIe."""

    node: float
    pcie: float
    network: float
    host: float
    source: str


class PowerCap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a power limit does (``power_cap``).

    Attributes:
        slack: Share of the limit that the governor lets a load draw.
        sharpness: Exponent of the soft minimum of demand and limit.
        static_share: Power that does not fall with the clock, as a share of the rated limit.
        exponent: Of the clock, in the dynamic power.
        clocked_share: Share of the time that stretches with the clock.
        spread: 90 % quantile of |ln(measured / predicted)| of time and energy on a device left out.
        deep: Power over that at the rated limit below which a cap is deep.
        deep_spread: ``spread`` of deep caps.
        source: Of the numbers.
    """

    slack: float
    sharpness: float
    static_share: float
    exponent: float
    clocked_share: float
    spread: float
    deep: float
    deep_spread: float
    source: str


class ServingFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mean power of a serving job as shares of the thermal design power (``serving_power``)."""

    constant: float
    flop: float
    byte: float
    error_90: float
    source: str


class ServingPower(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fit of dense models, and that of all, which mixtures of experts use."""

    dense: ServingFit
    mixture: ServingFit


class PowerDefaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Average power as a function of busy time and FLOP rate, in shares of the thermal design power."""

    active_share: float
    flop_share: float
    byte_share: float
    sigma: float
    source: str
    families: tuple[str, ...]
    other_sigma: float
    serving: ServingPower
    cap: PowerCap
    cap_of_device: dict[str, PowerCap]

    def capping(self, target: str) -> PowerCap:
        """Return the numbers of a target whose limits were measured, else those of all that were."""
        return self.cap_of_device.get(target, self.cap)


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    entries: tuple[Efficiency, ...]
    execution: ExecutionDefaults
    links: LinkDefaults
    power: PowerDefaults


@cache
def table() -> Table:
    """Return the shipped efficiency table."""
    text = files("codesign.costmodels").joinpath("efficiency.yaml").read_text()
    return decode_yaml(text, Table, "efficiency.yaml")


def efficiency(kind: str, family: str, dtype: str, architecture: str = "") -> Efficiency:
    """Return the entry for a target kind ("cpu" or any accelerator), an operator family and a compute dtype.

    Entries that name architectures are of these alone. Families without an entry of their own (embedding, scan, ...)
    move bytes like vector operators.
    """
    group = "cpu" if kind == "cpu" else "accelerator"
    entries = [entry for entry in table().entries if entry.kind == group]
    for name in (family, "vector"):
        for entry in entries:
            if entry.family == name and _of(dtype, entry.dtypes) and _of(architecture, entry.architectures):
                return entry
    raise AssertionError(f"efficiency.yaml has no vector entry for {group}")


def _of(name: str, known: tuple[str, ...]) -> bool:
    return not known or name in known
