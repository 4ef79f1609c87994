"""What a demand-response study is asked: the spec file, and the same spec with every series written out.

A spec names its series by file; ``inlined`` puts their numbers in, so that a run directory needs no file beside it.
Shares are of the baseline, power is MW, intensity g CO2e/kWh, prices t CO2e per unit of penalty.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

from codesign.search.demand_response.curves import Spacing

MOST_WORKLOADS = 200
MOST_HOURS = 8784
MOST_PIECES = 1_000_000
"""Workloads x hours x segments of one study: some 20 s a linear programme."""
MOST_LEVELS = 200
"""Prices, goals or cuts of one study."""
MOST_SAMPLES = 1000
MOST_SEGMENTS = 64
MOST_MW = 1e6
MOST_INTENSITY = 5000.0
"""g CO2e/kWh: more is a mistaken unit."""

Policy = Literal["efficient", "fair-centralised", "fair-decentralised", "uniform-made-up", "uniform-shed"]
Numbers = tuple[float, ...]
Levels = Annotated[Numbers, msgspec.Meta(max_length=MOST_LEVELS)]


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column of an hourly CSV file (``.csv`` or ``.csv.gz``), relative to the spec file."""

    csv: str
    column: str


class Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The carbon intensity of the hours studied: one of ``series`` (a shipped one), ``csv`` + ``column``, ``values``.

    Attributes:
        series: Name of a shipped grid series.
        csv: Hourly CSV file, with ``column``.
        column: Column of g CO2e/kWh.
        values: g CO2e/kWh, an hour each.
        day: First day studied, counted from 0 in the series.
        days: Days studied; 1 where not stated, or all of ``values``.
        kind: Whether the intensity is that of all power of an hour, or of the next MWh.
        source: Where the numbers come from, for reports.
        start: Time of the first hour, for reports.
    """

    series: str = ""
    csv: str = ""
    column: str = "avg_ci_g_per_kwh"
    values: Numbers = ()
    day: int = 0
    days: int | None = None
    kind: Literal["average", "marginal"] = "average"
    source: str = ""
    start: str = ""


class FleetLoad(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The power of the whole fleet, shared out by the workloads' ``share``.

    Attributes:
        mean_mw: Mean power over the hours studied.
        shape: Relative power: a CSV column of the grid's hours, or a list that repeats over the hours (24 values).
    """

    mean_mw: float
    shape: Column | Numbers = (1.0,)


class Penalty(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a workload loses: one of ``weight`` and ``samples``.

    Attributes:
        weight: k of ``k (x + 5 x^3)`` an hour at the curtailed share x (online), or of ``k x^2`` an hour at x hours of
            entitlement late (batch).
        samples: Pairs (x, penalty an hour), to which a convex curve is fitted.
    """

    weight: float | None = None
    samples: Annotated[tuple[tuple[float, float], ...], msgspec.Meta(max_length=MOST_SAMPLES)] = ()


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One workload.

    Attributes:
        name: Unique; up to 60 characters.
        kind: ``online`` (lost when curtailed) or ``batch`` (made up later).
        penalty: What it loses.
        baseline_mw: Power, one number, or one an hour (a list repeats over the hours).
        share: Share of the fleet's load, instead of ``baseline_mw``.
        shape: Own relative power over the hours, instead of the fleet's shape.
        max_curtail: Largest share given up in an hour; default 0.5 online, 0.8 batch.
        max_make_up: Largest share made up in an hour (batch); default 0.5.
        max_backlog_h: Most late work, in hours of entitlement (batch); default 6, or the last sample.
    """

    name: str
    kind: Literal["online", "batch"]
    penalty: Penalty
    baseline_mw: float | Numbers | None = None
    share: float | None = None
    shape: Column | Numbers | None = None
    max_curtail: float | None = None
    max_make_up: float | None = None
    max_backlog_h: float | None = None


class Goal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A saving or a penalty to reach, by bisection on the price of the efficient policy.

    Attributes:
        saved_pct: Carbon to save, % of the baseline.
        penalty: Total penalty not to exceed.
        reached_at: The price found; filled in by the study.
    """

    saved_pct: float | None = None
    penalty: float | None = None
    reached_at: float | None = None


class Chords(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The chords that replace the penalty curves."""

    segments: int = 16
    spacing: Spacing = "dense"


class DemandResponseSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A whole study; see ``docs/demand_response.md``.

    Attributes:
        grid: Carbon intensity of the hours studied.
        workloads: What runs.
        fleet: Power of the whole fleet, where workloads state a share of it.
        lambdas: Prices: t CO2e saved that a unit of penalty must bring.
        goals: Savings or penalties to reach: further prices, found by bisection.
        policies: Policies compared; ``nothing`` is always among them.
        cuts: Shares by which the uniform policies cap.
        capacity_mw: Most power in an hour: MW, ``peak`` (largest baseline power of the fleet) or ``none``.
        advance: Whether batch work may run before its hour. Much of the saving at small penalty then is work run
            early at no cost, so it is a choice to state.
        chords: How finely the penalty curves are cut.
    """

    grid: Grid
    workloads: tuple[Workload, ...]
    fleet: FleetLoad | None = None
    lambdas: Levels = (0.02, 0.05, 0.1, 0.2, 0.3)
    goals: Annotated[tuple[Goal, ...], msgspec.Meta(max_length=MOST_LEVELS)] = ()
    policies: tuple[Policy, ...] = get_args(Policy)
    cuts: Levels = (0.02, 0.05, 0.1)
    capacity_mw: float | Literal["peak", "none"] = "peak"
    advance: bool = False
    chords: Chords = Chords()
