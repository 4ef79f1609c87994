"""Processor packages by the RAPL counters of Linux (``/sys/class/powercap``).

Only zones named ``package-N`` are added: ``core``, ``uncore`` and ``dram`` are parts of or beside a package and
``psys`` contains it, so a sum over all zones counts energy twice. A package that two drivers show (``intel-rapl`` and
``intel-rapl-mmio``) counts once. ``energy_uj`` is readable by root only since 2020 (CVE-2020-8694) and starts again
at zero past ``max_energy_range_uj``: two reads less than that apart (minutes at full power) see every wrap, and a
counter that was reset shows as absurd power.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from codesign.errors import EnvironmentLacks
from codesign.profilers.energy.meter import About, Reading, Site

PERIOD = 0.001
"""RAPL updates about every millisecond (Intel SDM volume 3B, section 16.10)."""

STILL = 1.0
"""Seconds in which every package draws something; one frozen among several would drop out of the sum unseen."""

PACKAGE = re.compile(r"package-\d+(-die-\d+)?")


class Zone(msgspec.Struct, frozen=True):
    """One package: its folder, microjoules at which it wraps (0: unknown), and its limit in watts."""

    name: str
    folder: Path
    wrap: int
    limit: float | None


class RaplMeter:
    """The sum over the packages of the machine."""

    def __init__(self, zones: tuple[Zone, ...], site: Site) -> None:
        self._zones = zones
        self._clock = site.clock
        self._time = site.clock()
        self._last = [_energy(zone) for zone in zones]
        self._microjoules = 0
        limits = [zone.limit for zone in zones]
        names = " + ".join(zone.name for zone in zones)
        self.about = About(
            backend="rapl", kind="measured", covers="package", source=f"RAPL powercap counters of {names}",
            period=PERIOD, limit=None if None in limits else sum(limit or 0.0 for limit in limits),
            notes=("the whole processor package: what else runs on it counts too",),
        )  # fmt: skip

    def read(self) -> Reading:
        """Return the joules of all packages since the meter was opened."""
        now = self._clock()
        seconds = (now - self._time) / 1e9
        for place, zone in enumerate(self._zones):
            energy = _energy(zone)
            if energy == self._last[place] and seconds >= STILL:
                raise EnvironmentLacks(f"{zone.name}: the counter did not advance in {seconds:.3g} s", "it is frozen")
            self._microjoules += _step(zone, self._last[place], energy)
            self._last[place] = energy
        self._time = now
        return Reading(now, self._microjoules / 1e6)

    def close(self) -> None:
        """Hold nothing."""


def open_meter(site: Site) -> RaplMeter:
    """Open the package counters below ``site.powercap``.

    Raises:
        EnvironmentLacks: there are none, or one cannot be read.
    """
    if not site.powercap.is_dir():
        raise EnvironmentLacks(f"no {site.powercap}", "virtual machines have none; on a server, load intel_rapl_msr")
    zones = _zones(site.powercap)
    if not zones:
        raise EnvironmentLacks(f"no package-* zone in {site.powercap}", "core, dram and psys are no package")
    return RaplMeter(zones, site)


def _zones(root: Path) -> tuple[Zone, ...]:
    """Return the packages by name, each once; the main driver comes before its memory-mapped twin."""
    found: dict[str, Zone] = {}
    folders = {path.parent for pattern in ("*/name", "*/*/name") for path in root.glob(pattern)}
    for folder in sorted(folders, key=lambda f: ("mmio" in f.name, str(f))):
        name = _text(folder / "name")
        if name in found or not PACKAGE.fullmatch(name):
            continue
        limit = _whole(folder / "constraint_0_max_power_uw")
        found[name] = Zone(name, folder, _whole(folder / "max_energy_range_uj"), limit / 1e6 if limit > 0 else None)
    return tuple(found[name] for name in sorted(found))


def _energy(zone: Zone) -> int:
    path = zone.folder / "energy_uj"
    try:
        text = path.read_text(encoding="ascii").strip()
    except PermissionError:
        raise EnvironmentLacks(f"no permission to read {path}", f"grant it: sudo chmod o+r {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise EnvironmentLacks(f"{path} cannot be read: {reason}", "the counter is gone or never was") from None
    if not text.isdecimal():
        raise EnvironmentLacks(f"{path} holds {text[:40]!r}, expected microjoules", "the driver is broken")
    return int(text)


def _step(zone: Zone, before: int, now: int) -> int:
    """Return the microjoules between two readings, over at most one wrap."""
    if now >= before:
        return now - before
    if zone.wrap < before:
        raise EnvironmentLacks(
            f"{zone.name}: the counter ran back from {before} to {now} uJ, and not by a wrap at {zone.wrap} uJ",
            "it was reset; measure again",
        )
    return now - before + zone.wrap


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _whole(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdecimal() else 0
