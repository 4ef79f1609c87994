"""``codesign profile MODEL``: run a model here and say where its time goes."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import typer

from codesign.cli.number_lists import batch_sizes, processors
from codesign.cli.output import note, show
from codesign.errors import EnvironmentLacks, UsageError

if TYPE_CHECKING:
    from codesign.profilers.boundness import Thresholds
    from codesign.profilers.trace import Trace

KEPT_PASSES = 5
"""Passes of each batch size whose trace stays in the run directory."""


def profile_model(
    ctx: typer.Context,
    source: str,
    options: dict[str, Any],
    *,
    thresholds: Thresholds | None,
    out: str | None,
    force: bool,
    json: bool,
) -> None:
    """Profile the model that ``source`` names, write its run directory, show what was found."""
    from msgspec.structs import replace

    from codesign.cli import profile_view as view
    from codesign.profilers.api import check_device, load, profile
    from codesign.profilers.iterations import first_passes
    from codesign.profilers.readers.recording import write_recording
    from codesign.profilers.sweep import INTERRUPTED
    from codesign.report.profile import profile_page
    from codesign.report.profile.model_view import model_view
    from codesign.run import create_run, refuse_taken, write_file
    from codesign.units import parse_quantity

    asked = {
        **{name: options[name] for name in ("device", "phase", "prompt", "context", "layers", "dtype", "execution",
                                            "repeats", "threads", "seed", "vendor")},
        "batches": batch_sizes(options["batch"]), "seconds": parse_quantity(options["time"], "s", "--time"),
        "pin": processors(options["pin"]), "with_shapes": options["shapes"],
    }  # fmt: skip
    check_device(asked["device"])
    if thresholds is not None and asked["device"] == "cpu":
        raise UsageError("--class-limits are of launches on a GPU", "leave them out: a processor has fixed limits")
    loaded = load(source, options["input"])
    if out is not None:
        refuse_taken(Path(out), "profile", force)  # before minutes of measuring, not after
    start = perf_counter()
    traces: dict[int, Trace] = {}
    meter, energy_note = open_meter(asked["device"], options["energy"], options["cpu-tdp"])
    try:
        found = profile(
            loaded, **asked, meter=meter, thresholds=thresholds, on_trace=lambda b, t: traces.__setitem__(b, t),
            progress=lambda text: note(ctx, text),
        )  # fmt: skip
    finally:
        if meter is not None:
            meter.close()
    if energy_note:
        found = replace(found, notes=(*found.notes, energy_note))
    spec = {"kind": "profile", "model": source, "inputs": options["input"], "energy": options["energy"], **asked}
    run = create_run(
        out, f"profile-{loaded.name}", command="profile", argv=sys.argv, force=force,
        packages=("numpy", "msgspec", "torch"), fields={"spec": spec, "seed": asked["seed"]},
    )  # fmt: skip
    write_file(run.path / "profile.json", found.to_json())
    kept = {batch: first_passes(trace, KEPT_PASSES) for batch, trace in traces.items()}
    for batch, trace in kept.items():
        write_recording(trace, run.path / f"batch-{batch}.trace")
    write_file(run.path / "report.html", profile_page(model_view(found, kept)))
    interrupted = INTERRUPTED in found.left_out.values()
    status = "interrupted" if interrupted else "finished"
    run.update(status=status, wall_s=round(perf_counter() - start, 3))
    lines = [*view.notes(found), f"report: {run.path}/report.html"]
    show(ctx, view.results(found), view.tables(found), as_json=json, units=view.UNITS, notes=lines,
         details={"run": str(run.path)})  # fmt: skip
    if interrupted:
        raise KeyboardInterrupt


def open_meter(device: str, wanted: str | None, cpu_tdp: float | None) -> tuple[Any, str]:
    """Return an open energy meter, None where none was asked for or is live, and what to say about it.

    Raises:
        UsageError: a meter that does not exist or does not cover the device.
        EnvironmentLacks: a meter was named, and does not count here.
    """
    if wanted is None:
        if cpu_tdp is not None:
            raise UsageError("--cpu-tdp is for the energy estimate", "give --energy auto with it")
        return None, ""
    from codesign.profilers.energy import choose_meter

    choice = choose_meter(device, cpu_tdp=cpu_tdp, name=None if wanted == "auto" else wanted)
    if choice.meter is None and wanted != "auto":
        raise EnvironmentLacks(f"no energy: {choice.reason}", "--energy auto takes what is there, or goes without")
    return choice.meter, f"no energy: {choice.reason}" if choice.meter is None else ""
