"""Time inside the vendor's kernels, as oneDNN and MKL state it themselves (``ONEDNN_VERBOSE``, ``MKL_VERBOSE``).

Both libraries print a line for each call to stdout, so a child process runs the pass. It announces each operator in the
same stream: the calls that follow belong to that operator. Products of fp32 go to MKL where torch has it, those of bf16
to oneDNN. Printing is not in the time they state, which makes it usable beside the self time of operators from another
process:

    dispatch(operator) = self time - vendor time

MKL takes some microseconds more for a call it reports, so of many small calls the vendor time is an upper bound.

Printing may not be complete: a vendor that is silent is reported as not available, never as 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from codesign.profilers.split import Interval

PREFIX = "codesign_vendor,"
"""Begins the lines in which the child says what comes next: ``batch N``, ``pass N``, ``op NAME``, ``end``."""

_MKL = re.compile(r"MKL_VERBOSE (\w+)\(([^)]*)\) ([0-9.eE+-]+)(ns|us|ms|s) (?:.*\bTID:(\d{1,6})\b)?")
_UNITS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
_ONEDNN_NAMES = ("onednn_verbose", "dnnl_verbose")
_LEAST_FIELDS = 5
LONGEST_SHAPE = 120


class Call(NamedTuple):
    """One call into a vendor's library, ns, on the thread of that number in its parallel region."""

    library: str
    primitive: str
    implementation: str
    shape: str
    nanoseconds: float
    thread: int = 0


class VendorKernel(msgspec.Struct, frozen=True):
    """All calls of one primitive at one shape in one pass.

    Attributes:
        library: ``oneDNN`` or ``MKL``.
        primitive: As the library names it: ``matmul``, ``SGEMM``.
        implementation: As oneDNN names it; empty for MKL.
        shape: As the library prints it; empty where it prints addresses only.
        calls: Calls in a pass.
        nanoseconds: Time of all of them, ns; of calls side by side on several threads it is the sum.
    """

    library: str
    primitive: str
    implementation: str
    shape: str
    calls: int
    nanoseconds: float


class VendorOperator(msgspec.Struct, frozen=True):
    """An operator that calls a vendor's library, all its calls in one pass, ns.

    Attributes:
        name: Operator whose self time holds the calls.
        self_nanoseconds: Its self time, of the profiled passes.
        vendor: Time inside the library, of the child's pass.
        dispatch: Self time less vendor time; below 0 where what reporting adds to small calls exceeds it.
    """

    name: str
    self_nanoseconds: float
    vendor: float
    dispatch: float


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """Vendor time of one pass, ns; ``reason`` says why there is none, and is empty where there is.

    The pass is the one of median vendor time among those measured. Where an operator calls from several threads at
    once, ``nanoseconds`` and ``by_operator`` count the thread that was longest in the library, which is what passes.
    """

    reason: str = ""
    passes: int = 0
    nanoseconds: float | None = None
    kernels: tuple[VendorKernel, ...] = ()
    operators: tuple[VendorOperator, ...] = ()
    by_operator: dict[str, float] = {}


def parse_line(line: str) -> Call | None:
    """Return the call that a line of verbose output states; None for headers and lines of other origin."""
    if line.startswith(_ONEDNN_NAMES):
        return _onednn(line.strip().split(","))
    found = _MKL.match(line)
    if not found:
        return None
    name, arguments, amount, unit, thread = found.groups()
    time = _time(amount, _UNITS[unit])
    return None if time is None else Call("MKL", name, "", _sizes(arguments), time, int(thread or 0))


def _onednn(fields: list[str]) -> Call | None:
    """Return the call of ``name[,v1][,primitive],exec,engine,primitive,implementation,...,problem,ms``.

    What stands between differs by version, so it is read from both ends; executions of whole graphs repeat primitives.
    """
    if "exec" not in fields[:4] or "graph" in fields[:3]:
        return None
    rest = fields[fields.index("exec") + 1 :]
    time = _time(rest[-1], 1e6) if len(rest) >= _LEAST_FIELDS else None
    return None if time is None else Call("oneDNN", rest[1], rest[2], rest[-2][:LONGEST_SHAPE], time)


def _time(text: str, scale: float) -> float | None:
    try:
        value = float(text) * scale
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _sizes(arguments: str) -> str:
    """Return what precedes the first address: ``T,N,512,4,512`` of a product, nothing of a batch of them."""
    return arguments.partition(",0x")[0][:LONGEST_SHAPE] if not arguments.startswith("0x") else ""


