"""Conformance of search engines: what every engine must do on every space it accepts.

Use it from a test: ``for name, check in CHECKS.items(): check(make, space)`` where ``make(seed)`` returns a
fresh engine for ``space``. Each check raises ``AssertionError`` with what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from codesign.search.engine import Engine
from codesign.search.parameters import Categorical, Integer, Ordinal, Real, When
from codesign.search.problem import Points, Results, Status
from codesign.search.space import BoxSpace

Make = Callable[[int], Engine]


def spaces() -> dict[str, BoxSpace]:
    """Return spaces of every kind of parameter, small and large, with and without conditions."""
    return {
        "one point": BoxSpace([Categorical("only", ("a",))]),
        "small finite": BoxSpace([Categorical("a", ("x", "y", "z")), Ordinal("b", (1, 2, 4)), Integer("c", 0, 4)]),
        "conditional": BoxSpace(
            [
                Categorical("method", ("none", "pipeline", "tensor")),
                Ordinal("degree", (2, 4, 8), when=When("method", ("pipeline", "tensor"))),
                Integer("micro", 1, 3, when=When("method", ("pipeline",))),
                Integer("batch", 1, 8),
            ]
        ),
        "large finite": BoxSpace([Integer(f"n{i}", 0, 99) for i in range(4)]),
        "real": BoxSpace([Real("x", -1.0, 1.0), Real("y", 1e-3, 1e3, log=True)]),
        "mixed": BoxSpace(
            [
                Categorical("c", (True, False)),
                Real("x", 0.0, 1.0, when=When("c", (True,))),
                Integer("n", 0, 30),
                Ordinal("o", ("low", "mid", "high")),
            ]
        ),
    }


def evaluate(space: BoxSpace, points: Points) -> Results:
    """Return two smooth, conflicting objectives of the codes; every seventh point of the grid crashes."""
    unit = (points - space.low) / np.where(space.high > space.low, space.high - space.low, 1.0)
    first = (unit**2).mean(axis=1)
    second = ((unit - 1.0) ** 2).mean(axis=1)
    values = np.stack([first, second], axis=1)
    crashed = space.key(points) % np.uint64(7) == 3
    violations = np.maximum(unit[:, :1] - 0.9, 0.0)
    status = np.where(crashed, np.uint8(Status.CRASHED), np.uint8(Status.OK))
    reason = np.where(crashed, 0, -1)
    return Results.make(values, violations=violations, status=status, reason=reason, reasons=("boom",))


def run(engine: Engine, space: BoxSpace, batches: int, size: int | None = None) -> list[Points]:
    """Return the points of ``batches`` batches asked and told."""
    asked = []
    for _ in range(batches):
        points = engine.ask(size or min(engine.batch, 24))
        if not len(points):
            break
        asked.append(points)
        engine.tell(points, evaluate(space, points))
    return asked


def check_bounds(make: Make, space: BoxSpace) -> None:
    """Every point lies in the space, on its grid, with canonical inactive codes."""
    for points in run(make(1), space, 6):
        assert points.shape[1:] == (space.dimensions,), "points have the wrong shape"
        assert np.array_equal(space.repair(points), points), "a point lies outside the space"


def check_count(make: Make, space: BoxSpace) -> None:
    """No batch is longer than asked for."""
    engine = make(1)
    for size in (1, 5, 3, 8):
        points = engine.ask(size)
        assert len(points) <= size, f"asked for {size}, got {len(points)}"
        if len(points):
            engine.tell(points, evaluate(space, points))


def check_determinism(make: Make, space: BoxSpace) -> None:
    """Equal seeds ask for equal points."""
    first, second = run(make(7), space, 6), run(make(7), space, 6)
    assert len(first) == len(second), "the same seed made another number of batches"
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True)), "the same seed asked other points"


def check_resume(make: Make, space: BoxSpace) -> None:
    """A state that went through JSON continues exactly like the engine it came from."""
    whole = run(make(3), space, 7)
    engine = make(3)
    run(engine, space, 3)
    state: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(engine.state()))
    resumed = make(3)
    resumed.restore(state)
    rest = run(resumed, space, 4)
    assert len(rest) == len(whole[3:]), "a restored engine made another number of batches"
    assert all(np.array_equal(a, b) for a, b in zip(rest, whole[3:], strict=True)), "a restored engine went elsewhere"


def check_no_duplicates(make: Make, space: BoxSpace) -> None:
    """No point is asked for twice in a finite space."""
    if space.size is None:
        return
    asked = run(make(5), space, 12)
    keys = space.key(np.concatenate(asked))
    assert len(np.unique(keys)) == len(keys), "a point was asked for twice"


def check_exhaustion(make: Make, space: BoxSpace) -> None:
    """A small finite space is asked completely, then nothing more."""
    if space.size is None or space.size > 1000:
        return
    engine = make(5)
    asked = run(engine, space, 1000)
    assert sum(map(len, asked)) == space.size, f"asked {sum(map(len, asked))} of {space.size} points"
    assert not len(engine.ask(5)), "points were asked of an exhausted space"


def check_all_infeasible(make: Make, space: BoxSpace) -> None:
    """An engine goes on while nothing is feasible, whether rows have values or not."""
    engine = make(2)
    for turn in range(4):
        points = engine.ask(8)
        if not len(points):
            break
        values = np.full((len(points), 2), np.inf if turn % 2 else 1.0)
        status = np.full(len(points), Status.CRASHED if turn % 2 else Status.INFEASIBLE, np.uint8)
        engine.tell(points, Results.make(values, status=status, violations=np.ones((len(points), 1))))


def check_foreign_points(make: Make, space: BoxSpace) -> None:
    """An engine takes in a point that it did not ask for (a baseline)."""
    engine = make(4)
    points = space.sample(np.random.Generator(np.random.Philox(key=9)), 1)
    engine.tell(points, evaluate(space, points))
    run(engine, space, 3)


CHECKS: dict[str, Callable[[Make, BoxSpace], None]] = {
    "bounds": check_bounds,
    "count": check_count,
    "determinism": check_determinism,
    "resume": check_resume,
    "no duplicates": check_no_duplicates,
    "exhaustion": check_exhaustion,
    "all infeasible": check_all_infeasible,
    "foreign points": check_foreign_points,
}
"""Name -> check."""
