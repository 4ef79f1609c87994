"""What a deployment costs: a model on a target, sharded, batched, served.

The structure (model, target, dtype, degrees, nodes, execution, mode) decides the graph; batch, prompt,
generated tokens, replicas and arrival rate are arrays. One call prices every point of a structure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.energy import device_energy
from codesign.costmodels.estimate import Estimate, Metric
from codesign.costmodels.factors import COUNT, F
from codesign.costmodels.impact import Site, at_site, dollars, embodied_grams, grid_notes, operational_grams
from codesign.costmodels.kv_cache import CacheCapacity, cache_capacity
from codesign.costmodels.latency import PhaseCost, largest_stage, phase_cost
from codesign.costmodels.machine import Machine, machine
from codesign.costmodels.mixed_iteration import saved_shares
from codesign.costmodels.power_limit import check_limit, limited, sentence
from codesign.costmodels.serving import (
    InStep,
    Service,
    as_scheduled,
    continuous_service,
    handling,
    in_flight,
    in_step_service,
    later,
    prompts_in_step,
    prompts_in_turn,
    static_service,
    with_arrivals,
    with_burst,
    with_waiting,
)
from codesign.costmodels.structure import Load, Structure, at_least, check_serving, check_structure
from codesign.costmodels.work import PhaseWork, phase_work
from codesign.errors import UsageError
from codesign.models import Model
from codesign.quantity import Array, Column
from codesign.targets import Target
from codesign.workload.einsum import Role, op_ranks
from codesign.workload.graph import Phase, Workload
from codesign.workload.liveness import LASTING, carried_in, peak_activations
from codesign.workload.mesh import Mesh, shard

CACHED_POINTS = 1024
"""Structures of more points than this are not kept: memory stays bounded."""

MEMORY_SHARE = 0.92
"""Share of device memory that weights, caches and activations may fill (the rest: context, libraries)."""

METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("ttft", "s", "request", title="first token"),
        Metric("tpot", "s", "output token", title="each further token"),
        Metric("latency", "s", "output token", title="latency per token"),
        Metric("request_latency", "s", "request", title="whole request"),
        Metric("throughput", "token/s", "deployment", "higher", "throughput"),
        Metric("tokens_per_device", "token/s", "device", "higher", "throughput per device"),
        Metric("tokens_per_user", "token/s", "user", "higher", "speed per user"),
        Metric("memory", "B", "device", title="peak memory"),
        Metric("energy_per_token", "J", "output token", title="energy"),
        Metric("carbon_per_million_tokens", "gCO2e", "1e6 output tokens", title="carbon"),
        Metric("operational_carbon", "gCO2e", "1e6 output tokens", title="of it operational"),
        Metric("embodied_carbon", "gCO2e", "1e6 output tokens", title="of it embodied"),
        Metric("cost_per_million_tokens", "$", "1e6 output tokens", title="cost"),
        Metric("power", "W", "device", title="mean power"),
        Metric("devices", "device", "deployment", title="devices"),
    )
}


class Priced(msgspec.Struct, frozen=True, eq=False):
    """An estimate with the phase costs and memory parts behind it, for ``explain`` and the per-operator table.

    ``executed_flop`` is the arithmetic of all devices for one functional unit of energy, ``units_per_run`` how many
    such units a run delivers (tokens of a request, samples of a pass); shape (n,).
    """

    estimate: Estimate
    phases: tuple[PhaseCost, ...]
    memory: dict[str, Array]
    machine: Machine
    cache: CacheCapacity | None = None
    executed_flop: Array | None = None
    units_per_run: Array | float = 1.0


def price(model: Model, target: Target, structure: Structure, load: Load, site: Site | None = None) -> Priced:
    """Price every point of ``load`` under one structure.

    Raises:
        UsageError: the target lacks the compute dtype or a link, or the model has no prefill and decode phases.
    """
    site = site or Site()
    check_serving(structure, load)
    batch, prompt, generate, replicas = load.arrays()
    here = machine(target, structure.axes(), structure.nodes)
    mesh = dict(structure.axes())
    structure = msgspec.structs.replace(structure, execution=structure.launched(target))
    in_step = prompts_in_step(batch, prompt, generate, structure.chunk, structure.ep) if structure.in_step else None
    asked = prepared(model, structure, batch, prompt, generate, None if in_step is None else in_step.together)
    # graphs hold the steps of decode; prompts, whose lengths differ, are launched kernel by kernel
    prompt_launch = "eager" if structure.execution == "graph" else structure.execution
    prefill = phase_cost(asked.prefill, here, mesh, prompt_launch, structure.own_quantising)
    decode = phase_cost(asked.decode, here, mesh, structure.execution, structure.own_quantising)
    facts: tuple[str, ...] = ()
    if load.power_limit is not None:
        limit = check_limit(load.power_limit, target)
        (prefill, on_prefill), (decode, on_decode) = (limited(cost, here, limit) for cost in (prefill, decode))
        facts = (sentence(limit, here, {"prefill": on_prefill, "decode": on_decode}),)
    step = decode.seconds * (structure.pp / np.maximum(generate - 1.0, 1.0)) + _send(
        asked.sent_by_decode, here, structure
    )
    sent = _send(asked.sent_by_prefill, here, structure)
    passes: Passes = (structure.microbatches(batch),) * 4
    # the last microbatch leaves after one stage time for each stage, and one for each microbatch before it
    behind = structure.microbatches(batch if in_step is None else in_step.together) - 1.0
    through_all = prefill.seconds * (structure.pp + behind) + sent
    if structure.in_turn:
        service = static_service(through_all, step, batch, generate)
        service = later(service, handling(prefill, batch)) if structure.mode == "served" else service
    elif in_step is not None:
        service, passes = _in_step(structure, in_step, (prefill, through_all), (decode, step), batch, generate)
        service = _as_loaded(service, load, batch)
    else:
        through = prefill.seconds * float(structure.pp) + sent
        service, passes = _full_slots(structure, load, (prefill, through), (decode, step), batch, prompt, generate)
        service = _as_loaded(service, load, batch)
    if load.rate is not None:
        service = with_arrivals(service, np.asarray(load.rate, dtype=np.float64) / replicas)
    work = _round(service, prefill, decode, passes, batch)
    columns = _columns(service, work, here, structure, load, site)
    memory = asked.memory
    needed = sum(memory.values(), start=np.zeros_like(batch))
    columns["memory"] = Column.exact(np.broadcast_to(needed, batch.shape), len(here.factors))
    cache = _cache(memory, here, structure, batch, prompt + generate)
    notes = (cache.sentence(float(prompt[0] + generate[0])),) if cache is not None and len(batch) == 1 else ()
    if service.utilisation is not None and len(batch) == 1:
        busy = f"arrivals take {float(service.utilisation[0]):.2%} of what a replica can do"
        notes = (f"{busy}; throughput, energy, carbon and price are of full slots", *notes)
    notes = (*facts, *grid_notes(site), *notes)
    placement = check_structure(structure, target, model)
    estimate = _with_limits(columns, here, needed, service, structure, batch, placement, notes)
    estimate = msgspec.structs.replace(estimate, factors=at_site(here.factors, site))
    executed = np.asarray(work.flops) * structure.devices / (batch * generate)
    return Priced(estimate, (prefill, decode), memory, here, cache, executed, generate)


Passes = tuple[Any, Any, Any, Any]
"""How often each phase runs in a round (``_round``)."""


def _full_slots(
    structure: Structure, load: Load, prefill: tuple[PhaseCost, Column], decode: tuple[PhaseCost, Column],
    batch: Array, prompt: Array, generate: Array,
) -> tuple[Service, Passes]:  # fmt: skip
    """Return the service of slots that are always full.

    ``prefill`` (of one prompt, or of ``ep`` prompts side by side) and ``decode`` come with the time of one through all
    stages.
    """
    (prefill_cost, through), (decode_cost, step) = prefill, decode
    wait = at_least(0.0 if load.gather is None else load.gather, 0.0, "gather")
    turn = prompts_in_turn(batch, prompt, generate, structure.chunk, structure.ep, wait)
    beside, among = saved_shares(decode_cost, prefill_cost, turn.rows)
    added = through * (turn.rows - among) + step * -beside
    service = later(continuous_service(added, turn, step, batch, generate), handling(prefill_cost, batch))
    if load.rounds is not None:
        service = with_burst(service, added, turn, step, batch, at_least(load.rounds, 1.0, "rounds"))
    mixed = np.minimum(batch / turn.together / generate, 1.0)
    prefills, stages = batch / structure.ep, structure.microbatches(batch)
    return service, (prefills, prefills * (1.0 - among / turn.rows), stages, stages * (1.0 - beside * mixed))


def _in_step(
    structure: Structure, turn: InStep, prefill: tuple[PhaseCost, Column], decode: tuple[PhaseCost, Column],
    batch: Array, generate: Array,
) -> tuple[Service, Passes]:  # fmt: skip
    """Return the service of full slots whose requests stay in step; ``prefill`` is of all prompts of an iteration."""
    (prefill_cost, through), (decode_cost, step) = prefill, decode
    beside, _ = saved_shares(decode_cost, prefill_cost, np.ones_like(batch))
    beside = beside * (1.0 - turn.together / batch)
    added = through + step * -beside
    service = in_step_service(added, turn, step, handling(prefill_cost, batch), batch, generate)
    mixed = np.minimum(batch / turn.together / generate, 1.0)
    prefills, stages = batch / turn.together * structure.microbatches(turn.together), structure.microbatches(batch)
    return service, (prefills, prefills, stages, stages * (1.0 - beside * mixed))


def _as_loaded(service: Service, load: Load, batch: Array) -> Service:
    """Add the wait of requests beyond the slots, and what schedulers leave unsure."""
    if load.concurrency is not None:
        concurrency = at_least(load.concurrency, 1.0, "concurrency")
        fewer = np.broadcast_to(concurrency < batch, batch.shape)
        if fewer.any():
            flying, slots = (float(np.broadcast_to(a, batch.shape)[fewer][0]) for a in (concurrency, batch))
            raise UsageError(f"concurrency is {flying:g}, fewer than the {slots:g} slots of batch", "lower the batch")
        service = with_waiting(in_flight(service, batch), concurrency - batch)
    return as_scheduled(service)


def _cache(
    memory: dict[str, Array], here: Machine, structure: Structure, batch: Array, length: Array
) -> CacheCapacity | None:
    """Return how many blocks of cache fit beside everything else, None for a model that keeps no such cache."""
    if "kv" not in memory:
        return None
    other = sum((size for role, size in memory.items() if role != "kv"), start=np.zeros(1))
    # the last token of a request is sampled and never cached; a single one is priced as a step
    cached = np.maximum(length - 1.0, 1.0)
    held = np.ceil(np.ceil(batch / structure.pp) / structure.ep) * structure.microbatches(batch)
    return cache_capacity(MEMORY_SHARE * here.capacity - other, memory["kv"] / (held * cached), cached, structure.ep)


class Prepared(msgspec.Struct, frozen=True, eq=False):
    """Everything about a structure that no target changes: work, memory by role, bytes handed between stages."""

    prefill: PhaseWork
    decode: PhaseWork
    memory: dict[str, Array]
    sent_by_prefill: Any
    sent_by_decode: Any


def prepared(
    model: Model, structure: Structure, batch: Array, prompt: Array, generate: Array, at_once: Array | None = None
) -> Prepared:
    """Return the structure's work, from the cache where few points are asked for again (on another target).

    ``at_once`` is the prompts that are prefilled together, in microbatches; None is the batch where one batch follows
    the other, else one for each rank of data-parallel attention.
    """
    if model.kind != "causal-lm":
        raise UsageError(
            f"{model.name} does not generate tokens", "deployments need a language model with prefill and decode"
        )
    # what no graph depends on stays out of the key, so that targets, nodes and launch modes share an entry
    mode = "static" if structure.in_turn else structure.mode
    plain = Structure(structure.dtype, structure.tp, structure.pp, structure.ep, mode=mode, kv_dtype=structure.kv_dtype)
    given = (batch, prompt, generate) if at_once is None else (batch, prompt, generate, at_once)
    sizes = tuple(np.ascontiguousarray(a, dtype=np.float64).tobytes() for a in given)
    known: Any = model  # hashable by content: models are frozen structs
    return _prepared(known, plain, *sizes) if len(batch) <= CACHED_POINTS else _prepare(model, plain, *sizes)


def _prepare(model: Model, structure: Structure, *sizes: bytes) -> Prepared:
    batch, prompt, generate, *at_once = (np.frombuffer(data, dtype=np.float64) for data in sizes)

    def local(concurrent: Array) -> Workload:
        # decode of a single generated token is priced as one step, so that its rate stays defined
        lengths = {"batch": concurrent, "prompt": prompt, "generate": np.maximum(generate, 2.0)}
        whole = model.workload(**lengths, dtype=structure.dtype, kv_dtype=structure.kv_dtype)
        return shard(whole, Mesh(dict(structure.axes())))

    full = local(np.ceil(batch / structure.pp))
    # continuous batching prefills one prompt (per group of ``ep``) at a time beside the full batch of decodes
    # the prompts that are in step pass the stages in as many microbatches
    alone = np.ceil(at_once[0] / structure.pp) if at_once else np.full_like(batch, float(structure.ep))
    one = full if structure.in_turn else local(alone)
    prefill = largest_stage(one.phase("prefill"), structure.pp)
    decode = largest_stage(full.phase("decode"), structure.pp)
    return Prepared(
        phase_work(prefill),
        phase_work(decode),
        _memory(Workload(full.name, (prefill, decode), full.units), structure.microbatches(batch)),
        _carried_bytes(one.phase("prefill")),
        _carried_bytes(full.phase("decode")),
    )


_prepared = lru_cache(maxsize=512)(_prepare)


def _carried_bytes(phase: Phase) -> Any:
    """Return the bytes that one pipeline stage hands to the next."""
    main = max(phase.blocks, key=lambda b: b.repeat if isinstance(b.repeat, int) else 0)
    carried = carried_in(main)
    payload: Any = 0.0
    for group in main.groups:
        for t, op, is_write in group.memory_views():
            if t.name in carried and t.role is Role.ACTIVATION and not is_write:
                payload = np.maximum(payload, t.footprint(op_ranks(op)))
    return payload


def _send(payload: Any, here: Machine, structure: Structure) -> Column:
    """Return the time to hand activations through the pipeline once."""
    if structure.pp == 1:
        return Column.exact(0.0, COUNT)
    line = here.link("pp")
    return Column.of_factor((structure.pp - 1) * line.collective("send", payload, 2), F.LINK, COUNT)


def _memory(stage: Workload, microbatches: Array) -> dict[str, Array]:
    """Return the bytes on the fullest device by role; every microbatch keeps its own cache."""
    parts: dict[str, Any] = {}
    for role in LASTING:
        size = stage.footprint(role)
        if np.any(size):
            parts[role.value] = np.asarray(
                size * (microbatches if role in (Role.KV, Role.STATE) else 1), dtype=np.float64
            )
    passing: Any = 0.0
    for phase in stage.phases:
        passing = np.maximum(passing, peak_activations(phase))
    parts["activation"] = np.asarray(passing, dtype=np.float64)
    return parts


def _round(service: Service, prefill: PhaseCost, decode: PhaseCost, passes: Passes, batch: Array) -> PhaseCost:
    """Return the work of serving ``batch`` requests, in the time that is reserved for them whatever waits.

    ``passes`` says how often each phase runs: prefills by their FLOP and by the time and bytes that sharing an
    iteration leaves of them, then decodes likewise.
    """
    prefills, prefills_left, decodes, decodes_left = passes
    return PhaseCost(
        "round",
        service.requests_per_second.reciprocal() * batch,
        prefill.busy * prefills_left + decode.busy * decodes_left,
        prefill.flops * prefills + decode.flops * decodes,
        prefill.bytes * prefills_left + decode.bytes * decodes_left,
        prefill.peak_seconds * prefills + decode.peak_seconds * decodes,
        (),
    )


def _columns(
    service: Service, work: PhaseCost, here: Machine, structure: Structure, load: Load, site: Site
) -> dict[str, Column]:
    batch, _, generate, replicas = load.arrays()
    devices = structure.devices
    tokens_per_second = service.requests_per_second * generate
    round_seconds = work.seconds
    joules = device_energy(work, round_seconds, here, most=load.power_limit)
    tokens = batch * generate
    energy = joules * (devices / tokens)
    columns = {
        "ttft": service.ttft,
        "tpot": service.tpot,
        "latency": service.latency * (1.0 / generate),
        "request_latency": service.latency,
        "throughput": tokens_per_second * replicas,
        "tokens_per_device": tokens_per_second * (1.0 / devices),
        "tokens_per_user": service.tpot.reciprocal(),
        "energy_per_token": energy,
        "power": joules * round_seconds.reciprocal(),
        "devices": Column.exact(devices * replicas, len(here.factors)),
    }
    operational = operational_grams(energy, site) * 1e6
    embodied = embodied_grams(round_seconds, here, devices, site)
    columns["carbon_per_million_tokens"] = columns["operational_carbon"] = operational
    if embodied is not None:
        columns["embodied_carbon"] = embodied * (1e6 / tokens)
        columns["carbon_per_million_tokens"] = operational + columns["embodied_carbon"]
    paid = dollars(round_seconds, here, devices)
    if paid is not None:
        columns["cost_per_million_tokens"] = paid * (1e6 / tokens)
    return columns


def _with_limits(
    columns: dict[str, Column],
    here: Machine,
    needed: Array,
    service: Service,
    structure: Structure,
    batch: Array,
    placement: str,
    facts: tuple[str, ...],
) -> Estimate:
    """Attach feasibility: capacity first, then the token budget, then the arrival rate."""
    reasons = [
        "",
        f"memory: exceeds {MEMORY_SHARE:.0%} of {here.target.id}",
        "chunk: budget leaves no room for prompt tokens",
        "rate: utilisation at or above 1",
    ]
    code: NDArray[Any] = np.zeros(batch.shape, dtype=np.int64)
    if service.utilisation is not None:
        code = np.where(service.utilisation >= 1.0, 3, code)
    if structure.chunk is not None:
        code = np.where(structure.chunk <= batch, 2, code)
    code = np.where(needed > MEMORY_SHARE * here.capacity, 1, code)
    if placement:
        reasons.append(f"placement: {placement}")
        code = np.full(batch.shape, len(reasons) - 1)
    notes = () if here.embodied_grams is not None else ("embodied carbon not declared: carbon is operational only",)
    metrics = {name: METRICS[name] for name in columns}
    return Estimate(metrics, columns, here.factors, code == 0, code, tuple(reasons), (*facts, *notes))
