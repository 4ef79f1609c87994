"""Serving in closed form: static batches and the steady state of continuous batching.

Static: a batch is prefilled together, then decoded together. Served is the same behind a server, whose handling ``h``
comes before the first token.

Continuous: ``B`` slots stay full and each iteration decodes one token in every slot, so ``lambda = B / G`` requests of
``G`` tokens finish in an iteration and as many prompts of ``P`` tokens have to be prefilled in it; a budget of ``C``
tokens an iteration allows no more than ``C / (P + G)``. An iteration that prefills ``k = max(1, lambda)`` prompts takes
``t_decode + a`` with ``a = t_prefill(k) - saved``: the rows of prompts and decodes share the weights and the launches
(``mixed_iteration``). One prompt adds ``e = a / k``, so

    TPOT = t_decode + lambda e
    TTFT = t_decode / 2 + W + n t_decode + a + h

``t_decode / 2`` is what is left of the iteration that runs on arrival, ``n = ceil(P / (C - B))`` the iterations that a
prompt spreads over (1 without a budget), ``h`` the handling outside of iterations and ``W`` the wait for prompts that
arrived before. Prompts are a server with service time ``e`` that is busy for a share ``rho = lambda e / TPOT``, so
``W = rho e / (2 (1 - rho))`` (M/D/1; DistServe, arXiv 2401.09670, section 3).

Requests of one length whose clients answer at once stay in step: ``k`` prompts that share an iteration finish in one
again. Only the prompts of the others come in between, and where there are none a prompt waits for no decodes. Where
prompts are more than the budget has room for, iterations are full and slots stand idle for ``i`` of them:

    TPOT = t_decode + min((B - k) / G, C / (P + G)) a / k
    TTFT = (1 - k / B) (t_decode / 2 + n t_decode) + a + h + i TPOT, i = max(B (P + G) / C - G, 0)

Load generators hold a number of requests in flight and send all of them at once at first. In that burst a prompt waits
for those before it: ``e (B + min(B, m)) / 2`` on average, with ``m = (C - B) / P`` prompts an iteration. When each
client sends ``R`` requests, ``1 / R`` of the first tokens are the burst's. Requests in flight beyond the slots wait for
one to be free: their number over the rate (Little's law).

An arrival rate adds the M/D/1 wait ``rho D / (2 (1 - rho))`` with ``D`` the time per request at capacity; utilisation
at or above one is infeasible, never extrapolated.
"""

from __future__ import annotations

import msgspec
import numpy as np

from codesign.costmodels.factors import COUNT, F
from codesign.costmodels.latency import PhaseCost
from codesign.quantity import Array, Column

HANDLING = 0.020
"""Seconds between a client and the first iteration and back: transport, tokens from text and back, queueing in the
server (assumed; serving measurements at few requests in flight exceed their iterations by 10 to 40 ms)."""

EXPERTS_HANDLING = 0.050
"""Seconds more of mixtures of experts, whatever the prompt and the batch, that further tokens do not see: first tokens
of three engines exceed their iterations by 40 to 70 ms more than those of dense models (chosen on half of the serving
measurements, set aside for it; what takes them is not known)."""

FIRST_TOKEN_SPREAD = 0.35
"""Standard deviation of the logarithm of first tokens of full slots beyond what their work takes: schedulers and queues
differ. With it 91 % of them are inside the 90 % interval (half of the serving measurements, set aside for it)."""

GATHER_ITERATIONS = 50.0
"""Iterations after which ranks no longer wait for each other to have a prompt: TensorRT-LLM's default."""


class Service(msgspec.Struct, frozen=True, eq=False):
    """Latencies and rate of one replica over points."""

    ttft: Column
    tpot: Column
    latency: Column
    requests_per_second: Column
    utilisation: Array | None


