"""What a deployment is asked to be: its structure, which decides the graph, and its load, arrays over designs."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from codesign.errors import UsageError, nearest
from codesign.models import Model
from codesign.quantity import Array
from codesign.targets import Target

FRAMEWORKS = {"trtllm": (0.0, 0.0), "sglang": (0.0, 0.0), "vllm": (1.0, 0.5)}
"""Engine -> share of the kernels that quantise what a product reads that it runs on their own, without and with tensor
parallelism. vLLM fuses those that follow an all-reduce into it, half of a layer's; the others fuse all (chosen on half
of the serving measurements, set aside for it)."""


class Structure(msgspec.Struct, frozen=True):
    """The structural part of a deployment: everything that decides the graph.

    ``framework`` is the engine that serves, one of ``FRAMEWORKS``; None is one that fuses what can be fused.
    """

    dtype: str
    tp: int = 1
    pp: int = 1
    ep: int = 1
    nodes: int = 1
    execution: str = "auto"
    mode: str = "static"
    chunk: int | None = None
    kv_dtype: str | None = None
    framework: str | None = None

    def launched(self, target: Target) -> str:
        """Return the execution mode: ``auto`` is graphs on accelerators, eager on processors."""
        return self.execution if self.execution != "auto" else ("eager" if target.kind == "cpu" else "graph")

    @property
    def own_quantising(self) -> float:
        """Share of the kernels that quantise what a product reads that are not fused into the kernel before."""
        return FRAMEWORKS[self.framework][min(self.tp, 2) - 1] if self.framework is not None else 0.0

    def microbatches(self, requests: Array) -> Array:
        """Return in how many microbatches ``requests`` pass the stages: one a stage, fewer where requests are."""
        return np.ceil(requests / np.ceil(requests / self.pp))

    @property
    def in_turn(self) -> bool:
        """Return whether one batch is served after the other: all of it is prefilled, then all of it decoded."""
        return self.mode in ("static", "served")

    @property
    def in_step(self) -> bool:
        """Return whether slots are full of requests of equal length that stay in step."""
        return self.mode == "in-step"

    @property
    def devices(self) -> int:
        """Devices of one replica."""
        return self.tp * self.pp * self.ep

    def axes(self) -> tuple[tuple[str, int], ...]:
        """Mesh axes, innermost first."""
        return (("tp", self.tp), ("ep", self.ep), ("pp", self.pp))


class Load(msgspec.Struct, frozen=True, eq=False):
    """The numeric part: arrays of shape (N,), or scalars.

    ``batch`` is the concurrent requests of a replica. Continuous batching takes two more from load generators:
    ``concurrency``, requests in flight of which those beyond ``batch`` wait for a slot, and ``rounds``, requests that
    each client sends, the first of all clients at once (None: the steady state); and one from the scheduler:
    ``gather``, iterations that a prompt waits on average for others to share its iteration (None: none).
    ``power_limit`` is that of a device, W (None: its design power).
    """

    batch: Any
    prompt: Any
    generate: Any
    replicas: Any = 1
    rate: Any = None
    concurrency: Any = None
    rounds: Any = None
    gather: Any = None
    power_limit: Any = None

    def arrays(self) -> tuple[Array, Array, Array, Array]:
        """Return (batch, prompt, generate, replicas), broadcast together and with the other sizes that are given."""
        given = (self.batch, self.prompt, self.generate, self.replicas)
        others = [a for a in (self.rate, self.concurrency, self.rounds, self.gather, self.power_limit) if a is not None]
        together = np.broadcast_arrays(*given, *others)[:4]
        return tuple(np.atleast_1d(a).astype(np.float64) for a in together)  # type: ignore[return-value]


def check_structure(structure: Structure, target: Target, model: Model | None = None) -> str:
    """Return why this structure cannot run on this target, or why engines do not split ``model`` so; or nothing."""
    per_node = target.devices_per_node or 1
    if structure.devices > structure.nodes * per_node:
        return f"{structure.devices} devices exceed {structure.nodes} node(s) of {per_node}"
    if structure.nodes > 1 and structure.devices % structure.nodes:
        return f"{structure.devices} devices do not split over {structure.nodes} nodes"
    if structure.nodes > structure.devices:
        return f"{structure.nodes} nodes for {structure.devices} device(s)"
    return "" if model is None else check_split(structure, model)


def check_split(structure: Structure, model: Model) -> str:
    """Return why engines do not split ``model`` so, or an empty string."""
    if model.heads is not None:
        queries, keys = model.heads
        if queries % structure.tp:
            return f"tp {structure.tp} does not divide the {queries} heads of {model.name}"
        # devices beyond the heads of keys keep copies of them
        if max(keys, structure.tp) % min(keys, structure.tp):
            return f"tp {structure.tp} and the {keys} heads of keys and values of {model.name} do not divide"
    if model.experts is not None and structure.ep > model.experts.count:
        return f"ep {structure.ep} exceeds the {model.experts.count} experts of {model.name}"
    return ""


def check_serving(structure: Structure, load: Load) -> None:
    """Refuse what only other modes of serving take, and frameworks that are none."""
    if structure.framework is not None and structure.framework not in FRAMEWORKS:
        raise UsageError(f"unknown framework {structure.framework!r}", nearest(structure.framework, FRAMEWORKS))
    if structure.in_turn and any(given is not None for given in (load.concurrency, load.rounds, load.gather)):
        raise UsageError(
            "concurrency, rounds and gather describe full slots",
            "add mode continuous (concurrency: or in-step), or leave them out",
        )
    if structure.in_turn and structure.chunk is not None:
        raise UsageError("chunk is the budget of an iteration", "add mode continuous or in-step, or leave it out")
    if structure.in_step and any(given is not None for given in (load.rate, load.rounds, load.gather)):
        raise UsageError(
            "rate, rounds and gather describe requests out of step", "add mode continuous, or leave them out"
        )


def at_least(given: Any, least: float, name: str) -> Array:
    """Return ``given`` as an array; a value below ``least`` is refused."""
    values = np.atleast_1d(np.asarray(given, dtype=np.float64))
    if not np.all(values >= least):
        raise UsageError(f"{name} is {float(np.min(values)):g}", f"expected at least {least:g}")
    return values
