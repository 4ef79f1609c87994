"""Serving in closed form: static batches and the steady state of continuous batching.

Static: a batch is prefilled together, then decoded together. Continuous: ``batch`` slots stay full; each
decode iteration finishes ``batch / generate`` requests and therefore prefills as many, so

    TPOT = t_decode(batch) + batch / generate * t_prefill(1)
    TTFT = t_prefill(1) + t_decode / 2                      whole prompts at a time
    TTFT = t_prefill(1) + n * t_decode, n = ceil(prompt / (budget - batch))     chunks within a token budget

An arrival rate adds the M/D/1 wait ``rho * D / (2 (1 - rho))`` with D the time per request at capacity
(DistServe, arXiv 2401.09670, section 3); utilisation at or above one is infeasible, never extrapolated.
"""

from __future__ import annotations

import msgspec
import numpy as np

from codesign.quantity import Array, Column


class Service(msgspec.Struct, frozen=True, eq=False):
    """Latencies and rate of one replica over points."""

    ttft: Column
    tpot: Column
    latency: Column
    requests_per_second: Column
    utilisation: Array | None


def static_service(prefill: Column, step: Column, batch: Array, generate: Array) -> Service:
    """Return a replica that serves one batch after the other."""
    latency = prefill + step * np.maximum(generate - 1.0, 0.0)
    return Service(prefill, step, latency, latency.reciprocal() * batch, None)


def continuous_service(
    prefill_one: Column, step: Column, batch: Array, prompt: Array, generate: Array, budget: int | None
) -> Service:
    """Return the steady state of a replica whose ``batch`` slots are always full.

    ``prefill_one`` is the prefill of a single prompt, ``step`` the mean decode step of the full batch. A
    budget that leaves no room for prompt tokens beside the decodes is the caller's to refuse.
    """
    tpot = step + prefill_one * (batch / generate)
    if budget is None:
        ttft = prefill_one + step * 0.5
    else:
        ttft = prefill_one + step * np.ceil(prompt / np.maximum(budget - batch, 1.0))
    latency = ttft + tpot * np.maximum(generate - 1.0, 0.0)
    return Service(ttft, tpot, latency, (tpot * generate).reciprocal() * batch, None)


def with_arrivals(service: Service, rate: Array | float) -> Service:
    """Add the M/D/1 wait of Poisson arrivals at ``rate`` requests/s per replica to the first token."""
    time_per_request = service.requests_per_second.reciprocal()
    utilisation = rate * time_per_request.value
    inside = np.minimum(utilisation, 1.0 - 1e-9)
    wait = time_per_request * (inside / (2.0 * (1.0 - inside)))
    return Service(service.ttft + wait, service.tpot, service.latency + wait, service.requests_per_second, utilisation)
