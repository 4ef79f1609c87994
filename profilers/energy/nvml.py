"""NVIDIA GPUs by NVML: the total-energy counter, and instantaneous power integrated where that is missing.

The energy counter (millijoules, Volta and later) steps every 10 to 100 ms. ``nvmlDeviceGetPowerUsage`` is an average
over a second on Ampere and later, so power is read from the instantaneous field. A100 and H100 sample a quarter of
the run time (arXiv 2312.02741): repeat the workload.
"""

from __future__ import annotations

import os
import threading
from importlib import import_module
from typing import Any

from codesign.errors import EnvironmentLacks
from codesign.profilers.energy.meter import About, Reading, Site

ENERGY_PERIOD = 0.1
POWER_PERIOD = 0.1
"""Seconds between two updates of power in the driver, at most."""

SAMPLE_EVERY = 0.02
POWER_INSTANT = 186
"""NVML_FI_DEV_POWER_INSTANT."""

GPU_SCOPE = 0
"""NVML_POWER_SCOPE_GPU."""

MODULES = ("GH200", "GB200", "GB300", "Grace")
"""Devices whose power scope may fall back to the module, processor included."""


class Device:
    """A GPU that NVML answers for."""

    def __init__(self, site: Site) -> None:
        self.library = site.nvml if site.nvml is not None else _library()
        self._open = False
        self.call("nvmlInit")
        self._open = True
        try:
            self.handle = self._find(site)
            self._refuse_partitions()
            name = self.call("nvmlDeviceGetName", self.handle)
            self.name = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
            self.limit = self._limit()
        except EnvironmentLacks:
            self.close()
            raise

    def call(self, function: str, *arguments: Any) -> Any:
        """Call NVML.

        Raises:
            EnvironmentLacks: it refuses; the hint says what to do.
        """
        entry = getattr(self.library, function, None)
        if entry is None:
            raise EnvironmentLacks(f"this NVML package has no {function}", "pip install -U 'codesign[nvml]'")
        try:
            return entry(*arguments)
        except self.library.NVMLError as error:
            raise _lacks(function, error) from None

    def close(self) -> None:
        """Let NVML go."""
        if self._open:
            self._open = False
            self.call("nvmlShutdown")

    def _find(self, site: Site) -> Any:
        """Return the handle of the GPU that a CUDA program calls number ``site.gpu``."""
        visible = site.visible if site.visible is not None else os.environ.get("CUDA_VISIBLE_DEVICES")
        entries = [entry.strip() for entry in (visible or "").split(",") if entry.strip()]
        if entries and site.gpu >= len(entries):
            raise EnvironmentLacks(f"GPU {site.gpu} is not visible", f"CUDA_VISIBLE_DEVICES is {visible}")
        chosen = site.gpu_uuid or (entries[site.gpu] if entries else str(site.gpu))
        if chosen.startswith("MIG-"):
            raise EnvironmentLacks("the device is a MIG partition", "energy is counted for whole GPUs only")
        if chosen.isdecimal():
            return self.call("nvmlDeviceGetHandleByIndex", int(chosen))
        return self.call("nvmlDeviceGetHandleByUUID", chosen if chosen.startswith("GPU-") else f"GPU-{chosen}")

    def _refuse_partitions(self) -> None:
        try:
            current, _ = self.call("nvmlDeviceGetMigMode", self.handle)
        except EnvironmentLacks:
            return  # a GPU that cannot be partitioned
        if current:
            raise EnvironmentLacks("the GPU is partitioned (MIG)", "energy is counted for whole GPUs only")

    def _limit(self) -> float | None:
        try:
            return float(self.call("nvmlDeviceGetEnforcedPowerLimit", self.handle)) / 1e3
        except EnvironmentLacks:
            return None

    def notes(self) -> tuple[str, ...]:
        """Return what to know about figures of this device."""
        module = any(part in self.name for part in MODULES)
        return ("the power scope may be the module, processor included",) if module else ()