class Turn(msgspec.Struct, frozen=True, eq=False):
    """Which prompts share the iterations of a continuous batch, per replica; shape (N,).

    ``due`` prompts an iteration on average. An iteration that prefills any does ``ranks`` of them side by side, one on
    each rank of data-parallel attention, and ``rows`` of them after each other on each rank; a prompt waits ``gather``
    iterations for the ranks to have one each. It spreads over ``iterations``, and ``burst`` prompts (or a part of one)
    fit an iteration.
    """

    due: Array
    ranks: Array
    rows: Array
    gather: Array
    iterations: Array
    burst: Array

    @property
    def together(self) -> Array:
        """Return the prompts of an iteration that prefills any."""
        return self.ranks * self.rows


class InStep(msgspec.Struct, frozen=True, eq=False):
    """Which requests of equal length stay in step, per replica; shape (N,).

    ``together`` prompts share the iteration that prefills them (or the ``iterations`` that one of them takes), and an
    iteration prefills ``others`` of other requests on average. For ``idle`` iterations a client waits because prompts
    are more than the budget has room for.
    """

    together: Array
    others: Array
    iterations: Array
    idle: Array


def static_service(prefill: Column, step: Column, batch: Array, generate: Array) -> Service:
    """Return a replica that serves one batch after the other."""
    latency = prefill + step * np.maximum(generate - 1.0, 0.0)
    return Service(prefill, step, latency, latency.reciprocal() * batch, None)


def prompts_in_turn(
    batch: Array, prompt: Array, generate: Array, budget: int | None, groups: int, wait: Array | float = 0.0
) -> Turn:
    """Return the steady state of prompts beside ``batch`` full slots.

    Every request brings ``prompt + generate`` tokens and an iteration takes ``budget`` of them, in each of the
    ``groups`` ranks of data-parallel attention. As all ranks wait for the one that prefills, engines gather a prompt
    for each before any of them starts: half the time in which as many become due, at most ``GATHER_ITERATIONS``. A
    scheduler may let prompts ``wait`` some iterations in any case, as many as fit an iteration then share it. Without a
    budget whole prompts go one at a time; one that leaves no room beside the decodes is the caller's to refuse.
    """
    due = batch / generate
    iterations = burst = np.ones_like(due)
    if budget is not None:
        due = np.minimum(due, groups * budget / (prompt + generate))
        left = np.maximum(budget - batch / groups, 1.0)
        iterations, burst = np.ceil(prompt / left), left / prompt
    ranks = np.minimum(float(groups), batch)
    gather = np.maximum(np.minimum((ranks - 1.0) / (2.0 * due), GATHER_ITERATIONS), wait)
    shared = np.minimum(due / groups * wait, burst) if budget is not None else due * 0.0
    return Turn(due, ranks, np.maximum(np.maximum(due / groups, shared), 1.0), gather, iterations, burst * groups)


def prompts_in_step(batch: Array, prompt: Array, generate: Array, budget: int | None, groups: int) -> InStep:
    """Return the steady state of requests that stay in step: an iteration prefills as many as its budget has room for.

    Without a budget all go at once.
    """
    together, iterations = batch, np.ones_like(batch)
    if budget is None:
        return InStep(together, batch * 0.0, iterations, batch * 0.0)
    left = np.maximum(budget - batch / groups, 1.0)
    iterations = np.ceil(prompt / left)
    together = np.minimum(np.maximum(np.floor(left / np.maximum(prompt, 1.0)), 1.0) * groups, batch)
    most = groups * budget / (prompt + generate)
    others = np.minimum((batch - together) / np.maximum(generate, 1.0), most)
    return InStep(together, others, iterations, np.maximum(batch / most - generate, 0.0))


def handling(prefill: PhaseCost, batch: Array) -> Column:
    """Return what a server takes around the iterations of each request."""
    experts = any(group.family == "moe" for group in prefill.groups)
    return Column.of_factor(np.full_like(batch, HANDLING + EXPERTS_HANDLING * experts), F.HOST, COUNT)


