"""The registry of back ends: names to thunks, nothing is imported until chosen."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from codesign.errors import EnvironmentLacks, UsageError, nearest
from codesign.search.mlir.backends.protocol import Backend

DEVICES = ("cpu", "cuda")

BACKENDS: dict[str, Callable[[], Callable[[str], Backend]]] = {
    "xla": lambda: _load("xla", "XlaBackend"),
    "torch": lambda: _load("aten", "TorchBackend"),
    "iree": lambda: _load("iree", "IreeBackend"),
}
DIALECTS = {"xla": "stablehlo", "torch": "aten", "iree": "stablehlo"}
"""What each back end compiles, known without importing it."""
PACKAGES = {"xla": ("jax", "jaxlib"), "iree": ("iree.compiler", "iree.runtime")}
"""What each back end needs beyond the product's own dependencies."""
EXTRAS = {"xla": "mlir", "iree": "iree"}


def _load(module: str, name: str) -> Callable[[str], Backend]:
    factory: Callable[[str], Backend] = getattr(import_module(f"codesign.search.mlir.backends.{module}"), name)
    return factory


def check_backend(name: str, device: str) -> None:
    """Raise ``UsageError`` unless ``name`` and ``device`` are known; imports nothing heavy."""
    if name not in BACKENDS:
        raise UsageError(f"unknown back end {name!r}", nearest(name, BACKENDS))
    if device not in DEVICES:
        raise UsageError(f"unknown device {device!r}", nearest(device, DEVICES))


def check_installed(name: str) -> None:
    """Raise ``EnvironmentLacks`` unless the packages of the back end ``name`` are here; imports nothing heavy."""
    missing = [package for package in PACKAGES.get(name, ()) if not _found(package)]
    if missing:
        hint = f"pip install 'codesign[{EXTRAS[name]}]'; the back end torch needs nothing"
        raise EnvironmentLacks(f"the back end {name} needs {' and '.join(missing)}", hint)


def _found(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


def make_backend(name: str, device: str = "cpu") -> Backend:
    """Return the back end ``name`` on ``device``.

    Raises:
        UsageError: no such back end or device.
        EnvironmentLacks: its package or the device is missing; says what to install.
    """
    check_backend(name, device)
    check_installed(name)
    return BACKENDS[name]()(device)
