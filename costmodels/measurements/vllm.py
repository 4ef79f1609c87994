"""Results of ``vllm bench serve`` (formerly ``benchmark_serving.py``), saved as JSON.

Keys are those of its ``--save-result``: ``completed``, ``total_input_tokens``, ``total_output_tokens``,
``max_concurrency``, ``request_rate``, ``{mean,median,std,p99}_{ttft,tpot,e2el}_ms``, ``output_throughput``. What
``--metadata`` adds (``tp=4 dtype=fp8``) is read too. Other tools that write the same keys are read alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from codesign.costmodels.measurements.fields import number, positive, whole
from codesign.costmodels.measurements.load import Load, all_at_once, arrivals, closed_loop
from codesign.costmodels.measurements.measurement import UNKNOWN_NOISE, Design, Measurement, Source, noise_of_mean
from codesign.errors import DataError

KIND = "vLLM serving benchmark"
TIMES = {"ttft": "ttft", "tpot": "tpot", "request_latency": "e2el"}
"""Metric of ``estimate`` -> its name in the file."""

DEGREES = (("tp", "tensor_parallel_size"), ("pp", "pipeline_parallel_size"), ("nodes",))
"""Spellings of the tensor- and pipeline-parallel degree and the nodes in what ``--metadata`` added."""

FAILED_SHARE = 0.05
"""Above this share of failed requests the result is said to be doubtful."""

P99 = 2.3263478740408408
"""Standard deviations between median and 99 % quantile of a normal distribution."""


def recognises(record: Mapping[str, Any]) -> bool:
    """Return whether ``record`` has the keys of such a result."""
    times = any(f"{kind}_{name}_ms" in record for kind in ("median", "mean") for name in TIMES.values())
    return "completed" in record and times


def read(record: Mapping[str, Any], where: str) -> Source:
    """Return the measurements of one result.

    Raises:
        DataError: nothing completed, impossible figures, or speculative decoding.
    """
    completed = number(record, "completed", where)
    if not completed:
        raise DataError(f"{where}: completed is {completed or 0:g}", "no request succeeded: measure again")
    if record.get("spec_decode_acceptance_rate") is not None:
        raise DataError(f"{where}: measured with speculative decoding", "measure without it: a step makes one token")
    prompt, generate = (_mean_length(record, name, completed, where) for name in ("input", "output"))
    load = _load(record, completed, generate, where)
    tp, pp, nodes = (_degree(record, keys, where) for keys in DEGREES)
    design = Design(
        dtype=_text(record, "dtype"), tp=tp, pp=pp, nodes=nodes, mode=load.mode, batch=load.batch, prompt=prompt,
        generate=generate,
    )  # fmt: skip
    model = _text(record, "model_id") or _text(record, "model") or ""
    found = {name: _time(record, key, completed, where) for name, key in TIMES.items()}
    rate = positive(record, "output_throughput", where)
    found["throughput"] = None if rate is None else (rate, max(UNKNOWN_NOISE, (load.batch or 1.0) / completed))
    notes = [f"{where}: {load.why}"] if load.why and any(found[m] for m in load.disturbed) else []
    failed = number(record, "failed", where) or 0.0
    if failed > FAILED_SHARE * (failed + completed):
        notes.append(f"{where}: {failed:g} of {failed + completed:g} requests failed")
    kept = needed({name: value for name, value in found.items() if value and name not in load.disturbed})
    measurements = tuple(
        Measurement(where, name, *kept[name], int(completed), design, model, guessed=("mode",)) for name in kept
    )
    return Source(where, KIND, measurements, tuple(notes))


def needed(found: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Return what tells something: whole requests and throughput follow where both token latencies are known."""
    if {"ttft", "tpot"} <= found.keys():
        return {name: found[name] for name in ("ttft", "tpot")}
    return found


def _mean_length(record: Mapping[str, Any], name: str, completed: float, where: str) -> float | None:
    total = positive(record, f"total_{name}_tokens", where)
    if total is None:
        return positive(record, f"random_{name}_len", where)
    return total / completed


def _time(record: Mapping[str, Any], name: str, completed: float, where: str) -> tuple[float, float] | None:
    """Return (seconds, noise): the median where there is one."""
    for kind in ("median", "mean"):
        value = number(record, f"{kind}_{name}_ms", where)
        if value:  # vLLM writes 0 where it has none: a single output token has no further ones
            spread = number(record, f"std_{name}_ms", where)
            if spread is None and (high := number(record, f"p99_{name}_ms", where)):
                spread = abs(high - value) / P99
            noise = UNKNOWN_NOISE if spread is None else noise_of_mean(spread, value, int(completed))
            return value * 1e-3, noise
    return None


def _load(record: Mapping[str, Any], completed: float, generate: float | None, where: str) -> Load:
    concurrency = whole(record, "max_concurrency", where)
    rate = record.get("request_rate")
    offered = None if rate is None or str(rate).lower().startswith("inf") else positive(record, "request_rate", where)
    if offered is not None and math.isfinite(offered):
        served = positive(record, "request_throughput", where) or offered
        return arrivals(served, _residence(record, completed, generate, where))
    return all_at_once() if concurrency is None else closed_loop(concurrency, completed)


def _residence(record: Mapping[str, Any], completed: float, generate: float | None, where: str) -> float | None:
    mean = number(record, "mean_e2el_ms", where)
    if mean:
        return mean * 1e-3
    first, further = (_time(record, name, completed, where) for name in ("ttft", "tpot"))
    if first is None or further is None or generate is None:
        return None
    return first[0] + (generate - 1.0) * further[0]


def _degree(record: Mapping[str, Any], keys: tuple[str, ...], where: str) -> int | None:
    return next((value for key in keys if (value := whole(record, key, where)) is not None), None)


def _text(record: Mapping[str, Any], name: str) -> str | None:
    found = record.get(name)
    return found if isinstance(found, str) and found else None