class _Operator(NamedTuple):
    """Calls between two announcements."""

    name: str
    calls: list[Call]

    @property
    def nanoseconds(self) -> float:
        threads: dict[int, float] = {}
        for call in self.calls:
            threads[call.thread] = threads.get(call.thread, 0.0) + call.nanoseconds
        return max(threads.values(), default=0.0)


_Pass = list[_Operator]


def _total(one: _Pass) -> float:
    return sum(operator.nanoseconds for operator in one)


def parse_output(lines: Iterable[str]) -> dict[int, Vendor]:
    """Return batch -> vendor time, of the announced passes; lines that are neither announced nor known are skipped."""
    passes: dict[int, list[_Pass]] = {}
    batch: int | None = None
    current: _Pass | None = None
    for line in lines:
        if line.startswith(PREFIX):
            word, _, value = line[len(PREFIX) :].strip().partition(" ")
            if word == "batch" and value.isdecimal():
                batch, current = int(value), None
                passes[batch] = []
            elif word == "pass" and batch is not None:
                current = [_Operator("", [])]
                passes[batch].append(current)
            elif word == "op" and current is not None:
                current.append(_Operator(value, []))
            elif word == "end":
                current = None
        elif current is not None and (call := parse_line(line)):
            current[-1].calls.append(call)
    return {batch: _summed(found) for batch, found in passes.items()}


def _summed(passes: list[_Pass]) -> Vendor:
    if not any(operator.calls for one in passes for operator in one):
        return Vendor(reason="neither oneDNN nor MKL stated a call: this torch lacks them, or no operator uses them")
    chosen = [operator for operator in sorted(passes, key=_total)[len(passes) // 2] if operator.calls]
    kernels: dict[tuple[str, str, str, str], list[float]] = {}
    operators: dict[str, float] = {}
    for operator in chosen:
        operators[operator.name] = operators.get(operator.name, 0.0) + operator.nanoseconds
        for call in operator.calls:
            kernels.setdefault(call[:4], []).append(call.nanoseconds)
    rows = [VendorKernel(*key, len(times), sum(times)) for key, times in kernels.items()]
    rows.sort(key=lambda row: (-row.nanoseconds, row.library, row.primitive, row.shape))
    return Vendor(passes=len(passes), nanoseconds=_total(chosen), kernels=tuple(rows), by_operator=operators)


def beside_self_time(vendor: Vendor, iterations: int, operators: Sequence[Interval]) -> Vendor:
    """Return ``vendor`` with the self time of the operators that call it.

    Args:
        vendor: Of the child's pass.
        iterations: Profiled passes that ``operators`` are of.
        operators: Operator events of one thread, sorted by (start, -end).
    """
    if vendor.reason:
        return vendor
    inside, own = _inside(operators)
    vendor_times: dict[str, float] = {}
    for name, time in vendor.by_operator.items():
        # torch announces aten::convolution, and aten::mkldnn_convolution within it holds the time
        holder = max(inside[name], key=lambda n: (inside[name][n], n)) if name in inside else name
        vendor_times[holder] = vendor_times.get(holder, 0.0) + time
    rows = [
        VendorOperator(name, own[name] / iterations, time, own[name] / iterations - time)
        for name, time in vendor_times.items()
        if name in own
    ]
    rows.sort(key=lambda row: (-row.vendor, row.name))
    return msgspec.structs.replace(vendor, operators=tuple(rows))


def _inside(operators: Sequence[Interval]) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Return operator -> (operator within it, itself included -> self time, ns), and operator -> self time, ns."""
    inside: dict[str, dict[str, int]] = {}
    own: dict[str, int] = {}
    stack: list[Interval] = []
    for event in operators:
        while stack and event.start >= stack[-1].end:
            stack.pop()
        duration = event.end - event.start
        for name in {parent.name for parent in stack} | {event.name}:
            within = inside.setdefault(name, {})
            within[event.name] = within.get(event.name, 0) + duration
        for name in {parent.name for parent in stack}:
            inside[name][stack[-1].name] = inside[name].get(stack[-1].name, 0) - duration
        own[event.name] = own.get(event.name, 0) + duration
        if stack:
            own[stack[-1].name] -= duration
        stack.append(event)
    return inside, own
