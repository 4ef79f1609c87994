"""Made-up tables of measured kernels, whose latencies follow the physical form with known parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.device import Columns, device_of
from codesign.costmodels.operators.families import gemm_work
from codesign.costmodels.operators.formats import format_of
from codesign.quantity import Array
from codesign.targets import load_target

SYSTEMS = ("a100_sxm", "h100_sxm", "b200_sxm", "rtx_pro_6000_server")
PARAMETERS = np.log([4e-6, 0.7, 0.8, 3.0, 0.6, 1.5, 0.3])


def write_gemm_table(
    folder: Path,
    *,
    count: int = 400,
    noise: float = 0.05,
    changes: dict[str, Array] | None = None,
    bend: float = 0.0,
    seed: int = 0,
) -> Path:
    """Write ``aiconfigurator/gemm.parquet`` and return ``folder``.

    Args:
        folder: Where.
        count: Rows of each of ``SYSTEMS``.
        noise: Standard deviation of ln(latency).
        changes: System -> added to the logarithms of its parameters.
        bend: Times the sine of ln m is added to ln(latency): what only a shape term can know.
        seed: Of shapes and noise.
    """
    import polars as pl

    rng = np.random.default_rng(seed)
    parts = []
    for system in SYSTEMS:
        m, n, k = (np.rint(2.0 ** rng.uniform(low, high, count)) for low, high in ((0, 14), (7, 14), (7, 14)))
        shapes = {"batch": np.ones(count), "m": m, "n": n, "k": k}
        zeros = np.zeros(count, np.int64)
        on = Columns.of([device_of(load_target(system))], zeros, [format_of("bf16")], zeros)
        parameters = PARAMETERS + (changes or {}).get(system, np.zeros(7))
        seconds = physics.seconds(parameters, gemm_work(shapes, on), on)
        seconds = seconds * np.exp(noise * rng.standard_normal(count) + bend * np.sin(np.log(m)))
        parts.append(pl.DataFrame({
            "system": [system] * count, "framework": ["vllm/0.1"] * count, "kernel_source": ["torch"] * count,
            "gemm_dtype": ["bfloat16"] * count, "m": m.astype(np.int32), "n": n.astype(np.int32),
            "k": k.astype(np.int32), "latency_ms": seconds * 1e3,
        }))  # fmt: skip
    path = folder / "aiconfigurator" / "gemm.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.concat(parts).write_parquet(path)
    return folder
