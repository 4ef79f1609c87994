"""Forward latency of whole models as the sum of their operators, against 35 measured runs in fp32 on five GPUs.

python benchmarks/whole_models.py --data kernels     # holds neusight/ops.parquet, neusight/e2e_forward_ops.parquet

Ours: the device among those fitted on; left out; left out, times one scalar; left out, calibrated with 16 kernels.
The scalar is the median of ln(measured / predicted) over the other runs of that device. Peers were fitted on these
devices, their predictions come with the runs. Then products alone: each device left out, with measurements of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
from whole_model_runs import Runs, read_runs

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.experts import EXPERTS
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.family_model import FamilyModel, on_device
from codesign.costmodels.operators.fit import calibrated, fit_family, predict, rows_of, shape_term
from codesign.costmodels.operators.protocols import spread_out
from codesign.costmodels.operators.tables import Rows, read_tables
from codesign.quantity import Array
from codesign.targets import load_target

KERNELS = {"gemm": 12, "vector": 4}
"""Family -> how many of the 16 kernels that calibrate are of it."""

EXPERT = {"gemm": "gemm-32", "vector": "vector-32"}
POINTS = (4, 16, 32)
DRAWS = 5

Models = Mapping[str, FamilyModel]
"""By family."""


def read(data: Path) -> dict[str, Rows]:
    """Return the measured fp32 kernels, by family, of devices that the runs are of."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "neusight").symlink_to((data / "neusight").absolute())
        tables = read_tables(Path(folder))
    found = {}
    for family, name in EXPERT.items():
        rows = rows_of(next(expert for expert in EXPERTS if expert.name == name), tables)
        assert rows is not None
        nvidia = [number for number, device in enumerate(rows.devices) if device.vendor == "NVIDIA"]
        found[family] = rows.take(np.isin(rows.device, nvidia))
    return found


def fitted(rows: Mapping[str, Rows], without: str | None = None) -> dict[str, FamilyModel]:
    """Return the models of both families, fitted without one device."""
    found = {}
    for family, name in EXPERT.items():
        expert = next(expert for expert in EXPERTS if expert.name == name)
        of_family = rows[family]
        out = [number for number, device in enumerate(of_family.devices) if device.id == without]
        found[family] = fit_family(expert, of_family.take(~np.isin(of_family.device, out)))
    return found


def total(models: Models, runs: Runs, device: str) -> Array:
    """Return the seconds of each run on ``device``; 0 of others.

    What the harness of single kernels adds to each, the floor of vector operators, is not paid within a model; but a
    kernel takes at least what its host needs to launch it.
    """
    seconds = np.zeros(len(runs.seconds))
    here = {family: on_device(model, device) for family, model in models.items()}
    vector = here["vector"]
    harness = float(np.exp(vector.pooled[0] + vector.change[0] + vector.level) - np.exp(physics.PRIOR[0]))
    host = load_target(device).host
    launch = host.dispatch.value if host is not None else float(np.exp(physics.PRIOR[0]))
    for family, part in runs.parts.items():
        mine = np.flatnonzero(np.array(runs.devices)[part.run] == device)
        each = np.maximum(predict(here[family], part.rows.take(mine)) - harness, launch)
        np.add.at(seconds, part.run[mine], each * part.repeats[mine])
    return seconds


def over(models: Mapping[str, Models], runs: Runs) -> Array:
    """Return the seconds of each run by the models for its device."""
    return np.asarray(sum(total(of_device, runs, device) for device, of_device in models.items()))


def held_out(rows: Rows, device: str) -> Rows:
    """Return the rows of ``device`` that their source set apart."""
    number = [found.id for found in rows.devices].index(device)
    return rows.take((rows.device == number) & rows.held_out)


