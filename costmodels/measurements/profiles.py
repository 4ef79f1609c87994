"""``profile.json`` of ``codesign profile MODEL``: passes timed without a profiler, one or several batch sizes.

A prefill pass is the time to first token of a batch, a decode step the time per further token at that context, a
forward pass the latency of a model that serves no tokens. All ran on one device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from codesign.costmodels.measurements.measurement import LEAST_NOISE, Design, Measurement, Source
from codesign.errors import DataError, printable

FILE = "profile.json"
KIND = "codesign profile"
SCHEMA_VERSION = 1
INTERVAL_WIDTH = 3.29
"""Width of a central 90 % normal interval, in standard deviations."""

METRIC = {"prefill": "ttft", "decode": "tpot", "forward": "latency"}


class Latency(msgspec.Struct, frozen=True):
    """Seconds of one pass: median, 5 % and 95 % quantile of its repeats."""

    median: float
    low: float
    high: float
    repeats: int
    busy: bool = False


class Batch(msgspec.Struct, frozen=True):
    """One batch size."""

    batch: int
    latency: Latency


class Profile(msgspec.Struct, frozen=True):
    """The part of a profile that a calibration reads."""

    schema_version: int
    model: str
    source: str
    device: str
    phase: str
    dtype: str
    layers: int | None
    prompt: int | None
    context: int | None
    batches: tuple[Batch, ...]
    execution: str = "eager"
    device_name: str = ""


def recognises(record: Mapping[str, Any]) -> bool:
    """Return whether ``record`` is a profile."""
    return {"schema_version", "phase", "batches", "device"} <= record.keys()


def read(record: Mapping[str, Any], where: str) -> Source:
    """Return the measurements of one profile.

    Raises:
        DataError: another schema, or a phase that estimates do not have.
    """
    if record["schema_version"] != SCHEMA_VERSION:
        raise DataError(
            f"{where}: schema_version is {printable(repr(record['schema_version']), 20)}, expected {SCHEMA_VERSION}",
            "a newer codesign wrote it: update",
        )
    try:
        profile = msgspec.convert(record, Profile)
    except msgspec.ValidationError as error:
        raise DataError(f"{where}: {printable(str(error), 200)}", "restore the file or profile again") from None
    if profile.phase not in METRIC:
        raise DataError(f"{where}: phase is {printable(repr(profile.phase), 20)}", f"expected {', '.join(METRIC)}")
    if not profile.batches:
        raise DataError(f"{where}: holds no batch", "profile again")
    busy = [str(b.batch) for b in profile.batches if b.latency.busy]
    notes = (f"{where}: batch {', '.join(busy)} was disturbed by other work",) if busy else ()
    measurements = tuple(_measurement(profile, batch, where) for batch in profile.batches)
    return Source(where, KIND, measurements, notes)


def _measurement(profile: Profile, batch: Batch, where: str) -> Measurement:
    latency = batch.latency
    generates = profile.phase != "forward"
    design = Design(
        dtype=profile.dtype, tp=1, pp=1, ep=1, nodes=1, execution=profile.execution, mode="static", batch=batch.batch,
        # one further token: a single step whose context is the prompt
        prompt=profile.context if profile.phase == "decode" else profile.prompt, generate=2 if generates else None,
        layers=profile.layers,
    )  # fmt: skip
    here = f"{where} batch {batch.batch}"
    if not latency.median > 0.0:
        raise DataError(f"{here}: latency is {latency.median:g} s", "expected a positive number")
    spread = (latency.high - latency.low) / latency.median / INTERVAL_WIDTH
    return Measurement(
        here, METRIC[profile.phase], latency.median, max(LEAST_NOISE, spread), latency.repeats, design,
        model=profile.source or profile.model, target="cpu" if profile.device == "cpu" else profile.device_name,
    )  # fmt: skip
