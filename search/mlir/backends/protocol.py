"""What a back end is: it compiles an edited program and runs it on arrays.

A back end runs in a worker process: what it compiles may abort, hang or take all memory. Arrays are loaded onto the
device once and the program is then called as often as timing needs; ``call`` returns when the result is ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

Arrays = Sequence[NDArray[Any]]


class Costs(msgspec.Struct, frozen=True):
    """What one run of a compiled program costs by the compiler's own account; None where it has none.

    ``flops`` in FLOP, ``bytes_accessed`` moved by all operations and ``temporary_bytes`` held between them in bytes,
    ``operations`` that are launched (a fusion counts one).
    """

    flops: float | None = None
    bytes_accessed: float | None = None
    temporary_bytes: float | None = None
    operations: float | None = None


class Executable(Protocol):
    """A compiled program."""

    digest: str
    """Equal for programs that the compiler made the same code of; empty where the back end cannot tell."""

    @property
    def costs(self) -> Costs:
        """What a run costs; eager back ends count in the first call."""
        ...

    def load(self, arrays: Arrays) -> Any:
        """Return the arguments, in the program's order, on the device."""
        ...

    def call(self, loaded: Any) -> Any:
        """Run once on loaded arguments; return the outputs on the device when they are ready.

        Raises:
            Refused: the program failed.
        """
        ...

    def fetch(self, outputs: Any) -> list[NDArray[Any]]:
        """Return the outputs of ``call`` as arrays."""
        ...


class Backend(Protocol):
    """Compiles programs of one dialect."""

    name: str
    dialect: str
    """What it compiles: ``stablehlo`` text, or an ``aten`` graph module."""
    version: str
    """Of what compiles and runs, for the record of a run."""
    device: str

    def compile(self, realised: Any) -> Executable:
        """Return ``realised`` compiled.

        Raises:
            Refused: the compiler does not take it.
        """
        ...


def run(executable: Executable, arrays: Arrays) -> list[NDArray[Any]]:
    """Return the outputs of one run on ``arrays``."""
    return executable.fetch(executable.call(executable.load(arrays)))


def one_line(error: BaseException, longest: int = 200) -> str:
    """Return the first line of what went wrong, cut to ``longest`` characters."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return text[:longest]


def output_digest(outputs: Sequence[NDArray[Any]]) -> str:
    """Return a digest of outputs: equal bits, shapes and types give equal digests."""
    import hashlib

    state = hashlib.blake2b(digest_size=16)
    for array in outputs:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()