def moved(models: Models, rows: Mapping[str, Rows], device: str, seed: int) -> dict[str, FamilyModel]:
    """Return ``models`` calibrated with 16 kernels of ``device``."""
    rng, found = np.random.default_rng(seed), {}
    for family, count in KERNELS.items():
        mine = held_out(rows[family], device)
        found[family] = calibrated(models[family], mine.take(spread_out(roofline(mine), count, rng)))
    return found


def roofline(rows: Rows) -> Array:
    """Return the roofline of each row, s."""
    on = rows.columns
    return physics.bound(FAMILIES[rows.family].work(rows.shapes, on), on)


def scaled(predicted: Array, runs: Runs) -> Array:
    """Return predictions times the scalar of the other runs of their device."""
    left, devices, found = np.log(runs.seconds / predicted), np.array(runs.devices), predicted.copy()
    for row, device in enumerate(runs.devices):
        others = devices == device
        others[row] = False
        found[row] *= np.exp(np.median(left[others]))
    return found


def show_runs(ways: Mapping[str, list[Array]], runs: Runs) -> None:
    """Print mean error by device, and mean, median and maximum over all runs, %, of each way to predict."""
    devices = np.array(runs.devices)
    names = sorted(set(runs.devices))
    print("| mean error, % | " + " | ".join(f"{name} ({(devices == name).sum()})" for name in names)
          + " | all: mean / median / max |")  # fmt: skip
    print("|---" * (len(names) + 2) + "|")
    for way, draws in ways.items():
        error = 100.0 * np.mean([np.abs(predicted / runs.seconds - 1.0) for predicted in draws], axis=0)
        cells = [f"{error[devices == name].mean():.1f}" for name in names]
        print(f"| {way} | {' | '.join(cells)} | {error.mean():.1f} / {np.median(error):.1f} / {error.max():.1f} |")


def show_products(left_out: Mapping[str, Models], rows: Mapping[str, Rows]) -> None:
    """Print the mean error of products on each device left out, without and with measurements of it, %."""
    print("\n| mean error, % | product | rows | roofline | ours | + 4 | + 16 | + 32 points |")
    print("|---|---|---|---|---|---|---|---|")
    for device, models in left_out.items():
        tested = held_out(rows["gemm"], device)
        for name, mask in (("linear", tested.shapes["batch"] == 1), ("bmm", tested.shapes["batch"] > 1)):
            some = tested.take(mask)
            term, roof = shape_term(models["gemm"], some), roofline(some)
            cells = [np.abs(found / some.seconds - 1.0).mean() for found in (roof, predict(models["gemm"], some, term))]
            for count in POINTS:
                errors = []
                for seed in range(DRAWS):
                    at = spread_out(roof, count, np.random.default_rng(seed))
                    model = calibrated(models["gemm"], some.take(at), term[at])
                    errors.append(np.abs(predict(model, some, term) / some.seconds - 1.0).mean())
                cells.append(np.mean(errors))
            print(
                f"| {device} | {name} | {len(some):,} | " + " | ".join(f"{100.0 * cell:.1f}" for cell in cells) + " |"
            )


def main() -> None:
    """Fit, predict, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    runs, rows = read_runs(data / "neusight" / "e2e_forward_ops.parquet"), read(data)
    devices = sorted(set(runs.devices))
    seen = fitted(rows)
    left_out = {device: fitted(rows, device) for device in devices}
    out = over(left_out, runs)
    few = [
        over({device: moved(left_out[device], rows, device, seed) for device in devices}, runs) for seed in range(DRAWS)
    ]
    ways = {"ours, seen": [over(dict.fromkeys(devices, seen), runs)], "ours, left out": [out],
            "ours, left out + scalar": [scaled(out, runs)], "ours, left out + 16 kernels": few}  # fmt: skip
    for peer, predicted in runs.peers.items():
        ways |= {peer: [predicted], f"{peer} + scalar": [scaled(predicted, runs)]}
    show_runs(ways, runs)
    show_products(left_out, rows)


if __name__ == "__main__":
    main()
