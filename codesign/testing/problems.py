"""Small problems with known answers, for tests of engines, executors and the driver.

They live in the package so that worker processes can import them.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from codesign.search.constraints import parse_where, violations
from codesign.search.parameters import Categorical, Integer, Ordinal, Real
from codesign.search.problem import (
    Breakdown,
    Details,
    Item,
    Metric,
    Objective,
    Points,
    Problem,
    Results,
    Stage,
    Status,
)
from codesign.search.space import BoxSpace


class Tradeoff(Problem):
    """Devices against batch: latency (s) falls and throughput (1/s) rises with devices; cheap, deterministic."""

    name = "tradeoff"
    title = "A toy deployment"
    question = "How many devices, which batch?"
    functional_unit = "request"
    objectives = (Objective("latency", "s", "request"), Objective("throughput", "1/s", better="higher"))
    metrics = (Metric("memory", "B"), Metric("devices", ""))
    space: BoxSpace

    def __init__(self, where: tuple[str, ...] | list[str] = (), real: bool = False, delay: float = 0.0) -> None:
        """Set up with constraints; ``real`` adds a real parameter, ``delay`` seconds per call make it slow."""
        self.where, self.real, self.delay = tuple(where), real, delay
        parameters: list[Any] = [
            Categorical("target", ("h100", "l4", "mi300x")),
            Ordinal("tp", (1, 2, 4, 8)),
            Integer("batch", 1, 64),
        ]
        self.space = BoxSpace([*parameters, Real("clock", 0.5, 1.0)] if real else parameters)
        units = {"latency": "s", "throughput": "1/s", "memory": "B", "devices": ""}
        self.constraints = tuple(parse_where(text, units) for text in where)

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return closed-form results."""
        if self.delay:
            time.sleep(self.delay)
        code = points[:, 0]
        devices = 2.0 ** points[:, 1]
        batch = points[:, 2] + 1.0
        clock = points[:, 3] if self.real else np.ones(len(points))
        speed = np.array([8.0, 1.0, 6.0])[code.astype(int)] * devices**0.8 * clock
        latency = 0.01 + batch / speed / 100.0 + 0.002 * devices
        throughput = batch / latency / devices
        columns = {"latency": latency, "throughput": throughput, "memory": 1e9 * batch, "devices": devices}
        values = np.stack([latency, -throughput], axis=1)
        return Results.make(
            values,
            low=values - 0.1 * np.abs(values),
            high=values + 0.1 * np.abs(values),
            violations=violations(self.constraints, columns, len(points)),
            constraints=self.constraints,
            metrics={"memory": columns["memory"], "devices": devices},
        )

    def baseline(self) -> Points | None:
        """Return one l4 with batch 1."""
        return self.space.encode(target="l4", tp=1, batch=1, **({"clock": 1.0} if self.real else {}))

    def describe(self, point: Points) -> Details:
        """Return a breakdown of the latency."""
        return Details((Breakdown("latency", "s", (Item("floor", 0.01),)),))

    def fingerprint(self) -> dict[str, str]:
        """Return the version of the formulas."""
        return {"formulas": "1"}

    def spec(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"where": list(self.where), "real": self.real, "delay": self.delay}


class Slow(Tradeoff):
    """The same, evaluated one point at a time in two stages, with accidents on request.

    ``log`` names a file that gets a line for every evaluation; ``accidents`` maps a batch size to ``raise``,
    ``exit`` (the process dies) or ``hang``.
    """

    name = "slow"
    stages = (Stage("verify"), Stage("measure", dear=True))

    def __init__(self, delay: float = 0.0, log: str = "", accidents: dict[str, str] | None = None) -> None:
        """Set up."""
        super().__init__()
        self.delay, self.log, self.accidents = delay, log, dict(accidents or {})
        self.isolated = bool({"exit", "hang"} & set(self.accidents.values()))

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return the results of stage ``stage``."""
        if stage == 0:
            results = super().evaluate(points)
            slow = points[:, 2] > 60
            status = np.where(slow, np.uint8(Status.INVALID), np.uint8(Status.OK))
            return Results.make(
                results.objectives,
                status=status,
                reason=np.where(slow, 0, -1),
                reasons=("too slow to measure",),
                metrics=results.metrics,
            )
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{points.tolist()}\n")
        accident = self.accidents.get(str(int(points[0, 2]) + 1))
        if accident == "raise":
            raise ArithmeticError("the measurement went wrong")
        if accident == "exit":
            os._exit(3)
        if accident == "hang":
            time.sleep(600.0)
        return super().evaluate(points)

    def spec(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"delay": self.delay, "log": self.log, "accidents": self.accidents}