def in_step_service(
    added: Column, turn: InStep, step: Column, around: Column, batch: Array, generate: Array
) -> Service:
    """Return a replica whose requests stay in step.

    ``added`` is the time that ``turn.together`` prompts add, ``around`` what the server takes before the next.
    """
    tpot = step + added * (turn.others / turn.together)
    waiting = 1.0 - turn.together / batch
    ttft = around + step * (waiting * (0.5 + turn.iterations)) + added + tpot * turn.idle
    latency = ttft + tpot * np.maximum(generate - 1.0, 0.0)
    return Service(ttft, tpot, latency, latency.reciprocal() * batch, None)


def continuous_service(added: Column, turn: Turn, step: Column, batch: Array, generate: Array) -> Service:
    """Return the steady state of a replica whose ``batch`` slots are always full.

    ``added`` is the time that ``turn.together`` prompts add to an iteration of decodes, ``step`` the mean decode step
    of the full batch.
    """
    each = added * (1.0 / turn.together)
    tpot = step + each * turn.due
    busy = np.minimum(turn.due * each.value / tpot.value, 1.0 - 1e-9)
    wait = each * (busy / (2.0 * (1.0 - busy)))
    ttft = step * (0.5 + turn.iterations) + added + wait + tpot * turn.gather
    latency = ttft + tpot * np.maximum(generate - 1.0, 0.0)
    # slots that the budget keeps from decoding hold prompts in line: Little's law on the slots
    idle = np.maximum(batch / turn.due - generate, 0.0)
    return later(Service(ttft, tpot, latency, tpot.reciprocal() * turn.due, None), tpot * idle)


def with_burst(service: Service, added: Column, turn: Turn, step: Column, batch: Array, rounds: Array) -> Service:
    """Return the mean over ``rounds`` requests of each client, the first of which all clients send at once."""
    ahead = (batch + np.clip(turn.burst, 1.0, batch)) / 2.0
    turns = np.maximum(ahead / turn.burst, 1.0)
    first = added * (ahead / turn.together) + step * turns
    return later(service, (first + service.ttft * -1.0) * (1.0 / rounds))


def as_scheduled(service: Service) -> Service:
    """Return ``service`` as sure of its first token as schedulers let it be."""
    ttft = service.ttft
    own = np.square(FIRST_TOKEN_SPREAD * ttft.value)
    return later(service, Column(np.zeros_like(ttft.value), np.zeros_like(ttft.slopes), own))


def in_flight(service: Service, requests: Array) -> Service:
    """Return ``service`` with no more than ``requests`` in flight: its rate is their number over the latency at most.

    Slots that are always full have others waiting to fill them; a closed loop of as many requests has not.
    """
    most = service.latency.reciprocal() * requests
    above = service.requests_per_second.value > most.value
    rate = service.requests_per_second * np.where(above, 0.0, 1.0) + most * np.where(above, 1.0, 0.0)
    return msgspec.structs.replace(service, requests_per_second=rate)


def with_waiting(service: Service, waiting: Array) -> Service:
    """Add the wait of ``waiting`` requests in flight that have no slot: their number over the rate (Little's law)."""
    return later(service, service.requests_per_second.reciprocal() * waiting)


def with_arrivals(service: Service, rate: Array | float) -> Service:
    """Add the M/D/1 wait of Poisson arrivals at ``rate`` requests/s per replica to the first token."""
    time_per_request = service.requests_per_second.reciprocal()
    utilisation = rate * time_per_request.value
    inside = np.minimum(utilisation, 1.0 - 1e-9)
    waited = later(service, time_per_request * (inside / (2.0 * (1.0 - inside))))
    return msgspec.structs.replace(waited, utilisation=utilisation)


def later(service: Service, wait: Column) -> Service:
    """Return ``service`` with its first token, and so the whole request, later by ``wait``."""
    return msgspec.structs.replace(service, ttft=service.ttft + wait, latency=service.latency + wait)
