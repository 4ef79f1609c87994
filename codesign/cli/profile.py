"""``codesign profile``: run a model here, or read a trace, and say where its time goes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from codesign.cli.design_options import Inputs
from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag
from codesign.errors import UsageError

app = command_app()


@app.command("profile")
def profile_command(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help="A trace file, a preset, or py:, pt2:, hf: and a source.")],
    device: Annotated[str, typer.Option(help="Where to run: cpu, cuda, cuda:1.")] = "cpu",
    batch: Annotated[str, typer.Option(help="Batch sizes: 1,4,16 or 1,2,4,...,64.")] = "1",
    phase: Annotated[str | None, typer.Option(help="forward, prefill or decode (language models).")] = None,
    prompt: Annotated[int | None, typer.Option(help="Tokens of each sequence of a forward or prefill pass.")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens cached in front of a decode step.")] = None,
    layers: Annotated[int | None, typer.Option(help="Keep so many layers.")] = None,
    dtype: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16; default the checkpoint's.")] = None,
    inputs: Inputs = None,
    execution: Annotated[str, typer.Option(help="eager, graph (captured, on a GPU) or compiled.")] = "eager",
    repeats: Annotated[int | None, typer.Option(help="Timed passes of each batch; default what fits --time.")] = None,
    time: Annotated[str, typer.Option(help="Time for the timed passes of all batches.")] = "10 s",
    threads: Annotated[int | None, typer.Option(help="Threads of torch.")] = None,
    pin: Annotated[str | None, typer.Option(help="Processors to hold all threads on: 0,1 or 0-3.")] = None,
    shapes: Annotated[bool, typer.Option("--shapes", help="Record shapes of operators; costs more.")] = False,
    vendor: Annotated[bool, typer.Option("--vendor", help="Also the time inside oneDNN and MKL.")] = False,
    energy: Annotated[str | None, typer.Option(help="Energy of a pass: auto, or a meter of doctor's.")] = None,
    cpu_tdp: Annotated[float | None, typer.Option(help="TDP of the processor, W, for the energy estimate.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random weights and inputs.")] = 0,
    step: Annotated[str | None, typer.Option(help="Of a trace: profiler steps only, 7 or 3-5.")] = None,
    limits: Annotated[
        str | None, typer.Option("--class-limits", help="Of the classes: launch,queue,busy; 4,10,0.5.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Run directory; default runs/<date>-profile-<name>.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in --out.")] = False,
    json: JsonFlag = False,
) -> None:
    """Profile a model here, or read a trace: what holds it back.

    Reads what torch.profiler exports (NVIDIA, AMD, CPU; plain or gzip), nsys SQLite exports and own recordings. Of a
    model run here, latency comes from passes without a profiler, structure from profiled ones.

    \b
    Examples:
      codesign profile trace.json.gz
      codesign profile llama-3.2-1b --layers 2 --batch 1,2,4,...,32 --prompt 128
      codesign profile resnet-50 --device cuda --batch 1,8,64 --execution graph
    """
    from codesign.cli.profile_trace import class_limits, profile_trace, trace_path

    if out == "":
        raise UsageError("--out is empty", "name a directory")
    thresholds, path = class_limits(limits), trace_path(source)
    options = {
        "device": device, "batch": batch, "phase": phase, "prompt": prompt, "context": context, "layers": layers,
        "dtype": dtype, "input": inputs, "execution": execution, "repeats": repeats, "time": time, "threads": threads,
        "pin": pin, "shapes": shapes, "vendor": vendor, "energy": energy, "cpu-tdp": cpu_tdp, "seed": seed,
    }  # fmt: skip
    if path is not None:
        _refuse(ctx, options, "a trace")
        profile_trace(ctx, path, step=step, thresholds=thresholds, out=out, force=force, json=json)
        return
    _refuse(ctx, ["step"], "a model")
    from codesign.cli.profile_model import profile_model

    profile_model(ctx, source, options, thresholds=thresholds, out=out, force=force, json=json)


def _refuse(ctx: typer.Context, options: Iterable[str], what: str) -> None:
    """Refuse options that mean nothing for ``what``: ignored ones would mislead."""
    spelling = {"input": "inputs", "cpu-tdp": "cpu_tdp"}
    given = [
        name for name in options if str(ctx.get_parameter_source(spelling.get(name, name))).endswith("COMMANDLINE")
    ]
    if given:
        raise UsageError(f"{what} takes no --{given[0]}", "leave it out")
