"""XLA through jaxlib: compiles StableHLO text and reports FLOPs, bytes and memory of what it compiled.

The calls that take a program as text are not part of jax's public interface, so loading tries them on a tiny program
and says which version is known to work where they fail.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.errors import EnvironmentLacks
from codesign.search.mlir.backends.protocol import Arrays, Costs, Executable, one_line
from codesign.search.mlir.graph import Refused

TESTED = "0.10.2"
"""The version of jaxlib that the tests run with."""

PROBE = """
module { func.func @main(%a: tensor<2xf32>) -> tensor<2xf32> {
  %0 = stablehlo.add %a, %a : tensor<2xf32>
  return %0 : tensor<2xf32>
} }
"""

FREE = frozenset({"parameter", "constant", "tuple", "get-tuple-element", "bitcast"})
"""Instructions that launch nothing."""
_METADATA = re.compile(r", metadata=\{[^}]*\}")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%\S+ = .*?\)?\s([a-z][a-z-]*)\(")


class XlaBackend:
    """Compiles StableHLO text for a CPU or, with jax's plugin, a CUDA device."""

    name = "xla"
    dialect = "stablehlo"

    def __init__(self, device: str = "cpu") -> None:
        """Find the device and try the private calls.

        Raises:
            EnvironmentLacks: a jaxlib without these calls, or no such device.
        """
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what it refuses becomes a reason, not lines on stderr
        import jax
        from jaxlib.version import __version__ as found

        self.device, self.version = device, f"jaxlib {found}"
        if device == "cpu":
            jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]  # a plugin that finds no device would warn, or take its memory
        try:
            self._device = jax.devices(device)[0]
        except RuntimeError as error:
            hint = "pip install jax-cuda12-plugin of jaxlib's version, or leave --device out"
            raise EnvironmentLacks(f"XLA finds no {device} device: {one_line(error)}", hint) from None
        self._probe(found)

    def _probe(self, version: str) -> None:
        try:
            probed = self.compile(PROBE)
            found = probed.fetch(probed.call(probed.load([np.ones(2, np.float32)])))
        except (ImportError, AttributeError, TypeError, Refused) as error:
            message = f"jaxlib {version} lacks the calls that take a program as text: {one_line(error)}"
            raise EnvironmentLacks(message, f"pip install 'jax=={TESTED}' 'jaxlib=={TESTED}'") from None
        if not np.array_equal(found[0], np.full(2, 2.0)):
            message = f"jaxlib {version} computes 1 + 1 = {found[0][0]}"
            raise EnvironmentLacks(message, f"pip install 'jax=={TESTED}' 'jaxlib=={TESTED}'")

    def compile(self, realised: Any) -> Executable:
        """Return StableHLO text (or an object with ``text``) compiled; its entry is ``@main``."""
        from jax._src import compiler
        from jax.errors import JaxRuntimeError
        from jaxlib import _jax

        text = realised if isinstance(realised, str) else realised.text
        devices = _jax.DeviceList((self._device,))
        try:
            loaded = self._device.client.compile_and_load(text, devices, compiler.get_compile_options(1, 1))
        except (JaxRuntimeError, ValueError) as error:
            raise Refused(f"XLA: {one_line(error)}") from None
        return XlaExecutable(loaded, self._device)


class XlaExecutable:
    """A program compiled by XLA."""

    def __init__(self, loaded: Any, device: Any) -> None:
        self._loaded, self._device = loaded, device
        text = _METADATA.sub("", loaded.hlo_modules()[0].to_string())
        self.digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        analysis, memory = loaded.cost_analysis(), loaded.get_compiled_memory_stats()
        self.costs = Costs(
            flops=float(analysis.get("flops", 0.0)),
            bytes_accessed=float(analysis.get("bytes accessed", 0.0)),
            temporary_bytes=float(memory.temp_size_in_bytes),
            operations=float(launched(text)),
        )

    def load(self, arrays: Arrays) -> Any:
        """Return the arguments on the device; 64-bit ones keep their width."""
        import jax

        with jax.enable_x64(True):
            return [jax.device_put(np.ascontiguousarray(array), self._device) for array in arrays]

    def call(self, loaded: Any) -> Any:
        """Run once; return the outputs when they are ready."""
        from jax.errors import JaxRuntimeError

        try:
            outputs = self._loaded.execute(loaded)
            for output in outputs:
                output.block_until_ready()
        except (JaxRuntimeError, ValueError) as error:
            raise Refused(f"XLA: {one_line(error)}") from None
        return outputs

    def fetch(self, outputs: Any) -> list[NDArray[Any]]:
        """Return the outputs as arrays."""
        return [np.asarray(output) for output in outputs]


def launched(text: str) -> int:
    """Return how many instructions of the entry computation of HLO text do work."""
    _, _, entry = text.partition("\nENTRY ")
    kinds = (_INSTRUCTION.match(line) for line in entry.partition("\n}")[0].splitlines()[1:])
    return sum(1 for found in kinds if found and found.group(1) not in FREE)
