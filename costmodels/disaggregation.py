"""Prefill and decode in separate pools of workers (DistServe, arXiv 2401.09670; Splitwise, arXiv 2311.18677).

A worker of the decode pool only ever decodes, so the time between tokens is its step at the batch it holds. A prompt is
prefilled by one of ``w`` workers of the other pool, each of which takes ``S`` for the ``ep`` prompts that it does side
by side: one prompt every ``D = S / (w ep)``. Its cache then moves over the link between the pools.

With ``N`` requests in flight, a rate of ``X`` and ``Z = transfer + (G - 1) TPOT`` spent in the decode pool (Little's
law on the whole and on each pool),

    X = min(N / (TTFT + Z), 1 / D)           decode batch = X Z / workers
    TTFT = max(S + W, N D - Z)               W = rho D / (2 (1 - rho)), rho = X D

The second argument is the line before a prefill pool that cannot keep up. With arrivals at a rate ``R`` instead,
``X = R`` and the wait is the M/D/1 of the first (DistServe, section 3).

Units: seconds, bytes, requests/s. Arrays broadcast over design points.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.deployment import METRICS, Priced, price
from codesign.costmodels.estimate import Estimate
from codesign.costmodels.factors import COUNT, F
from codesign.costmodels.serving import handling
from codesign.costmodels.structure import Load, Structure
from codesign.errors import UsageError
from codesign.models import Model
from codesign.quantity import Array, Column
from codesign.targets import Target

SATURATED = 1.0 - 1e-9
"""Utilisation at which the wait of a queue stops growing."""

STEPS = 3
"""Passes between the rate and the batch of the decode pool; the batch changes by less than 2 % after the second."""


class Pool(msgspec.Struct, frozen=True):
    """Workers that share one structure: how each is sharded, and how many there are."""

    structure: Structure
    workers: int = 1

    @property
    def devices(self) -> int:
        """Return the devices of the pool."""
        return self.structure.devices * self.workers


def price_pools(model: Model, target: Target, prefill: Pool, decode: Pool, load: Load) -> Estimate:
    """Price serving by two pools on one kind of target.

    Args:
        model: A language model.
        target: The device of both pools.
        prefill: The workers that prefill.
        decode: The workers that decode.
        load: ``prompt`` and ``generate``, and either ``concurrency`` (requests in flight of the whole system, with
            ``rounds`` as for one pool) or ``rate`` (requests/s that arrive at the whole system).

    Raises:
        UsageError: neither or both of concurrency and rate are given, or the target lacks a dtype or link.
    """
    if (load.concurrency is None) == (load.rate is None):
        raise UsageError("pools take one of concurrency and rate", "give the requests in flight, or their arrival rate")
    if load.gather is not None:
        raise UsageError("gather is of engines that do both", "pools prefill without decodes beside: leave it out")
    closed = load.rate is None
    asked = np.atleast_1d(np.asarray(load.concurrency if closed else load.rate, dtype=np.float64))
    prompt, generate, flow = (
        np.array(a, dtype=np.float64) for a in np.broadcast_arrays(load.prompt, load.generate, asked)
    )
    if not np.all(flow > 0):
        raise UsageError(f"{'concurrency' if closed else 'rate'} is {float(np.min(flow)):g}", "expected above 0")
    side_by_side = float(prefill.structure.ep)
    passed = price(model, target, _static(prefill), Load(np.full_like(prompt, side_by_side), prompt, 2.0))
    once = passed.estimate.columns["ttft"]
    each = once * (1.0 / (side_by_side * prefill.workers))
    moved = _transfer(target, passed.memory["kv"] * (prompt / (prompt + 1.0)))
    decoded, rate = _balanced(model, target, decode, closed, once, each, moved, (prompt, generate, flow))
    tpot = decoded.estimate.columns["tpot"]
    stay = moved + tpot * np.maximum(generate - 1.0, 0.0)
    busy = np.minimum(rate * each.value, SATURATED)
    ttft = once + each * (busy / (2.0 * (1.0 - busy)))
    if closed:
        ttft = _later_of(once + each * np.minimum(busy / (2.0 * (1.0 - busy)), flow / 2.0), each * flow + stay * -1.0)
    if load.rounds is not None:
        share = 1.0 / np.asarray(load.rounds, dtype=np.float64)
        ttft = (once + each * ((flow - 1.0) / 2.0)) * share + ttft * (1.0 - share)
    ttft = ttft + handling(passed.phases[0], prompt)
    saturated = np.zeros(flow.shape, dtype=bool) if closed else flow * each.value >= 1.0
    return _estimate(passed, decoded, ttft, stay, rate, generate, prefill.devices + decode.devices, saturated)


def _static(pool: Pool) -> Structure:
    return msgspec.structs.replace(pool.structure, mode="static", chunk=None)


def _balanced(
    model: Model, target: Target, decode: Pool, closed: bool, once: Column, each: Column, moved: Column,
    lengths_and_flow: tuple[Array, Array, Array],
) -> tuple[Priced, Array]:  # fmt: skip
    """Return the decode pool at its batch, and the requests/s: each decides the other, so a few steps."""
    prompt, generate, flow = lengths_and_flow
    least = float(decode.structure.ep)
    rate = np.minimum(flow, 1.0 / each.value)
    batch = np.maximum(flow / decode.workers, least) if closed else np.full_like(flow, least)
    for _ in range(STEPS):
        decoded = price(model, target, _static(decode), Load(np.ceil(batch - 1e-9), prompt, generate))
        stay = moved.value + decoded.estimate.columns["tpot"].value * np.maximum(generate - 1.0, 0.0)
        if closed:
            rate = np.minimum(flow / (once.value + stay), 1.0 / each.value)
        batch = np.maximum(rate * stay / decode.workers, least)
    return decoded, rate


def _transfer(target: Target, size: Array) -> Column:
    """Return the time to send ``size`` bytes of cache from every device of a prefill worker to the other pool."""
    line = target.link("network") or target.link("node")
    if line is None:
        raise UsageError(f"target {target.id} has no link between devices", "choose one with a node or network link")
    return Column.of_factor(size / line.bandwidth.value + line.latency.value, F.LINK, COUNT)


def _later_of(one: Column, other: Column) -> Column:
    """Return the larger of two times, with the slopes of the one that is."""
    first = one.value >= other.value
    return Column(
        np.where(first, one.value, other.value),
        np.where(first, one.slopes_for(first.ndim), other.slopes_for(first.ndim)),
        np.where(first, one.variance, other.variance),
    )


def _estimate(
    passed: Priced, decoded: Priced, ttft: Column, stay: Column, rate: Array, generate: Array, devices: int,
    saturated: Any,
) -> Estimate:  # fmt: skip
    """Return the metrics of both pools, and whether both hold what they need."""
    tpot = decoded.estimate.columns["tpot"]
    factors = decoded.machine.factors
    tokens = Column.exact(rate * generate, len(factors))
    columns = {
        "ttft": ttft,
        "tpot": tpot,
        "request_latency": ttft + stay,
        "throughput": tokens,
        "tokens_per_device": tokens * (1.0 / devices),
        "tokens_per_user": tpot.reciprocal(),
        "memory": decoded.estimate.columns["memory"],
        "devices": Column.exact(np.full_like(rate, float(devices)), len(factors)),
    }
    reasons = [
        "",
        *(f"{name} pool: {reason}" for name, p in (("prefill", passed), ("decode", decoded)) for reason in _why(p)),
        "rate: utilisation of the prefill pool at or above 1",
    ]
    code = np.where(saturated, len(reasons) - 1, 0)
    code = np.where(decoded.estimate.feasible, code, 2)
    code = np.where(passed.estimate.feasible, code, 1)
    metrics = {name: METRICS[name] for name in columns}
    return Estimate(metrics, columns, factors, code == 0, code, tuple(reasons), decoded.estimate.notes)


def _why(priced: Priced) -> tuple[str]:
    """Return why the first point of a pool that is refused cannot run, or that all can."""
    codes = priced.estimate.reason[~priced.estimate.feasible]
    return (priced.estimate.reasons[int(codes[0])] if codes.size else "fits",)
