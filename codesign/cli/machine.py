"""What this machine offers: the facts behind ``codesign doctor``. Nothing heavy is imported, nothing is changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from codesign.run import host_info, versions

if TYPE_CHECKING:
    from codesign.profilers.energy import Finding as EnergyFinding

CORE = ("torch", "numpy", "scipy", "scikit-learn", "optuna", "polars", "msgspec", "typer", "rich")
EXTRAS = {  # import name -> (extra that installs it, what it is for)
    "pynvml": ("nvml", "energy and clocks of NVIDIA GPUs"),
    "transformers": ("hf", "models built from a Hugging Face config.json"),
    "onnx": ("onnx", "ONNX models"),
    "torch_mlir": ("mlir", "StableHLO programs of torch modules"),
    "jax": ("mlir", "compiling and timing StableHLO programs"),
    "iree": ("iree", "StableHLO programs through IREE, experimental"),
    "gymnasium": ("gym", "search spaces as environments"),
    "playwright": ("dev", "tests of the HTML report in a browser"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SETTINGS = {  # environment variable -> (what it sets, default)
    "CODESIGN_POWERCAP_ROOT": ("folder of the processor's energy counters", "/sys/class/powercap"),
    "NO_COLOR": ("no colours when set", "unset"),
    "TERM": ("'dumb' draws plain tables", "unset"),
    "COLUMNS": ("width of tables", "the terminal's, or 80"),
    "HF_HUB_OFFLINE": ("no network access by transformers when 1", "unset"),
}


class Finding(msgspec.Struct, frozen=True):
    """One fact.

    Attributes:
        group: Heading that it belongs to.
        name: What was looked for.
        found: Whether it is there and usable.
        value: What was found.
        hint: What to do to get it, empty where nothing is missing.
    """

    group: str
    name: str
    found: bool
    value: str
    hint: str = ""


def findings() -> list[Finding]:
    """Return everything ``codesign doctor`` shows but the energy meters."""
    return [*_host(), *_packages(), *_gpus(), *_extras(), _browser(), *_settings()]


def _host() -> Iterator[Finding]:
    host = host_info()
    yield Finding("machine", "processor", True, f"{host['processor']}, {host['cores']} usable cores")
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    yield Finding("machine", "memory", True, f"{pages * page / 2**30:.1f} GiB")
    free = shutil.disk_usage(Path.cwd()).free
    yield Finding("machine", "free disk here", free > 2**30, f"{free / 2**30:.1f} GiB")
    if "hypervisor" in _text("/proc/cpuinfo"):
        steal = (_text("/proc/stat").partition("\n")[0].split() + ["?"] * 9)[8]
        value = f"yes: utilisation in /proc/stat is the guest's own ({steal} ticks stolen by other guests)"
        yield Finding("machine", "virtual machine", True, value)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _packages() -> Iterator[Finding]:
    found = versions(CORE)
    yield Finding("packages", "codesign", True, found["codesign"] or "not installed, run from its folder")
    yield Finding("packages", "python", True, found["python"])
    for name in CORE:
        present = name in found
        hint = "" if present else "reinstall: pip install -e ."
        yield Finding("packages", name, present, found.get(name, "missing"), hint)


def _gpus() -> Iterator[Finding]:
    program = shutil.which("nvidia-smi")
    if program is None:
        yield Finding("devices", "NVIDIA GPU", False, "none: no driver here", "the processor alone is enough to start")
        return
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        yield Finding("devices", "NVIDIA GPU", False, "the driver does not answer", "run nvidia-smi to see why")
        return
    for place, line in enumerate(answer.strip().splitlines()):
        yield Finding("devices", f"NVIDIA GPU {place}", True, line)
    cuda = _torch_cuda()
    hint = "" if cuda else "this torch is built for the processor only; install a CUDA build of the same version"
    yield Finding("devices", "torch with CUDA", bool(cuda), cuda or "no", hint)


def _torch_cuda() -> str:
    """Return the CUDA version torch was built for, read from its file: importing torch takes more than a second."""
    spec = util.find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    try:
        lines = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    value = next((line.partition("=")[2].strip() for line in lines if line.startswith("cuda")), "None")
    return "" if value == "None" else value.strip("'\"")


def energy_meters() -> list[EnergyFinding]:
    """Return what each energy meter is worth here; takes a second of busy loop where there is any to try."""
    from codesign.profilers.energy import survey

    return survey()


def _extras() -> Iterator[Finding]:
    owners = metadata.packages_distributions()
    for module, (extra, purpose) in EXTRAS.items():
        present = util.find_spec(module) is not None
        names = owners.get(module, [])
        value = metadata.version(names[0]) if present and names else ("installed" if present else f"missing: {purpose}")
        yield Finding("optional", module, present, value, "" if present else f"pip install 'codesign[{extra}]'")


def _browser() -> Finding:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    hint = "" if found else "install the system's chromium; only browser tests need it"
    return Finding("optional", "chromium", found is not None, Path(found).name if found else "missing", hint)


def _settings() -> Iterator[Finding]:
    for name, (meaning, default) in SETTINGS.items():
        value = os.environ.get(name)
        shown = f"{default} (default)" if value is None else f"{value} (environment)"
        yield Finding("settings", name, True, f"{shown}: {meaning}")
