"""Made-up run directories of any size, for tests and benchmarks of reports: same seed, same bytes.

The numbers follow no hardware. Names can be made hostile, to show that a report treats them as text.
"""

# ruff: noqa: E501  (rows of made-up data read better on one line)
from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

HOSTILE = "</script><script>alert(1)</script>"
"""A name that would run as a script in a page that does not escape."""

_OBJECTIVES = (
    ("latency", "s", "request", "lower"),
    ("energy", "J", "output token", "lower"),
    ("throughput", "1/s", "device", "higher"),
    ("cost", "$", "million output tokens", "lower"),
    ("carbon", "gCO2e", "million output tokens", "lower"),
)
_TARGETS = ("h100-sxm", "a100-80gb-sxm", "l4", "mi300x")


def synthetic_run(
    path: Path, *, trials: int = 200, objectives: int = 3, seed: int = 0, hostile: bool = False, baseline: bool = True
) -> Path:
    """Write a run directory with ``trials`` kept trials and return its path.

    Args:
        path: the directory to make.
        trials: rows of ``trials.parquet``.
        objectives: 1 to 5.
        seed: of the Philox generator.
        hostile: put markup into every text.
        baseline: mark trial 0 as the baseline.
    """
    import polars

    from codesign.search.knee import knee
    from codesign.search.pareto import nondominated

    path.mkdir(parents=True)
    generator = np.random.Generator(np.random.Philox(seed))
    chosen = _OBJECTIVES[:objectives]
    columns, shown, minimised, status = _rows(generator, trials, chosen, hostile)
    ok = np.flatnonzero(status == "ok")
    front = ok[nondominated(minimised[ok])]
    best = knee(minimised[front])
    columns["knee"] = [bool(i == front[best]) for i in range(trials)]
    columns["baseline"] = [baseline and i == 0 for i in range(trials)]
    columns["front"] = np.isin(np.arange(trials), front).tolist()
    polars.DataFrame(columns, strict=False).write_parquet(path / "trials.parquet")
    (path / "front.json").write_bytes(msgspec.json.encode(_front(columns, front, status, trials, chosen, hostile)))
    (path / "run.json").write_bytes(msgspec.json.encode(_meta(trials, chosen, seed, hostile, baseline, shown)))
    return path


def _rows(
    generator: np.random.Generator, trials: int, chosen: Any, hostile: bool
) -> tuple[dict[str, list[Any]], NDArray[np.float64], NDArray[np.float64], NDArray[Any]]:
    names = [HOSTILE, 'a"b', "a'b & c", "a|b_c%$"] if hostile else list(_TARGETS)
    target = generator.integers(0, 4, trials)
    tp, batch = 2 ** generator.integers(0, 4, trials), 2 ** generator.integers(0, 9, trials)
    dtype = generator.integers(0, 3, trials)
    speed = np.array([8.0, 4.0, 1.0, 7.0])[target] * tp**0.8 * np.array([1.0, 1.6, 2.2])[dtype]
    latency = (0.4 + 0.03 * batch) / speed * generator.lognormal(0, 0.1, trials)
    power = np.array([700.0, 400.0, 72.0, 750.0])[target] * tp
    rate = batch * 60 / latency / tp
    cost = np.array([3.0, 1.6, 0.6, 2.8])[target] * tp / rate * 30
    every = [latency, power * latency / batch / 60, rate, cost, power * latency / batch * 5 + 30 * tp / batch]
    values = np.stack([every[i] for i in range(len(chosen))], axis=1)
    sign = np.array([-1.0 if o[3] == "higher" else 1.0 for o in chosen])
    status = np.where(latency > np.quantile(latency, 0.9), "infeasible", "ok").astype(object)
    columns: dict[str, list[Any]] = {
        "id": list(range(trials)),
        "target": [names[i] for i in target],
        "dtype": [("bf16", "fp8", "int4")[i] for i in dtype],
        "tp": tp.tolist(),
        "batch": batch.tolist(),
        "replicas": generator.integers(1, 9, trials).tolist(),
        "chunk": [None if i % 3 else 512 for i in range(trials)],
        "clock": (1e9 * generator.uniform(1.0, 1.98, trials)).tolist(),
    }
    spread = generator.uniform(1.05, 1.4, values.shape)
    for i, objective in enumerate(chosen):
        columns[objective[0]] = values[:, i].tolist()
        columns[objective[0] + "_low"] = (values[:, i] / spread[:, i]).tolist()
        columns[objective[0] + "_high"] = (values[:, i] * spread[:, i]).tolist()
        columns[objective[0] + "_source"] = [("calibrated", "analytical, assumed inputs")[int(t == 3)] for t in target]
    columns |= {"memory": (2e10 * batch**0.3 / tp).tolist(), "power": power.tolist()}
    columns |= {"tokens_per_user": (60 / latency).tolist(), "tokens_per_device": rate.tolist()}
    reason = "latency <= limit" + (HOSTILE if hostile else "")
    columns |= {"status": status.tolist(), "reason": [None if s == "ok" else reason for s in status]}
    columns["unknown_quality"] = [bool(d == 2 and t == 2) for d, t in zip(dtype, target, strict=True)]
    return columns, values, values * sign, status


