"""The child process whose stdout holds what oneDNN and MKL say of a pass; ``vendor_times`` starts it and reads it.

``python -m codesign.profilers.vendor_child`` reads one request as JSON on stdin. The libraries read their settings
when they are loaded, so a process that has torch already cannot do this.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from signal import Signals
from typing import Any

import msgspec

from codesign.errors import CodesignError
from codesign.profilers.passes import Shape, make_pass
from codesign.profilers.vendor_verbose import PREFIX, Vendor, parse_output

WARM_UPS = 2
"""Passes dropped: the first call of a primitive also builds it and takes about six times as long."""

PASSES = 5
LONGEST_PASSES_S = 10.0
TIMEOUT_S = 300.0
LONGEST_REASON = 200


class VendorRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to run: a model by its source, with a ``Shape`` for every batch size."""

    model: str
    inputs: tuple[str, ...] | None = None
    shapes: tuple[Shape, ...]
    threads: int | None = None


def vendor_times(request: VendorRequest, timeout: float = TIMEOUT_S) -> dict[int, Vendor]:
    """Return batch -> vendor time, each with a reason where there is none; no failure of the child is raised."""
    environment = {**os.environ, "ONEDNN_VERBOSE": "1", "MKL_VERBOSE": "1", "KINETO_LOG_LEVEL": "99"}
    reason, output = "", b""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "codesign.profilers.vendor_child"],
            input=msgspec.json.encode(request), capture_output=True, timeout=timeout, env=environment, check=False,
        )  # fmt: skip
        output = done.stdout
        if done.returncode:
            reason = _reason(done.returncode, done.stderr.decode(errors="replace"))
    except subprocess.TimeoutExpired:
        reason = f"the child process took over {timeout:g} s"
    except OSError as error:
        reason = f"no child process could be started: {error.strerror or error}"
    if reason:
        return {shape.batch: Vendor(reason=reason) for shape in request.shapes}
    found = parse_output(output.decode(errors="replace").splitlines())
    return {s.batch: found.get(s.batch, Vendor(reason="the child process did not reach it")) for s in request.shapes}


def _reason(status: int, said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    if status < 0:
        return f"the child process was ended by {Signals(-status).name}"
    return f"the child process failed: {lines[-1] if lines else f'exit status {status}'}"[:LONGEST_REASON]


def run_request(request: VendorRequest) -> None:
    """Run every pass of ``request`` in this process, announcing each on stdout."""
    from ctypes import CDLL
    from inspect import signature

    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    from codesign.models import load_model

    flush = CDLL(None).fflush

    def announce(text: str) -> None:
        flush(None)  # the libraries write through C's buffer
        os.write(1, f"{PREFIX}{text}\n".encode())

    class Announced(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            """Announce ``func`` and run it."""
            announce(f"op {func._schema.name}")
            return func(*args, **(kwargs or {}))

    if request.threads is not None:
        torch.set_num_threads(request.threads)
    model: Any = load_model(request.model, inputs=list(request.inputs) if request.inputs else None)
    first = request.shapes[0]
    options = {"layers": first.layers, "dtype": first.dtype, "seed": first.seed}
    accepted = signature(model.module).parameters
    module = model.module(**{name: value for name, value in options.items() if name in accepted})
    with torch.no_grad():  # inference mode would announce aten::linear, and hide which product it calls
        for shape in request.shapes:
            run = make_pass(model, module, shape)
            for _ in range(WARM_UPS):
                run()
            announce(f"batch {shape.batch}")
            end = time.perf_counter() + LONGEST_PASSES_S
            for number in range(PASSES):
                announce(f"pass {number}")
                with Announced():  # type: ignore[no-untyped-call]
                    run()
                announce("end")
                if time.perf_counter() > end:
                    break


def main(arguments: Sequence[str] = ()) -> int:
    """Run one request from stdin; a refusal is one line on stderr and exit status 1."""
    try:
        run_request(msgspec.json.decode(sys.stdin.buffer.read(), type=VendorRequest))
    except (CodesignError, msgspec.MsgspecError, RuntimeError, ValueError, MemoryError, ImportError) as error:
        sys.stderr.write(f"{' '.join(str(error).split()) or type(error).__name__}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
