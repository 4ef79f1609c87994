"""Record the models of the documentation on this machine's GPU: profiles with energy, and compact traces.

python benchmarks/record_gpu.py --out tests/recordings/gpu            # all of it, about ten minutes on one H200
python benchmarks/record_gpu.py --out tests/recordings/gpu --dry-run  # what is there and what is missing
python benchmarks/record_gpu.py --out /tmp/r --device cpu --models bert-base --layers 1 --batches 1,2

Each recording is one model, execution and batch size: ``NAME.json`` (profile, energy) and ``NAME.trace`` (the first
passes of the profiled trace, which ``codesign profile`` reads). Finished ones are skipped, so it can be started again;
it stops before a recording that ``--budget`` may not hold. Without a GPU it ends with exit status 3.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from codesign.errors import CodesignError, UsageError
from codesign.profilers.api import profile
from codesign.profilers.energy import choose_meter
from codesign.profilers.iterations import first_passes
from codesign.profilers.readers.recording import write_recording
from codesign.profilers.results import Profile
from codesign.profilers.torch_cuda import check_device
from codesign.profilers.transition import Transition, latency_knee, share_crossing
from codesign.run.directory import write_file

MODELS = ("llama-3.2-1b", "bert-base", "resnet-50", "vit-b-16")
EXECUTIONS = ("eager", "graph", "compiled")
BATCHES = (1, 2, 4, 8, 16, 32, 64)
COMPILED_BATCHES = (1, 4, 16, 64)
"""Compiling takes longer than everything else of a recording, and once for each batch size."""

KEPT_PASSES = 5
INDEX = "index.json"


class Cell(NamedTuple):
    """One recording."""

    model: str
    execution: str
    batch: int

    @property
    def name(self) -> str:
        """Return the name of its files."""
        return f"{self.model}-{self.execution}-b{self.batch}"


def cells(options: argparse.Namespace) -> list[Cell]:
    """Return every recording asked for; what takes longest to prepare comes last."""
    batches = options.batches or BATCHES
    found = []
    for execution in options.executions:
        compiled = options.batches or COMPILED_BATCHES
        found += [
            Cell(m, execution, b) for m in options.models for b in (compiled if execution == "compiled" else batches)
        ]
    return found


def finished(cell: Cell, out: Path) -> bool:
    """Return whether both files of a recording are there; the profile is written last."""
    return (out / f"{cell.name}.json").exists() and (out / f"{cell.name}.trace").exists()


def record(cell: Cell, options: argparse.Namespace, meter: Any) -> Profile:
    """Profile one cell and write its files."""

    def keep(_: int, trace: Any) -> None:
        write_recording(first_passes(trace, KEPT_PASSES), options.out / f"{cell.name}.trace")

    found = profile(
        cell.model, device=options.device, batches=(cell.batch,), dtype=options.dtype, layers=options.layers,
        execution=cell.execution, seconds=options.seconds, meter=meter, on_trace=keep, threads=options.threads,
    )  # fmt: skip
    write_file(options.out / f"{cell.name}.json", found.to_json())
    return found


def record_all(options: argparse.Namespace, wanted: list[Cell]) -> int:
    """Record what is missing, and return how many recordings the budget left out."""
    start, longest = time.perf_counter(), 0.0
    choice = choose_meter(options.device)
    if choice.reason:
        print(f"no energy: {choice.reason}", file=sys.stderr)
    try:
        for number, cell in enumerate(wanted):
            begun = time.perf_counter()
            if begun - start + longest > options.budget:
                return len(wanted) - number
            found = record(cell, options, choice.meter).batches[0]
            longest = max(longest, time.perf_counter() - begun)
            joules = found.energy.joules if found.energy else None
            told = f", {joules.value:.3g} J" if joules else ""
            share = f"{found.split.compute_fraction:.0%}"
            print(f"{cell.name}: {found.latency.median * 1e3:.3f} ms, compute share {share}{told}")
    finally:
        if choice.meter is not None:
            choice.meter.close()
        write_file(options.out / INDEX, msgspec.json.format(msgspec.json.encode(index(options)), indent=1))
    return 0


def index(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is recorded: machine, versions, latencies, and where each model turns from host to device."""
    from torch import __version__, version

    found: dict[tuple[str, str], list[Profile]] = {}
    for path in sorted(options.out.glob("*.json")):
        if path.name != INDEX:
            one = msgspec.json.decode(path.read_bytes(), type=Profile)
            found.setdefault((one.model, one.execution), []).append(one)
    return {
        "device": next((p.device_name for group in found.values() for p in group), ""), "driver": driver(),
        "torch": str(__version__), "cuda": version.cuda, "hip": getattr(version, "hip", None),
        "sweeps": [sweep(*key, group) for key, group in sorted(found.items())],
    }  # fmt: skip


def sweep(model: str, execution: str, profiles: list[Profile]) -> dict[str, Any]:
    """Return latency over batch of one model and where it turns, by the active share and by the knee of latency."""
    batches = sorted((p.batches[0] for p in profiles), key=lambda b: b.batch)
    sizes = [b.batch for b in batches]
    turns: list[Transition] = [
        share_crossing(sizes, [b.shares for b in batches], seed=0),
        latency_knee(sizes, [b.passes for b in batches], seed=0),
    ]
    return {
        "model": model, "execution": execution, "dtype": profiles[0].dtype, "batches": sizes,
        "latency_s": [b.latency.median for b in batches], "active_share": [b.split.compute_fraction for b in batches],
        "energy_j": [b.energy.joules.value if b.energy and b.energy.joules else None for b in batches],
        "transitions": turns,
    }  # fmt: skip


def driver() -> str | None:
    """Return the version of NVIDIA's driver, where its tool is here."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=30.0, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().partition("\n")[0] or None if done.returncode == 0 else None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu to try it out")
    parser.add_argument("--models", type=_names, default=MODELS)
    parser.add_argument("--batches", type=_numbers, help="default 1 to 64; compiled 1, 4, 16, 64")
    parser.add_argument("--executions", type=_names, help="default eager, graph (on a GPU), compiled")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seconds", type=float, default=1.0, help="of timed passes of each recording")
    parser.add_argument("--budget", type=float, default=570.0, help="seconds after which no recording is started")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args(arguments)
    options.executions = options.executions or (("eager", "compiled") if options.device == "cpu" else EXECUTIONS)
    unknown = set(options.executions) - set(EXECUTIONS)
    if unknown:
        raise UsageError(f"execution {min(unknown)!r} is unknown", f"one of {', '.join(EXECUTIONS)}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Record, or say in one line why not."""
    try:
        options = parsed(arguments)
        asked = cells(options)
        wanted = [cell for cell in asked if not finished(cell, options.out)]
        if options.dry_run:
            for cell in asked:
                print(f"{cell.name}: {'missing' if cell in wanted else 'recorded'}")
            return 0
        check_device(options.device)
        options.out.mkdir(parents=True, exist_ok=True)
        left = record_all(options, wanted)
    except CodesignError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    if left:
        print(f"{left} recordings did not fit the budget: start it again", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
