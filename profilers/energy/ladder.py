"""Which meter is used, and why not a better one: the order, the registry, the survey.

NVML energy counter, NVML power integrated, RAPL, perf, estimate: the first that is live and covers the device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import msgspec

from codesign.errors import CodesignError, EnvironmentLacks, UsageError, nearest
from codesign.profilers.energy.liveness import LOAD_SECONDS, Finding, busy_loop, check_live
from codesign.profilers.energy.meter import Meter, Site
from codesign.registry import Registry
from codesign.targets.target import Target

Open = Callable[[Site], Meter]
LADDER: Mapping[str, tuple[str, ...]] = {
    "cuda": ("nvml-energy", "nvml-power"),
    "cpu": ("rapl", "perf", "estimate"),
}
"""Device -> meters that cover it, best first."""

NAMES = (*LADDER["cuda"], *LADDER["cpu"])


def meters() -> Registry[Open]:
    """Return the registry of meters: name -> what opens one on a ``Site``; nothing is imported until chosen."""
    homes = {
        "nvml-energy": ("nvml", "EnergyMeter"),
        "nvml-power": ("nvml", "PowerMeter"),
        "rapl": ("rapl", "open_meter"),
        "perf": ("perf", "open_meter"),
        "estimate": ("estimate", "open_meter"),
    }
    return Registry("energy meter", {name: _thunk(*home) for name, home in homes.items()})


def _thunk(module: str, name: str) -> Callable[[], Open]:
    return lambda: cast("Open", getattr(import_module(f"codesign.profilers.energy.{module}"), name))


class Choice(msgspec.Struct, frozen=True):
    """The meter to use, open and live, or None with the reason; and what became of every rung tried."""

    meter: Any
    reason: str
    tried: tuple[Finding, ...]


def survey(
    site: Site | None = None,
    names: tuple[str, ...] = NAMES,
    *,
    seconds: float = LOAD_SECONDS,
    load: Callable[[float], None] = busy_loop,
) -> list[Finding]:
    """Return what each meter of this machine is worth, in the order in which they are preferred.

    All counters are judged under one busy loop, so it takes about ``seconds``, and no time where nothing opens.
    """
    opened, findings = _open(site or here(), names)
    try:
        findings |= check_live(opened, seconds=seconds, load=load)
    finally:
        for meter in opened.values():
            _close(meter)
    return [findings[name] for name in names]


def choose_meter(
    device: str = "cpu",
    target: Target | None = None,
    *,
    cpu_tdp: float | None = None,
    gpu_uuid: str | None = None,
    name: str | None = None,
    site: Site | None = None,
    seconds: float = LOAD_SECONDS,
    load: Callable[[float], None] = busy_loop,
) -> Choice:
    """Return the best live meter for a device of this machine.

    ``choice.meter`` is open: close it after use. Where it is None, ``choice.reason`` says in one line why there is no
    energy, for example because the processor's TDP is unknown; that is a result, not an error. ``choice.tried`` lists
    every rung above with the reason it was not used, which belongs into the report. Each counter is tried under a
    busy loop of about a second; the estimate is not.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``, as CUDA programs count.
        target: Description of the processor, for its TDP; default the catalogue's entry with this processor's name.
        cpu_tdp: TDP of one processor as the user states it, W; wins over the target's.
        gpu_uuid: UUID of the GPU, ``str(torch.cuda.get_device_properties(n).uuid)``: CUDA may count GPUs in another
            order than NVML.
        name: Use this meter or none: a name of ``meters()``, or ``replay:FILE``.
        site: Where to look; default this machine.
        seconds: Length of the busy loop, s.
        load: The busy loop.

    Raises:
        UsageError: an unknown device or meter, a meter that does not cover the device, or an absurd TDP.
        DataError: a recording that is none.
    """
    kind, _, position = device.partition(":")
    if kind not in LADDER or (position and not position.isdecimal()):
        raise UsageError(f"device {device!r} is unknown to energy meters", nearest(device, LADDER))
    given: dict[str, Any] = {
        "target": target, "cpu_tdp": cpu_tdp, "gpu_uuid": gpu_uuid, "gpu": int(position) if position else None,
    }  # fmt: skip
    place = msgspec.structs.replace(site or here(), **{k: v for k, v in given.items() if v is not None})
    if name is not None and name.startswith("replay:"):
        from codesign.profilers.energy.replay import ReplayMeter, read_recording

        return Choice(ReplayMeter(read_recording(Path(name.removeprefix("replay:"))), place.clock), "", ())
    if name is not None and name not in LADDER[kind]:
        meters().get(name)
        raise UsageError(f"meter {name!r} does not cover {kind}", f"those that do: {', '.join(LADDER[kind])}")
    tried: list[Finding] = []
    for rung in LADDER[kind] if name is None else (name,):
        meter, finding = _try(place, rung, seconds, load)
        if meter is not None:
            return Choice(meter, "", tuple(tried))
        tried.append(finding)
    return Choice(None, "; ".join(f"{f.backend}: {f.reason}" for f in tried), tuple(tried))


def here() -> Site:
    """Return this machine, with the roots that the environment names."""
    root = os.environ.get("CODESIGN_POWERCAP_ROOT")
    return Site(powercap=Path(root)) if root else Site()


def _try(site: Site, name: str, seconds: float, load: Callable[[float], None]) -> tuple[Meter | None, Finding]:
    """Return the meter where it is live, and what became of it."""
    opened, findings = _open(site, (name,))
    if not opened:
        return None, findings[name]
    meter = opened[name]
    if meter.about.kind == "estimated":
        return meter, Finding(backend=name, status="live")
    finding = check_live(opened, seconds=seconds, load=load)[name]
    if finding.status == "live":
        return meter, finding
    _close(meter)
    return None, finding


def _open(site: Site, names: tuple[str, ...]) -> tuple[dict[str, Meter], dict[str, Finding]]:
    """Return the meters that open, and why the others do not."""
    registry, opened, missing = meters(), dict[str, Meter](), dict[str, Finding]()
    for name in names:
        try:
            opened[name] = registry.get(name)(site)
        except EnvironmentLacks as lack:
            missing[name] = Finding(backend=name, status="unavailable", reason=str(lack))
    return opened, missing


def _close(meter: Meter) -> None:
    """Close a meter; one that is broken already may fail to."""
    try:
        meter.close()
    except CodesignError:
        return
