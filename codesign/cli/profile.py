"""``codesign profile``: run a model here and say where its time goes."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from codesign.cli.design_options import Inputs
from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, show
from codesign.errors import UsageError

app = command_app()


@app.command("profile")
def profile_command(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="A preset, or py:, pt2: and a source.")],
    device: Annotated[str, typer.Option(help="Where to run: cpu.")] = "cpu",
    batch: Annotated[str, typer.Option(help="Batch sizes, for example 1,4,16.")] = "1",
    phase: Annotated[str | None, typer.Option(help="forward, prefill or decode (language models).")] = None,
    prompt: Annotated[int | None, typer.Option(help="Tokens of each sequence of a forward or prefill pass.")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens cached in front of a decode step.")] = None,
    layers: Annotated[int | None, typer.Option(help="Keep so many layers.")] = None,
    dtype: Annotated[str | None, typer.Option(help="fp32 or bf16; default the checkpoint's.")] = None,
    inputs: Inputs = None,
    repeats: Annotated[int | None, typer.Option(help="Timed passes of each batch; default what fits --time.")] = None,
    time: Annotated[str, typer.Option(help="Time for the timed passes of all batches.")] = "10 s",
    threads: Annotated[int | None, typer.Option(help="Threads of torch.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random weights and inputs.")] = 0,
    out: Annotated[str | None, typer.Option(help="Run directory; default runs/<date>-<model>.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in --out.")] = False,
    json: JsonFlag = False,
) -> None:
    """Run a model here and say where its time goes.

    Latency comes from passes without a profiler, structure from profiled passes.

    \b
    Examples:
      codesign profile llama-3.2-1b --layers 2 --batch 1,4,16 --prompt 128
      codesign profile resnet-50 --batch 1,8 --dtype fp32 --threads 1
      codesign profile py:mypackage.net:make --input 8x3x224x224
    """
    from time import perf_counter

    from codesign.cli import profile_view as view
    from codesign.profilers.api import check_device, load, profile
    from codesign.run import create_run, write_file
    from codesign.units import parse_quantity

    batches, seconds = batch_sizes(batch), parse_quantity(time, "s", "--time")
    check_device(device)
    if out == "":
        raise UsageError("--out is empty", "name a directory")
    options: dict[str, Any] = {
        "device": device, "batches": batches, "phase": phase, "prompt": prompt, "context": context, "layers": layers,
        "dtype": dtype, "repeats": repeats, "seconds": seconds, "threads": threads, "seed": seed,
    }  # fmt: skip
    loaded = load(model, inputs)
    view.refuse_existing(out, force)  # before minutes of measuring, not after
    start = perf_counter()
    found = profile(loaded, **options)
    spec = {"kind": "profile", "model": model, "inputs": inputs, **options}
    run = create_run(
        out, f"profile-{loaded.name}", command="profile", argv=sys.argv, force=force,
        packages=("numpy", "msgspec", "torch"), fields={"spec": spec, "seed": seed},
    )  # fmt: skip
    write_file(run.path / "profile.json", found.to_json())
    run.update(status="finished", wall_s=round(perf_counter() - start, 3))
    show(ctx, view.results(found), view.tables(found), as_json=json, units=view.UNITS,
         notes=[*view.notes(found), f"profile: {run.path}/profile.json"], details={"run": str(run.path)})  # fmt: skip


def batch_sizes(text: str) -> tuple[int, ...]:
    """Return the batch sizes of ``1,4,16``, sorted, each once."""
    try:
        sizes = {int(part) for part in text.split(",")}
    except ValueError:
        raise UsageError(f"--batch is {text!r}", "give whole numbers from 1, for example --batch 1,4,16") from None
    if min(sizes) < 1:
        raise UsageError(f"--batch holds {min(sizes)}", "give whole numbers from 1, for example --batch 1,4,16")
    return tuple(sorted(sizes))
