"""Completing the designs of measurements: what a file does not say, the user has to.

Precision, tensor-parallel degree, concurrency and lengths decide a latency and have no default here. The rest takes the
defaults of ``estimate``, and the result says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from codesign.costmodels.design import generates
from codesign.costmodels.measurements.measurement import Design, Measurement
from codesign.errors import DataError, UsageError, nearest, printable
from codesign.models import Model

ASKED = tuple(field.name for field in msgspec.structs.fields(Design) if field.name != "layers")
DEFAULTS: dict[str, Any] = {"pp": 1, "ep": 1, "nodes": 1, "execution": "auto", "mode": "static"}
SAME_USERS = ({"static", "served"}, {"continuous", "in-step"})
"""Modes that a file of benchmarks does not tell apart: of one user, of several."""

LONGEST = 40
"""Characters of a name of a precision or mode."""

MEANT = {
    "dtype": "the precision of the weights",
    "tp": "the tensor-parallel degree",
    "batch": "the number of concurrent requests",
    "prompt": "the number of prompt tokens",
    "generate": "the number of output tokens",
}


def completed(
    measurements: Sequence[Measurement], model: Model, options: Mapping[str, Any]
) -> tuple[tuple[Measurement, ...], tuple[str, ...]]:
    """Return the measurements with every design complete, and the defaults that were taken.

    Args:
        measurements: as read.
        model: what they are of.
        options: arguments of ``estimate`` that hold for all of them; None where not given.

    Raises:
        UsageError: an option is unknown, contradicts a file, or is missing: the message names the flag to give.
        DataError: a name in a file that is none.
    """
    for name in options:
        if name not in ASKED:
            raise UsageError(f"unknown option {name!r}", nearest(name, ASKED))
    given = {name: value for name, value in options.items() if value is not None}
    done = tuple(msgspec.structs.replace(m, design=_design(m, model, given)) for m in measurements)
    taken = [
        f"{name} {value}"
        for name, value in DEFAULTS.items()
        if name not in given and any(getattr(m.design, name) is None for m in measurements)
    ]
    return done, (f"not stated, so taken as the defaults: {', '.join(taken)}",) if taken else ()


def _design(m: Measurement, model: Model, given: Mapping[str, Any]) -> Design:
    changes: dict[str, Any] = {}
    for name in ASKED:
        stated = getattr(m.design, name)
        if isinstance(stated, str) and not (stated.isprintable() and len(stated) <= LONGEST):
            raise DataError(f"{m.where}: {name} is {printable(stated, LONGEST)}", "expected a short name such as bf16")
        if name in m.guessed and {stated, given.get(name)} in SAME_USERS:
            stated = None  # a file tells how many users there were, whoever measured how they were served
        if name in given and stated is not None and stated != given[name]:
            raise UsageError(f"{m.where} states {name} {stated}, --{name} says {given[name]}", "leave the option out")
        value = given.get(name, stated)
        value = DEFAULTS.get(name) if value is None else value
        if value is None and name in _needed(model):
            raise UsageError(f"{m.where} does not state {name}, {MEANT[name]}", _hint(m, name))
        changes[name] = value
    if "mode" not in given and m.design.chunk is None and changes["mode"] in ("static", "served"):
        changes["chunk"] = None  # the option is of those files that measured full slots
    return msgspec.structs.replace(m.design, **changes)


def _needed(model: Model) -> tuple[str, ...]:
    """Return the parts of a design that have no default."""
    if generates(model):
        return ("dtype", "tp", "batch", "prompt", "generate")
    return ("dtype", "tp", "batch", *(("prompt",) if "prompt" in getattr(model, "sizes", {}) else ()))


def _hint(m: Measurement, name: str) -> str:
    if name == "generate" and m.metric == "latency":
        return "give --generate; a forward pass of a language model is profiled as --phase prefill or decode"
    return f"give --{name}"
