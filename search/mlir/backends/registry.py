"""The registry of back ends: names to thunks, nothing is imported until chosen."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from codesign.errors import UsageError, nearest
from codesign.search.mlir.backends.protocol import Backend

DEVICES = ("cpu", "cuda")

BACKENDS: dict[str, Callable[[], Callable[[str], Backend]]] = {
    "xla": lambda: _load("xla", "XlaBackend"),
    "torch": lambda: _load("aten", "TorchBackend"),
    "iree": lambda: _load("iree", "IreeBackend"),
}
DIALECTS = {"xla": "stablehlo", "torch": "aten", "iree": "stablehlo"}
"""What each back end compiles, known without importing it."""


def _load(module: str, name: str) -> Callable[[str], Backend]:
    factory: Callable[[str], Backend] = getattr(import_module(f"codesign.search.mlir.backends.{module}"), name)
    return factory


def check_backend(name: str, device: str) -> None:
    """Raise ``UsageError`` unless ``name`` and ``device`` are known; imports nothing heavy."""
    if name not in BACKENDS:
        raise UsageError(f"unknown back end {name!r}", nearest(name, BACKENDS))
    if device not in DEVICES:
        raise UsageError(f"unknown device {device!r}", nearest(device, DEVICES))


def make_backend(name: str, device: str = "cpu") -> Backend:
    """Return the back end ``name`` on ``device``.

    Raises:
        UsageError: no such back end or device.
        EnvironmentLacks: its package or the device is missing; says what to install.
    """
    check_backend(name, device)
    return BACKENDS[name]()(device)
