"""What load a serving benchmark put on the server, in terms of the model of serving.

A closed loop (so many users, each waiting for its answer) keeps ``batch`` slots full. Arrivals at a rate keep
``rate * residence`` requests inside on average (Little's law); their first tokens also wait in a queue, which is no
property of the hardware, and their throughput is the rate itself. When everything arrives at once, how many requests
run together is for the server to decide.
"""

from __future__ import annotations

import msgspec

FULL_WAVES = 3
"""Requests a slot: with fewer, the first wave, which waits for its own prompts, decides the time to first token."""


class Load(msgspec.Struct, frozen=True):
    """Concurrent requests (None: not stated), and which metrics the load leaves undisturbed, with the reason."""

    batch: float | None
    mode: str
    disturbed: frozenset[str] = frozenset()
    why: str = ""


def closed_loop(concurrency: float, requests: float) -> Load:
    """Return the load of ``concurrency`` users who send ``requests`` in all."""
    batch = min(concurrency, requests)
    if batch <= 1.0:
        return Load(1.0, "served")
    if requests < FULL_WAVES * batch:
        why = f"{requests:g} requests for {batch:g} slots: the first wave waits for its own prompts"
        return Load(batch, "continuous", frozenset({"ttft", "request_latency", "throughput"}), why)
    return Load(batch, "continuous")


def arrivals(rate: float, residence: float | None) -> Load:
    """Return the load of ``rate`` requests/s that each stay ``residence`` seconds (None: not known)."""
    batch = None if residence is None else max(1.0, rate * residence)
    why = f"requests arrive at {rate:g}/s: first tokens wait in a queue, and the rate decides the throughput"
    return Load(batch, "continuous", frozenset({"ttft", "request_latency", "throughput"}), why)


def all_at_once() -> Load:
    """Return the load of a benchmark that sends everything at time 0."""
    why = "all requests were sent at once: their first tokens wait in a queue"
    return Load(None, "continuous", frozenset({"ttft", "request_latency", "throughput"}), why)
