"""The options that state a design: shared by ``estimate`` and ``explain``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from codesign.errors import UsageError

TargetOption = Annotated[str, typer.Option("--target", help="A target's id, alias or YAML file.")]
Dtype = Annotated[str | None, typer.Option(help="Precision of the layers' weights; default the checkpoint's.")]
Batch = Annotated[int, typer.Option(help="Concurrent requests of a replica (samples of a run).")]
Prompt = Annotated[int | None, typer.Option(help="Prompt tokens of a request; of served models 1024 by default.")]
Generate = Annotated[int | None, typer.Option(help="Output tokens of a request; 256 by default.")]
Tensor = Annotated[int, typer.Option(help="Devices that split every layer between them (tensor parallelism).")]
Pipeline = Annotated[int, typer.Option(help="Stages that hold some of the layers each (pipeline parallelism).")]
Expert = Annotated[
    int, typer.Option(help="Ranks with experts and requests of their own (expert, data-parallel attention).")
]
Nodes = Annotated[int, typer.Option(help="Nodes that one replica spans.")]
Replicas = Annotated[int, typer.Option(help="Copies that serve beside each other.")]
Mode = Annotated[
    str,
    typer.Option(
        help="static (one batch after the other), served (the same, asked of a server), continuous (full slots), "
        "in-step (full slots of equal requests sent together), or training (one step)."
    ),
]
Execution = Annotated[
    str, typer.Option(help="How kernels are launched: eager, compiled, graph; auto is graph, on processors eager.")
]
Chunk = Annotated[int | None, typer.Option(help="Token budget of an iteration (chunked prefill).")]
KvDtype = Annotated[str | None, typer.Option(help="Precision of cached keys and values; default the model's.")]
Concurrency = Annotated[
    int | None, typer.Option(help="Requests in flight; beyond --batch they wait (continuous, in-step).")
]
Rounds = Annotated[int | None, typer.Option(help="Requests each client sends, first ones at once (continuous).")]
Gather = Annotated[
    float | None, typer.Option(help="Iterations that a prompt waits for others, on average (continuous).")
]
Framework = Annotated[
    str | None,
    typer.Option(help="Engine: trtllm, sglang, or vllm, which fuses less in fp8 and nvfp4; default as trtllm."),
]
Rate = Annotated[float | None, typer.Option(help="Arrivals in requests/s: adds the M/D/1 wait.")]
PowerLimit = Annotated[str | None, typer.Option(help="Power limit of a device, such as '500 W'; default its TDP.")]
Grid = Annotated[
    str | None,
    typer.Option(help="Electricity: g/kWh, a country, cloud region or area (`codesign carbon grids`), or a CSV."),
]
LATENCY_HELP = (
    "Of a mapping: ideal, systolic or scalesim-compat; with pipelined (cascades), single-buffered, ramp-up, comma list."
)
Pue = Annotated[float | None, typer.Option(help="Facility energy over IT energy.")]
Lifetime = Annotated[float | None, typer.Option(help="Years over which embodied carbon is spread.")]
Utilisation = Annotated[float | None, typer.Option(help="Share of the lifetime the hardware is reserved.")]
OverlayOption = Annotated[str | None, typer.Option("--overlay", help="Calibration overlay of the target (YAML).")]
Inputs = Annotated[list[str] | None, typer.Option("--input", help="Input of a captured module: 8x3x224x224[:dtype].")]


def loaded(model: str, inputs: Sequence[str] | None) -> Any:
    """Return the model, with the input shapes of a captured one."""
    from codesign.models import load_model

    return load_model(model, inputs=list(inputs)) if inputs else load_model(model)


def watts(text: str | None) -> float | None:
    """Return a power limit in W."""
    from codesign.units import parse_quantity

    return None if text is None else parse_quantity(text, "W", "--power-limit")


def check_fits(priced: Any, target: str) -> None:
    """Raise ``LimitCrossed`` where the design cannot run: memory first, with its terms."""
    from codesign.costmodels.deployment import MEMORY_SHARE
    from codesign.errors import LimitCrossed
    from codesign.units import format_si

    estimate = priced.estimate
    if bool(estimate.feasible[0]):
        return
    reason = estimate.reasons[int(estimate.reason[0])]
    if not reason.startswith("memory"):
        cure = (
            "raise --chunk, or lower --batch"
            if reason.startswith("chunk")
            else "change the degree, the nodes or the rate"
        )
        raise LimitCrossed(f"this design cannot run: {reason}", cure)
    needed = float(estimate.columns["memory"].value.reshape(-1)[0])
    usable = MEMORY_SHARE * priced.machine.capacity
    parts = sorted(((float(size.max()), name) for name, size in priced.memory.items()), reverse=True)
    terms = ", ".join(f"{name} {format_si(size, 'B')}" for size, name in parts if size)
    raise LimitCrossed(
        f"does not fit {target}: needs {format_si(needed, 'B')} a device, {format_si(usable, 'B')} usable, "
        f"{format_si(needed - usable, 'B')} missing ({terms})",
        f"{parts[0][1]} binds: raise --tp or --pp, lower --batch, or choose a smaller --dtype",
    )


def one_target(target: str) -> str:
    """Return the target, refusing an empty one."""
    if not target.strip():
        raise UsageError("no target given", "for example --target h100-sxm; see `codesign targets list`")
    return target
