"""Energy of this process without a counter: ``P = TDP * max(u, 0.1) * share``, labelled estimated.

u is the share of the usable processors that the process kept busy between two reads, ``share`` the part of one
processor that those are. Measured power was 0.4 to 2.1 times this rule at 35 of 38 loads of two servers (a 90 %
interval); full load drew 0.51 to 0.70 of TDP, so TDP is no power. A processor whose TDP is unknown has no estimate.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from codesign.errors import EnvironmentLacks, UsageError
from codesign.profilers.energy.meter import About, Reading, Site
from codesign.quantity import Quantity
from codesign.targets.loader import aliases, load_target, normal
from codesign.targets.system import Processor, processor
from codesign.targets.target import Target

LOW, HIGH = 0.4, 2.1
"""Measured over predicted energy, 90 % of the servers above."""

LEAST_LOAD = 0.1
"""Share of TDP charged to a process that hardly computes."""

MEMORY_WATTS_PER_BYTE = 0.38e-9
"""0.38 W per GB of installed memory (the public rule of thumb that energy calculators share)."""

MEMORY_LOW, MEMORY_HIGH = 0.5, 2.0
"""Assumed spread of the rule for memory."""

LEAST_NAME = 8
"""Shorter aliases would match inside names of other processors."""


class Envelope(msgspec.Struct, frozen=True):
    """Thermal design power of a processor, W, with its interval as factors, logical processors and source.

    ``whole`` says what was assumed where the number of logical processors is not known.
    """

    watts: float
    low: float
    high: float
    threads: float
    source: str
    whole: str = ""


class EstimateMeter:
    """Joules from processor time; every read closes an interval with a utilisation of its own."""

    def __init__(self, envelope: Envelope, found: Processor, site: Site) -> None:
        self._clock, self._process_time = site.clock, site.process_time
        self._cores = found.cores
        self._full = envelope.watts * found.cores / envelope.threads
        self._time, self._busy, self._joules = site.clock(), site.process_time(), 0.0
        share = found.cores / envelope.threads
        self.about = About(
            backend="estimate", kind="estimated", covers="process", period=1e-6, limit=self._full,
            low=LOW * envelope.low, high=HIGH * envelope.high,
            source=f"TDP {envelope.watts:g} W ({envelope.source}) x max(utilisation, {LEAST_LOAD}) x share {share:.4g}",
            memory_power=MEMORY_WATTS_PER_BYTE * found.memory_bytes if found.memory_bytes else None,
            notes=("no counter: a rule of TDP and processor time, not a measurement",
                   *((envelope.whole,) if envelope.whole else ()),
                   *(("a virtual machine: times and utilisation are the guest's own",) if found.virtual else ())),
        )  # fmt: skip

    def read(self) -> Reading:
        """Return the joules since the meter was opened."""
        now, busy = self._clock(), self._process_time()
        wall = now - self._time
        if wall > 0:
            load = (busy - self._busy) / wall / self._cores
            self._joules += fallback_power(self._full, load).value * wall / 1e9
        self._time, self._busy = now, busy
        return Reading(now, self._joules)

    def close(self) -> None:
        """Hold nothing."""


def open_meter(site: Site) -> EstimateMeter:
    """Open the estimate for the processor of ``site``.

    Raises:
        EnvironmentLacks: its thermal design power is unknown.
        UsageError: a stated one is absurd.
    """
    found = processor(site.root)
    return EstimateMeter(_envelope(site, found), found, site)


def fallback_power(watts: float, load: float) -> Quantity:
    """Return the estimated power of processors of the design power ``watts``, the share ``load`` of them busy."""
    drawn = watts * max(load, LEAST_LOAD)
    return Quantity(drawn, drawn * LOW, drawn * HIGH, "W", "estimated")


def memory_energy(watts: float, seconds: float) -> Quantity:
    """Return the joules of memory that draws ``watts`` by the rule of thumb, over ``seconds``."""
    joules = watts * seconds
    return Quantity(joules, joules * MEMORY_LOW, joules * MEMORY_HIGH, "J", "estimated")


def _envelope(site: Site, found: Processor) -> Envelope:
    if site.cpu_tdp is not None:
        if not 0.5 <= site.cpu_tdp <= 2000.0:
            raise UsageError(f"TDP of the processor is {site.cpu_tdp:g} W", "give 0.5 to 2000 W, of one processor")
        threads = _threads(site.target, site.root) if site.target else _threads(_catalogue(found), site.root)
        whole = "" if threads else (
            f"share 1 is assumed: the {found.cores} processors here may be part of a larger one; give --cpu-tdp the "
            "part of its power that is theirs"
        )  # fmt: skip
        return Envelope(site.cpu_tdp, 1.0, 1.0, threads or found.cores, "as given", whole)
    target = site.target if site.target is not None and site.target.kind == "cpu" else _catalogue(found)
    if target is None:
        raise EnvironmentLacks(
            f"the thermal design power of {found.name} is not known here",
            "state it with --cpu-tdp WATTS; no default is assumed",
        )
    tdp = target.power.tdp
    low, high = tdp.low or tdp.value, tdp.high or tdp.value
    threads = _threads(target, site.root) or found.cores
    return Envelope(tdp.value, low / tdp.value, high / tdp.value, threads, f"{target.id}: {tdp.source}")


def _catalogue(found: Processor) -> Target | None:
    """Return the catalogue's processor whose name the system reports."""
    name = normal(re.sub(r"\((R|TM|r|tm)\)", "", found.name))
    fitting = [(len(a), i) for a, i in aliases().items() if len(a) >= LEAST_NAME and a in name]
    targets = (load_target(identity) for _, identity in sorted(fitting, reverse=True))
    return next((target for target in targets if target.kind == "cpu"), None)


def _threads(target: Target | None, root: Path) -> float | None:
    """Return the logical processors of one processor; ``this-cpu`` counts those seen here already."""
    if target is None or target.cores is None:
        return None
    if target.id == "this-cpu":
        return target.cores
    return target.cores * _threads_per_core(root)


def _threads_per_core(root: Path) -> int:
    """Return logical processors per core: as the system says; 2 in a guest on x86, whose cores are threads outside."""
    try:
        info = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 1
    siblings, cores = (re.search(rf"^{name}\s*:\s*(\d+)$", info, re.MULTILINE) for name in ("siblings", "cpu cores"))
    if siblings is None or cores is None or int(cores[1]) == 0:
        return 1
    return 2 if "hypervisor" in info else max(1, int(siblings[1]) // int(cores[1]))
