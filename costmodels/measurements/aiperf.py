"""``profile_export_aiperf.json`` of AIPerf: one object a metric, each with its unit, and the input configuration.

The unit in the file is what counts. ``inter_token_latency`` is (request latency - time to first token) over the further
tokens, as ``tpot`` is. Concurrency and model stand at different places in different versions of its schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codesign.costmodels.measurements.fields import inside, number, positive
from codesign.costmodels.measurements.load import Load, all_at_once, arrivals, closed_loop
from codesign.costmodels.measurements.measurement import UNKNOWN_NOISE, Design, Measurement, Source, noise_of_mean
from codesign.costmodels.measurements.vllm import FAILED_SHARE, needed
from codesign.errors import DataError, printable

FILE = "profile_export_aiperf.json"
KIND = "AIPerf profile export"
TAGS = {
    "ttft": "time_to_first_token",
    "tpot": "inter_token_latency",
    "request_latency": "request_latency",
    "throughput": "output_token_throughput",
}
SECONDS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
RATES = {"tokens/sec": 1.0, "tokens/s": 1.0, "tokens/second": 1.0}


def recognises(record: Mapping[str, Any]) -> bool:
    """Return whether ``record`` is such an export."""
    return "input_config" in record and any(tag in _metrics(record) for tag in TAGS.values())


def read(record: Mapping[str, Any], where: str) -> Source:
    """Return the measurements of one export.

    Raises:
        DataError: nothing completed, an unknown unit, or impossible figures.
    """
    metrics = _metrics(record)
    completed = _plain(metrics, "request_count", where)
    if completed == 0.0:
        raise DataError(f"{where}: request_count is 0", "no request succeeded: measure again")
    completed = completed or number(metrics.get(TAGS["request_latency"]) or {}, "count", where) or 1.0
    prompt, generate = (_plain(metrics, f"{name}_sequence_length", where) for name in ("input", "output"))
    found = {name: _figure(metrics, name, completed, where) for name in TAGS}
    load = _load(record, completed, found["request_latency"], metrics, where)
    notes = [f"{where}: {load.why}"] if load.why and any(found[m] for m in load.disturbed) else []
    failed = _plain(metrics, "error_request_count", where) or 0.0
    if failed > FAILED_SHARE * (failed + completed):
        notes.append(f"{where}: {failed:g} of {failed + completed:g} requests failed")
    if record.get("was_cancelled") is True:
        notes.append(f"{where}: the benchmark was cancelled before its end")
    design = Design(mode=load.mode, batch=load.batch, prompt=prompt or None, generate=generate or None)
    model = _model(record)
    kept = needed({name: value for name, value in found.items() if value and name not in load.disturbed})
    measurements = tuple(
        Measurement(where, name, *kept[name], int(completed), design, model, guessed=("mode",)) for name in kept
    )
    return Source(where, KIND, measurements, tuple(notes))


def _metrics(record: Mapping[str, Any]) -> Mapping[str, Any]:
    records = record.get("records")
    return records if isinstance(records, Mapping) else record


def _plain(metrics: Mapping[str, Any], tag: str, where: str) -> float | None:
    block = metrics.get(tag)
    return number(block, "avg", f"{where}: {tag}") if isinstance(block, Mapping) else None


def _figure(metrics: Mapping[str, Any], name: str, completed: float, where: str) -> tuple[float, float] | None:
    """Return (SI value, noise) of a metric: its median where there is one."""
    tag = TAGS[name]
    block = metrics.get(tag)
    if not isinstance(block, Mapping):
        return None
    units = RATES if name == "throughput" else SECONDS
    unit = block.get("unit")
    if unit not in units:
        raise DataError(f"{where}: {tag}: unit is {printable(repr(unit), 40)}", f"expected {' or '.join(units)}")
    here = f"{where}: {tag}"
    value = positive(block, "p50", here) or positive(block, "avg", here)
    if value is None:
        raise DataError(f"{here}: neither p50 nor avg", "expected the summary of a finished benchmark")
    spread = number(block, "std", here)
    noise = UNKNOWN_NOISE if spread is None else noise_of_mean(spread, value, int(completed))
    return value * units[unit], noise


def _load(
    record: Mapping[str, Any],
    completed: float,
    request: tuple[float, float] | None,
    metrics: Mapping[str, Any],
    where: str,
) -> Load:
    settings = _settings(record)
    rate = positive(settings, "request_rate", where)
    if rate is not None:
        return arrivals(_plain(metrics, "request_throughput", where) or rate, request[0] if request else None)
    concurrency = positive(settings, "concurrency", where)
    return all_at_once() if concurrency is None else closed_loop(concurrency, completed)


def _settings(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return where concurrency and rate stand: ``loadgen`` of older files, the profiling phase of newer ones."""
    older = inside(record, "input_config", "loadgen")
    if isinstance(older, Mapping):
        return older
    phases = inside(record, "input_config", "phases")
    if isinstance(phases, Mapping):
        phases = [{"name": name, **phase} for name, phase in phases.items() if isinstance(phase, Mapping)]
    named = [p for p in phases or () if isinstance(p, Mapping)] if isinstance(phases, list) else []
    return next((p for p in named if p.get("name") == "profiling"), named[0] if len(named) == 1 else {})


def _model(record: Mapping[str, Any]) -> str:
    older = inside(record, "input_config", "endpoint", "model_names")
    newer = inside(record, "input_config", "models", "items")
    for names in (older, newer):
        if isinstance(names, list) and names:
            first = names[0].get("name") if isinstance(names[0], Mapping) else names[0]
            return first if isinstance(first, str) else ""
    return ""
