"""What a report shows of one deployment: breakdowns, the commands that realise and reproduce it, its inputs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from codesign.costmodels.deployment import price
from codesign.costmodels.explain import group_rows
from codesign.costmodels.factors import LABELS, TIME_FACTORS
from codesign.costmodels.impact import Site
from codesign.costmodels.structure import Load
from codesign.search.digests import digests
from codesign.search.problem import Breakdown, Command, Details, Item
from codesign.search.serving_commands import engines, serving_command
from codesign.targets.grids.grid import LOWEST

if TYPE_CHECKING:
    from codesign.search.deployment import Deployment


def details(problem: Deployment, values: dict[str, Any]) -> Details:
    """Return the details of the design with these parameter values."""
    asked = problem.asked
    structure = problem.structure(values)
    target = problem.targets[values["target"]]
    load = Load(
        values["batch"], asked.prompt, asked.generate, values["replicas"], asked.rate,
        power_limit=power_limit(problem, values),
    )  # fmt: skip
    priced = price(problem.model, target, structure, load, asked.site)
    breakdowns = []
    for title, once, cost in zip(("prefill", "decode"), ("one prefill", "one decode step"), priced.phases, strict=True):
        rows = group_rows(cost)[:12]
        items = tuple(Item(row.group, row.seconds) for row in rows)
        breakdowns.append(Breakdown(f"Device time of {once} by kernel", "s", items))
        slopes = cost.seconds.take(slice(0, 1)).slopes[:, 0]
        bound = tuple(Item(LABELS[f], float(slopes[f])) for f in TIME_FACTORS if slopes[f] > 0)
        breakdowns.append(Breakdown(f"Whole time of {title} by what binds it", "s", bound))
    memory = tuple(Item(name, float(np.max(size))) for name, size in priced.memory.items())
    breakdowns.append(Breakdown("Memory of the fullest device", "B", memory))
    carbon = priced.estimate.shares("carbon_per_million_tokens")
    breakdowns.append(
        Breakdown("What carries the uncertainty of carbon", "", tuple(Item(k, v) for k, v in carbon.items()))
    )
    point = {
        **values,
        "checkpoint": problem.model.checkpoint or problem.model.name,
        "context": asked.prompt + asked.generate,
        "execution": asked.execution,
        "mode": asked.mode,
        "chunk": asked.chunk,
    }
    commands = [Command("reproduce this estimate", reproduce(problem, values))]
    commands += [serving_command(engine, point) for engine in engines()]
    watts = power_limit(problem, values)
    if watts is not None and watts < target.power.tdp.value:
        commands += [
            Command(
                "set the power limit of every device",
                f"nvidia-smi --power-limit={watts:.0f}",
                () if target.vendor == "NVIDIA" else (f"a command of NVIDIA; {target.name} has its own",),
            )
        ]
    return Details(tuple(breakdowns), tuple(commands), priced.estimate.notes)


def power_limit(problem: Deployment, values: dict[str, Any]) -> float | None:
    """Return the power limit of a design in W, None where the search leaves it at the design power."""
    if "power_limit" not in values:
        return None
    return float(values["power_limit"]) / 100.0 * problem.targets[values["target"]].power.tdp.value


def reproduce(problem: Deployment, values: dict[str, Any]) -> str:
    """Return the ``codesign estimate`` command of a design."""
    asked = problem.asked
    words = ["codesign estimate", shlex.quote(asked.model), f"--target {shlex.quote(problem.given[values['target']])}"]
    words += [f"--dtype {values['dtype']}"]
    words += [f"--{name} {values[name]}" for name in ("tp", "pp", "ep", "nodes", "replicas") if values[name] != 1]
    words += [f"--batch {values['batch']}", f"--prompt {asked.prompt}", f"--generate {asked.generate}"]
    words += [f"--mode {asked.mode}"] + ([f"--execution {asked.execution}"] if asked.execution != "auto" else [])
    words += [f"--chunk {asked.chunk}"] if asked.chunk else []
    words += [f"--framework {asked.framework}"] if asked.framework else []
    words += [f"--rate {asked.rate!r}"] if asked.rate else []
    watts = power_limit(problem, values)
    words += [f"--power-limit '{watts:g} W'"] if watts is not None else []
    site = {"grid": "grid", "pue": "pue", "lifetime_years": "lifetime", "utilisation": "utilisation"}
    default = Site()
    stated = {option: getattr(asked.site, name) for name, option in site.items()
              if getattr(asked.site, name) != getattr(default, name)}  # fmt: skip
    if asked.site.grid_named:
        stated["grid"] = asked.site.grid_named
    elif 0.0 < asked.site.grid < LOWEST:
        stated["grid"] = f"{asked.site.grid!r} g/kWh"  # a bare number this small is taken for kg
    words += [f"--{option} {shlex.quote(str(value))}" for option, value in stated.items()]
    words += [f"--overlay {shlex.quote(asked.overlay)}"] if asked.overlay else []
    return " ".join(words)


def fingerprint(problem: Deployment) -> dict[str, str]:
    """Return input name -> digest of content: model, targets, question, package version."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        package = version("codesign")
    except PackageNotFoundError:
        package = "source tree"
    inputs: dict[str, Any] = {
        "question": msgspec.to_builtins(problem.asked),
        "package": package,
        "model": problem.model.describe(),
    }
    inputs |= {f"target {name}": msgspec.to_builtins(target) for name, target in problem.targets.items()}
    return digests(inputs)
