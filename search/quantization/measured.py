"""Front plans timed on this machine against the original, as far as torch runs their formats here.

Linear layers whose weights and activations fit 8 bits run as torch's dynamic int8 layers (fewer bits in bytes), layers
at 16/16 bits run as bf16; every other layer stays fp32. Plan and original run in turn, and the ratio of
their times comes with a 90 % interval from the pairs, so that noise is not sold as speed.
"""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from codesign.errors import UsageError
from codesign.profilers.measure import BUSY_SPREAD
from codesign.run import Run, write_file
from codesign.search.quantization.threads import one_thread
from codesign.workload.quantization import INTEGER, QuantizationPlan

if TYPE_CHECKING:
    import torch

    from codesign.search.quantization.problem import QuantizationProblem

ROUNDS = 41
"""Pairs of measurements."""

WARM_UPS = 5

LEAST_S = 2e-3
"""A measurement repeats the pass until it takes as long."""

BOOTSTRAPS = 2000

FILE = "measured.json"


class Timed(msgspec.Struct, frozen=True):
    """One front plan timed beside the original.

    Attributes:
        id: The point.
        formats: Layer -> format it ran in; layers not named ran in fp32.
        layers: Layers of the plan that are quantised.
        seconds: Median of one pass as the plan runs here.
        original: Median of one pass of the original.
        ratio: Median of original over plan, pair by pair; above 1 is faster.
        low: Lower end of its 90 % interval.
        high: Upper end.
        busy: Whether other work disturbed the measurement: its repeats spread widely.
        reason: Why the plan was not timed; empty where it was.
    """

    id: int
    formats: dict[str, str]
    layers: int
    seconds: float = float("nan")
    original: float = float("nan")
    ratio: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    busy: bool = False
    reason: str = ""

    @property
    def verdict(self) -> str:
        """What may be said of the plan's speed: nothing where the interval holds 1."""
        if self.reason:
            return self.reason
        told = "faster" if self.low > 1.0 else "slower" if self.high < 1.0 else "no difference shown"
        return f"{told}; machine busy" if self.busy else told


def check_count(count: int) -> None:
    """Refuse a negative number of plans."""
    if count < 0:
        raise UsageError(f"--measure {count}", "expected a number of plans from 0")


def measure_front(run: Run, problem: QuantizationProblem, count: int) -> tuple[Timed, ...]:
    """Time ``count`` front plans, those first of which this machine runs most layers, and write ``measured.json``."""
    if not count:
        return ()
    names = [parameter.name for parameter in problem.plans.box.parameters]
    columns = run.front["columns"]
    plans = {
        number: problem.plans.plan({name: columns[name][row] for name in names})
        for row, number in enumerate(columns["id"]) if not columns["baseline"][row]
    }  # fmt: skip
    modules = problem.laboratory.simulator.layers
    most = sorted(plans, key=lambda number: (-len(formats(plans[number], modules)), number))[:count]
    timed = tuple(timed_plan(problem, number, plans[number]) for number in most)
    write_file(run.path / FILE, msgspec.json.encode({"units": {"seconds": "s"}, "timed": timed}))
    return timed


def formats(plan: QuantizationPlan, modules: dict[str, Any]) -> dict[str, str]:
    """Return layer -> ``int8`` or ``bf16`` of the layers whose format torch runs on a processor."""
    import torch

    found = {}
    for name, scheme in plan.layers.items():
        if (
            scheme.weight_bits <= INTEGER
            and scheme.activation_bits <= INTEGER
            and isinstance(modules[name], torch.nn.Linear)
        ):
            found[name] = "int8"
        elif scheme.weight_bits == 16 and scheme.activation_bits == 16:
            found[name] = "bf16"
    return found


def timed_plan(problem: QuantizationProblem, number: int, plan: QuantizationPlan) -> Timed:
    """Return one plan timed, or why it cannot be."""
    import torch

    laboratory = problem.laboratory
    laboratory.simulator.load(QuantizationPlan({}))
    original = bare(laboratory.task.module)
    chosen = formats(plan, dict(original.named_modules()))
    layers = sum(s.weight_bits < 32 or s.activation_bits < 32 for s in plan.layers.values())
    if not chosen:
        return Timed(number, {}, layers, reason="no format runs here")
    x = laboratory.task.splits["search"].x[: problem.asked.batch]
    with torch.inference_mode(), one_thread():
        changed = realised(original, chosen)
        first, second = paired(lambda: original(x), lambda: changed(x))
    ratio = first / second
    low, high = interval(ratio)
    return Timed(
        number, chosen, layers, float(np.median(second)), float(np.median(first)), float(np.median(ratio)), low, high,
        busy=disturbed(first) or disturbed(second),
    )  # fmt: skip


def bare(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of a module without the simulation's hooks."""
    plain = copy.deepcopy(module)
    for part in plain.modules():
        part._forward_hooks.clear()
        part._forward_pre_hooks.clear()
    return plain


def realised(original: torch.nn.Module, chosen: dict[str, str]) -> torch.nn.Module:
    """Return a copy of ``original`` whose layers compute in the formats of ``chosen``."""
    import warnings

    import torch

    class InBf16(torch.nn.Module):
        """A layer that computes in bf16 and answers in fp32."""

        def __init__(self, layer: torch.nn.Module) -> None:
            super().__init__()
            self.layer = layer.to(torch.bfloat16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.layer(x.to(torch.bfloat16)).float()
            return made

    changed = copy.deepcopy(original)
    integers = {name for name, kind in chosen.items() if kind == "int8"}
    if integers:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces that another package will take this over
            made: Any = torch.ao.quantization.quantize_dynamic(changed, integers, dtype=torch.qint8)  # type: ignore[no-untyped-call]
            changed = made
    for name, kind in chosen.items():
        if kind == "bf16":
            parent, _, last = name.rpartition(".")
            setattr(changed.get_submodule(parent), last, InBf16(changed.get_submodule(name)))
    return changed


def paired(first: Any, second: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return seconds of both, (ROUNDS,) each, measured in turn; which goes first alternates."""
    for _ in range(WARM_UPS):
        first()
        second()
    repeats = max(1, round(LEAST_S / max(_once(first, 1), 1e-7)))
    pairs = np.empty((ROUNDS, 2))
    for place in range(ROUNDS):
        order = ((0, first), (1, second)) if place % 2 else ((1, second), (0, first))
        for column, call in order:
            pairs[place, column] = _once(call, repeats)
    return pairs[:, 0], pairs[:, 1]


def interval(ratio: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Return the 90 % interval of the median of paired ratios, by bootstrap under a fixed seed."""
    generator = np.random.Generator(np.random.Philox(key=0))
    medians = np.median(ratio[generator.integers(0, len(ratio), (BOOTSTRAPS, len(ratio)))], axis=1)
    low, high = np.quantile(medians, (0.05, 0.95))
    return float(low), float(high)


def disturbed(seconds: np.ndarray[Any, Any]) -> bool:
    """Return whether the middle 90 % of repeats span more than ``BUSY_SPREAD`` of their median."""
    low, median, high = np.quantile(seconds, (0.05, 0.5, 0.95))
    return bool(high - low > BUSY_SPREAD * median)


def _once(call: Any, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats
