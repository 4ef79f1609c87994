"""``codesign targets validate`` and ``detect``: target files of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.output import JsonFlag, Table, note, number, show
from codesign.errors import UsageError


def validate_command(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(help="Target files, or ids of the catalogue.")],
    json: JsonFlag = False,
) -> None:
    """Check target files: keys, units, signs, intervals.

    \b
    Examples:
      codesign targets validate ./mine.yaml
      codesign targets validate ./a.yaml ./b.yaml --json
    """
    from codesign.targets import load_target

    found = [(file, load_target(file)) for file in files]
    rows = [{"file": file, "id": target.id, "dtypes": list(target.dtypes)} for file, target in found]
    shown = [(file, target.id, ", ".join(target.dtypes)) for file, target in found]
    show(ctx, rows, [Table("Valid", ("file", "id", "dtypes"), shown)], as_json=json)


def detect_command(
    ctx: typer.Context,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: whatever is here.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder of the files written; default here.")] = None,
    seconds: Annotated[float, typer.Option(help="Time to measure each device, s.")] = 20.0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: JsonFlag = False,
) -> None:
    """Measure this machine and write it as a target file that every command accepts.

    \b
    Examples:
      codesign targets detect
      codesign targets detect --device cpu --seconds 5 --out machines
    """
    from codesign.targets import detect, write_target

    folder = out or Path()
    devices = _present() if device == "auto" else [device]
    for name in devices:  # said before half a minute of measuring, not after
        if _file(folder, name).exists() and not force:
            raise UsageError(f"{_file(folder, name)} exists", "choose another --out, or --force to replace it")
    rows, shown = [], []
    for name in devices:
        note(ctx, f"measuring {name} for about {seconds:g} s ...")
        target = detect(name, seconds)
        folder.mkdir(parents=True, exist_ok=True)
        file = write_target(target, _file(folder, name), force)
        rows.append({"file": str(file), "target": target})
        peaks = ", ".join(f"{dtype} {number(target.peak(dtype).value, 'FLOP/s')}" for dtype in target.dtypes)
        bandwidth, dispatch = target.memory_bandwidth, target.host.dispatch.value
        shown.append((str(file), target.name, peaks, number(bandwidth, "B/s"), number(dispatch, "s")))
    heads = ("file", "device", "peaks", ">bandwidth", ">dispatch")
    hint = f"use it: --target {rows[0]['file'] if '/' in str(rows[0]['file']) else './' + str(rows[0]['file'])}"
    show(ctx, rows, [Table("Measured", heads, shown)], as_json=json, notes=[hint])


def _file(folder: Path, device: str) -> Path:
    return folder / {"cpu": "this-cpu.yaml", "cuda": "this-gpu.yaml"}.get(device, f"this-{device}.yaml")


def _present() -> list[str]:
    import torch

    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
