"""One event of a Kineto trace as it is decoded, and which of a trace's columns it belongs to.

Phases and categories decode to members of an ``Enum``, one object each for all events: no text is made, hashed or freed
for them, which halves what decoding costs.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Generic, TypeVar

import msgspec

from codesign.profilers.trace import NONE


class Role(IntEnum):
    """Where an event goes; ``OTHER`` events are only counted."""

    OTHER = 0
    OPERATOR = 1
    CALL = 2
    ANNOTATION = 3
    FUNCTION = 4
    OVERHEAD = 5
    KERNEL = 6
    COPY = 7
    SET = 8


HOST = (Role.OPERATOR, Role.CALL, Role.ANNOTATION, Role.FUNCTION, Role.OVERHEAD)


class Category(Enum):
    """The spellings of categories met in traces, each with its role; others are sorted in by ``_missing_``."""

    role: int

    OTHER = "", Role.OTHER
    KERNEL = "kernel", Role.KERNEL
    KERNEL_OLD = "Kernel", Role.KERNEL
    GPU_COPY = "gpu_memcpy", Role.COPY
    COPY = "memcpy", Role.COPY
    COPY_OLD = "Memcpy", Role.COPY
    GPU_SET = "gpu_memset", Role.SET
    SET = "memset", Role.SET
    SET_OLD = "Memset", Role.SET
    OPERATOR = "cpu_op", Role.OPERATOR
    OPERATOR_OLD = "Operator", Role.OPERATOR
    OPERATOR_LOWER = "operator", Role.OPERATOR
    CUDA_RUNTIME = "cuda_runtime", Role.CALL
    CUDA_DRIVER = "cuda_driver", Role.CALL
    RUNTIME_OLD = "Runtime", Role.CALL
    ANNOTATION = "user_annotation", Role.ANNOTATION
    FUNCTION = "python_function", Role.FUNCTION
    OVERHEAD = "overhead", Role.OVERHEAD
    # only counted; named here because every spelling that is not costs a call of _missing_ an event
    GPU_ANNOTATION = "gpu_user_annotation", Role.OTHER
    FLOW = "ac2g", Role.OTHER
    BACKWARD = "fwdbwd", Role.OTHER
    SYNCHRONISATION = "cuda_sync", Role.OTHER
    ASYNC = "async", Role.OTHER
    INSTANT = "cpu_instant_event", Role.OTHER
    TRACE = "Trace", Role.OTHER

    def __new__(cls, spelling: str, role: int) -> Category:
        """Make a member that decodes from ``spelling``."""
        member = object.__new__(cls)
        member._value_ = spelling
        member.role = int(role)
        return member

    @classmethod
    def of(cls, spelling: str) -> Category:
        """Return the member that an event of this category decodes to."""
        found = cls._value2member_map_.get(spelling)
        return found if isinstance(found, cls) else cls._missing_(spelling)

    @classmethod
    def _missing_(cls, value: object) -> Category:
        """Return the member of the same role: categories are compared without case; vendors prefix their calls."""
        lower = str(value).lower()
        known = next((member for member in cls if member._value_.lower() == lower), cls.OTHER)
        return cls.CUDA_RUNTIME if known is cls.OTHER and lower.endswith(("runtime", "driver")) else known


class Phase(Enum):
    """Whether an event is complete (``X``); of the others only those count that never came to an end."""

    COMPLETE = "X"
    BEGIN = "B"
    END = "E"
    FLOW_START = "s"
    FLOW_END = "f"
    META = "M"
    INSTANT = "i"
    OTHER = "other"
    MISSING = ""

    @classmethod
    def _missing_(cls, value: object) -> Phase:
        return cls.OTHER


UNNAMED = "(unnamed)"
"""Name of an event that has none, or one that is no text."""


class Arguments(msgspec.Struct, gc=False):
    """The arguments of an event that a ``Trace`` keeps."""

    correlation: int = NONE
    external: int = msgspec.field(default=NONE, name="External id")
    external_old: int = msgspec.field(default=NONE, name="external id")
    device: int = NONE
    stream: int = NONE
    bytes: int | str = 0  # text on AMD


Stamp = TypeVar("Stamp")


class Event(msgspec.Struct, Generic[Stamp], gc=False):
    """An event; ``Stamp`` is what its times decode to: numbers where they hold them exactly, else their text."""

    ph: Phase = Phase.MISSING
    cat: Category = Category.OTHER
    name: str = UNNAMED
    pid: int | str | None = None
    tid: int | str | None = None
    ts: Stamp = None  # type: ignore[assignment]  # what is missing is found where stamps become columns
    dur: Stamp = 0  # type: ignore[assignment]
    args: Arguments | None = None
