"""Where a run came from: versions and hardware, without host name, user name or absolute path."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_ABSOLUTE = re.compile(r"(?<![\w.~/:-])/(?:[^\s,:;=\"']+/)*[^\s,:;=\"'/]+/?")


def versions(packages: Iterable[str] = ("numpy", "msgspec")) -> dict[str, str]:
    """Return the versions of codesign, Python and ``packages`` as installed; nothing is imported."""
    found = {"codesign": _version("codesign"), "python": platform.python_version()}
    for name in packages:
        if version := _version(name):
            found[name] = version
    return found


def _version(name: str) -> str:
    """Return the version of a package: what is imported already says so itself, which takes no search."""
    if stated := getattr(sys.modules.get(name), "__version__", None):
        return str(stated)
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def host_info() -> dict[str, Any]:
    """Return processor model, usable cores and GPU model (None without one)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return {"processor": _processor(), "cores": cores, "gpu": _gpu()}


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    """Return the model of the first NVIDIA GPU as its driver lists it; asks no library."""
    try:
        for card in sorted(Path("/proc/driver/nvidia/gpus").iterdir()):
            for line in (card / "information").read_text(errors="replace").splitlines():
                if line.startswith("Model:"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return None


def sanitise_argv(argv: Sequence[str]) -> list[str]:
    """Return ``argv`` fit to be shown: the program by its name, relative paths kept, absolute ones shortened.

    A path below the working directory becomes relative to it, one below the home directory starts with ``~``,
    any other keeps its last part only.
    """
    if not argv:
        return []
    first = Path(argv[0]).name
    return ["codesign" if first in ("__main__.py", "codesign") else first, *(shorten_paths(a) for a in argv[1:])]


def shorten_paths(text: str) -> str:
    """Return ``text`` with absolute paths shortened as ``sanitise_argv`` says."""
    marked = re.sub(r"(?<=[:=])(?=/(?!/))", "\0", text)  # --flag=/path and py:/path, but not http://
    return _ABSOLUTE.sub(lambda match: _shorten(match.group()), marked).replace("\0", "")


def _shorten(text: str) -> str:
    path = Path(text)
    for base, prefix in ((Path.cwd(), ""), (Path.home(), "~/")):
        try:
            inside = path.relative_to(base)
        except ValueError:
            continue
        if base != Path("/"):
            return f"{prefix}{inside}"
    return path.name
