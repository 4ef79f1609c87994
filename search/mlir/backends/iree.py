"""IREE (experimental): compiles StableHLO text to its own machine code, five to ten times slower than XLA does.

Weights are arguments here as they are elsewhere; convolutions run several times slower so than with weights as
constants, hence runtimes of this back end compare with each other only.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.errors import EnvironmentLacks
from codesign.search.mlir.backends.protocol import Arrays, Costs, Executable, one_line
from codesign.search.mlir.graph import Refused

TARGETS = {
    "cpu": (
        "--iree-hal-target-device=local",
        "--iree-hal-local-target-device-backends=llvm-cpu",
        "--iree-llvmcpu-target-cpu=host",
    ),
    # newer targets are not known to the compiler: the driver compiles what it gets for the device
    "cuda": ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80"),
}
DRIVERS = {"cpu": "local-sync", "cuda": "cuda"}


class IreeBackend:
    """Compiles StableHLO text in this process and runs it through IREE's runtime."""

    name = "iree"
    dialect = "stablehlo"

    def __init__(self, device: str = "cpu") -> None:
        """Find compiler, runtime and device.

        Raises:
            EnvironmentLacks: IREE finds no such device.
        """
        from importlib.metadata import version

        from iree import runtime
        from iree.compiler.api import Session

        self.device, self.version = device, f"iree {version('iree-base-compiler')}"
        self._session = Session()
        self._session.set_flags("--iree-input-type=stablehlo", *TARGETS[device])
        try:
            self._config = runtime.Config(DRIVERS[device])
        except (RuntimeError, ValueError) as error:
            raise EnvironmentLacks(f"IREE finds no {device} device: {one_line(error)}", "leave --device out") from None

    def compile(self, realised: Any) -> Executable:
        """Return StableHLO text (or an object with ``text``) compiled; its entry is ``@main``."""
        from iree import runtime
        from iree.compiler.api import Output, Source

        text = realised if isinstance(realised, str) else realised.text
        invocation = self._session.invocation()
        try:
            source = Source.wrap_buffer(self._session, text.encode() + b"\0")
            if not invocation.parse_source(source):
                raise Refused("IREE: it cannot read the program")
            if not invocation.execute():
                raise Refused("IREE: it cannot compile the program")
            output = Output.open_membuffer()
            invocation.output_vm_bytecode(output)
            code = bytes(output.map_memory())
        except RuntimeError as error:
            raise Refused(f"IREE: {one_line(error)}") from None
        finally:
            invocation.close()
        module = runtime.VmModule.copy_buffer(self._config.vm_instance, code)
        return IreeExecutable(runtime.load_vm_module(module, self._config)["main"], self._config, code)


class IreeExecutable:
    """A program compiled by IREE; it reports no costs."""

    def __init__(self, entry: Any, config: Any, code: bytes) -> None:
        self._entry, self._config = entry, config
        self.digest = hashlib.blake2b(code, digest_size=16).hexdigest()
        self.costs = Costs()

    def load(self, arrays: Arrays) -> Any:
        """Return the arguments on the device."""
        from iree import runtime

        return [runtime.asdevicearray(self._config.device, np.ascontiguousarray(array)) for array in arrays]

    def call(self, loaded: Any) -> Any:
        """Run once; the call returns when the outputs are ready."""
        try:
            outputs = self._entry(*loaded)
        except (RuntimeError, ValueError) as error:
            raise Refused(f"IREE: {one_line(error)}") from None
        return outputs if isinstance(outputs, tuple | list) else (outputs,)

    def fetch(self, outputs: Any) -> list[NDArray[Any]]:
        """Return the outputs as arrays."""
        return [np.array(output.to_host()) for output in outputs]  # copies: the runtime uses its buffers again