class EnergyMeter:
    """The total-energy counter."""

    def __init__(self, site: Site) -> None:
        self._device, self._clock = Device(site), site.clock
        try:
            self._last = self._first = self._count()
        except EnvironmentLacks:
            self._device.close()
            raise
        self.about = About(
            backend="nvml-energy", kind="measured", covers="gpu", period=ENERGY_PERIOD, limit=self._device.limit,
            source=f"NVML total-energy counter of {self._device.name}", notes=self._device.notes(),
        )  # fmt: skip

    def read(self) -> Reading:
        """Return the joules since the meter was opened."""
        count, now = self._count(), self._clock()
        if count < self._last:
            raise EnvironmentLacks("the NVML energy counter ran backwards", "the driver was reloaded; measure again")
        self._last = count
        return Reading(now, (count - self._first) / 1e3)

    def close(self) -> None:
        """Let NVML go."""
        self._device.close()

    def _count(self) -> int:
        return int(self._device.call("nvmlDeviceGetTotalEnergyConsumption", self._device.handle))


class PowerMeter:
    """Power integrated by the trapezoid rule over samples of a thread of its own, and of every read."""

    def __init__(self, site: Site) -> None:
        self._device, self._clock = Device(site), site.clock
        self._joules = 0.0
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._failure: EnvironmentLacks | None = None
        try:
            self._instant = self._has_instant()
            self._watts, self._time = self._power(), self._clock()
        except EnvironmentLacks:
            self._device.close()
            raise
        average = () if self._instant else ("power is an average over about a second: no instantaneous field here",)
        self.about = About(
            backend="nvml-power", kind="measured", covers="gpu", period=POWER_PERIOD if self._instant else 1.0,
            limit=self._device.limit, source=f"NVML power of {self._device.name}, integrated",
            notes=(*self._device.notes(), *average),
        )  # fmt: skip
        self._thread = threading.Thread(target=self._follow, daemon=True) if site.background else None
        if self._thread is not None:
            self._thread.start()

    def read(self) -> Reading:
        """Return the joules since the meter was opened."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            self._sample()
            return Reading(self._time, self._joules)

    def close(self) -> None:
        """Stop sampling and let NVML go."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._device.close()

    def _follow(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY):
            try:
                with self._lock:
                    self._sample()
            except EnvironmentLacks as failure:
                self._failure = failure
                return

    def _sample(self) -> None:
        watts, now = self._power(), self._clock()
        self._joules += 0.5 * (watts + self._watts) * (now - self._time) / 1e9
        self._watts, self._time = watts, now

    def _has_instant(self) -> bool:
        """Say whether the driver has the instantaneous field; older ones have only the average."""
        try:
            return not self._field().nvmlReturn
        except EnvironmentLacks:
            return False

    def _field(self) -> Any:
        """Return the instantaneous field."""
        return self._device.call("nvmlDeviceGetFieldValues", self._device.handle, [(POWER_INSTANT, GPU_SCOPE)])[0]

    def _power(self) -> float:
        """Return watts now."""
        if not self._instant:
            return float(self._device.call("nvmlDeviceGetPowerUsage", self._device.handle)) / 1e3
        field = self._field()
        if field.nvmlReturn:
            raise EnvironmentLacks(f"the GPU's power cannot be read: NVML error {field.nvmlReturn}", "run nvidia-smi")
        return float(field.value.uiVal) / 1e3


def _library() -> Any:
    try:
        return import_module("pynvml")
    except ImportError:
        raise EnvironmentLacks("the NVML package is missing", "pip install 'codesign[nvml]'") from None


def _lacks(function: str, error: Exception) -> EnvironmentLacks:
    """Return what an error of NVML means; its classes differ between versions, their names do not."""
    kind = type(error).__name__
    if "NotSupported" in kind:
        return EnvironmentLacks(f"the GPU does not support {function}", "the energy counter needs Volta or later")
    if "NoPermission" in kind:
        return EnvironmentLacks(f"no permission for {function}", "ask the administrator, or run as root")
    if "LibraryNotFound" in kind or "DriverNotLoaded" in kind:
        return EnvironmentLacks("no NVIDIA driver here", "needed for energy of NVIDIA GPUs only")
    return EnvironmentLacks(f"{function} failed: {error}", "run nvidia-smi to see the state of the GPU")