def _front(
    columns: dict[str, list[Any]], front: Any, status: Any, trials: int, chosen: Any, hostile: bool
) -> dict[str, Any]:
    text = HOSTILE if hostile else ""
    steps = sorted({max(1, trials * k // 20) for k in range(1, 21)})
    details = {
        str(columns["id"][row]): {
            "breakdowns": [
                {"title": "time of decode" + text, "unit": "s", "items": _items(columns["latency"][row], text)},
                {"title": "memory", "unit": "B", "items": _items(columns["memory"][row], text)},
            ],
            "commands": [{"title": "vLLM" + text, "text": f"vllm serve m --tensor-parallel-size {columns['tp'][row]}{text}", "notes": [f"note {text}"]}],
            "notes": ["a note " + text],
        }
        for row in front[:100]
    }  # fmt: skip
    measured = [
        {"id": int(columns["id"][row]), "objective": name, "unit": unit, "predicted": columns[name][row],
         "measured": columns[name][row] * 1.07, "low": columns[name + "_low"][row], "high": columns[name + "_high"][row]}
        for name, unit, _, _ in chosen[:2] for row in front[:5]
    ]  # fmt: skip
    infeasible = int((status == "infeasible").sum())
    return {
        "schema_version": 1,
        "columns": {name: [values[row] for row in front] for name, values in columns.items() if name not in ("status", "reason", "front")},
        "history": [{"evaluations": s, "hypervolume": 1.0 - 0.8 ** (20 * s / trials), "front_size": 3, "seconds": s * 1e-4} for s in steps],
        "details": details,
        "status_counts": {"ok": trials - infeasible, "infeasible": infeasible},
        "reasons": {"latency <= limit" + text: infeasible} if infeasible else {},
        "verification": {"rounds": 1, "coverage": 0.9, "rows": measured},
    }  # fmt: skip


def _items(total: float, text: str) -> list[dict[str, Any]]:
    shares = (0.42, 0.25, 0.18, 0.1, 0.05)
    names = ("attention", "mlp" + text, "all-reduce", "launch", "sampling")
    return [{"label": n, "value": total * s} for n, s in zip(names, shares, strict=True)]


def _meta(
    trials: int, chosen: Any, seed: int, hostile: bool, baseline: bool, values: NDArray[np.float64]
) -> dict[str, Any]:
    text = HOSTILE if hostile else ""
    limit = float(np.quantile(values[:, 0], 0.9))
    kinds = [("target", "categorical", ""), ("dtype", "categorical", ""), ("tp", "ordinal", ""), ("batch", "ordinal", ""),
             ("replicas", "integer", ""), ("chunk", "ordinal", ""), ("clock", "real", "Hz")]  # fmt: skip
    metrics = [("memory", "B"), ("power", "W"), ("tokens_per_user", "1/s"), ("tokens_per_device", "1/s")]
    return {
        "schema_version": 1,
        "command": "search deployment",
        "argv": ["codesign", "search", "deployment", "llama-3.1-8b" + text, "--target", ",".join(_TARGETS)],
        "created": "2000-01-01T00:00:00+0000",
        "wall_s": 1.5,
        "status": "finished",
        "versions": {"codesign": "0", "python": "3", "numpy": "2"},
        "host": {"processor": "made-up processor", "cores": 2, "gpu": None},
        "seed": seed,
        "engine": "nsga2",
        "deterministic": True,
        "evaluations": trials,
        "spec": {"problem": "deployment", "spec": {"model": "llama-3.1-8b" + text, "targets": list(_TARGETS)}},
        "problem": {
            "name": "deployment",
            "title": "Deployments of llama-3.1-8b" + text,
            "question": "Which accelerator, precision and sharding serve it best?" + text,
            "functional_unit": "output token",
            "parameters": [{"name": n, "kind": k, "unit": u} for n, k, u in kinds],
            "objectives": [{"name": n, "unit": u, "functional_unit": p, "better": b} for n, u, p, b in chosen],
            "metrics": [{"name": n, "unit": u} for n, u in metrics],
            "constraints": [{"text": f"latency <= {limit:.3g} s{text}", "metric": "latency", "op": "<=", "limit": limit, "unit": "s"}],
            "views": [["tokens_per_user", "tokens_per_device"]],
            "reference_point": [float(v) for v in values.max(axis=0)],
            "baseline": 0 if baseline else None,
            "sources": ["h100-sxm: gemm rate calibrated" + text, "l4: bandwidth published"],
        },
    }  # fmt: skip
