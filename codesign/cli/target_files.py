"""``codesign targets validate`` and ``detect``: target files of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codesign.cli.output import JsonFlag, Table, note, number, show
from codesign.errors import UsageError

if TYPE_CHECKING:
    from codesign.targets import Target


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
    from codesign.targets.spatial import is_spatial, load_architecture

    rows: list[dict[str, Any]] = []
    shown = []
    for file in files:
        if is_spatial(file):
            architecture = load_architecture(file)
            units = [spine.compute.name for spine in architecture.spines()]
            rows.append({"file": file, "id": architecture.id, "units": units})
            shown.append((file, architecture.id, f"spatial: {', '.join(units)}"))
            continue
        target = load_target(file)
        rows.append({"file": file, "id": target.id, "dtypes": list(target.dtypes)})
        shown.append((file, target.id, ", ".join(target.dtypes)))
    show(ctx, rows, [Table("Valid", ("file", "id", "dtypes or units"), shown)], as_json=json)


def detect_command(
    ctx: typer.Context,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: whatever is here.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="File (.yaml) or folder to write; default here.")] = None,
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
    if folder.suffix in (".yaml", ".yml") and len(devices) > 1:
        raise UsageError("two devices and one file", "name a folder, or one --device")
    for name in devices:  # said before half a minute of measuring, not after
        if _file(folder, name).exists() and not force:
            raise UsageError(f"{_file(folder, name)} exists", "choose another --out, or --force to replace it")
    rows: list[dict[str, Any]] = []
    tables = []
    for name in devices:
        note(ctx, f"measuring {name} for about {seconds:g} s ...")
        target = detect(name, seconds)
        file = _file(folder, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file = write_target(target, file, force)
        rows.append({"file": str(file), "target": target})
        tables.append(
            Table(f"{target.name}, measured into {file}", ("number", ">value", ">5 to 95 %"), _measured(target))
        )
    where = str(rows[0]["file"])
    hint = f"use it: --target {where if '/' in where else './' + where}"
    show(ctx, rows, tables, as_json=json, notes=[hint, *(text for row in rows for text in row["target"].notes)])


def _measured(target: Target) -> list[tuple[str, str, str]]:
    """Return (name, value, spread) of what was measured."""
    values = [(f"{dtype} products", target.peak(dtype)) for dtype in target.dtypes]
    values += [("memory bandwidth", target.memory_bandwidth_value), ("one eager operator", target.host.dispatch)]
    return [
        (name, number(v.value, v.unit), f"{number(v.low, v.unit)} to {number(v.high, v.unit)}") for name, v in values
    ]


def _file(folder: Path, device: str) -> Path:
    """Return the file of a device: ``folder`` itself where it names a YAML file."""
    if folder.suffix in (".yaml", ".yml"):
        return folder
    return folder / {"cpu": "this-cpu.yaml", "cuda": "this-gpu.yaml"}.get(device, f"this-{device}.yaml")


def _present() -> list[str]:
    import torch

    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
