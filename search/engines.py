"""The registry of engines: names to thunks, nothing is imported until chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from typing import Any

from codesign.errors import UsageError, nearest
from codesign.search.engine import Engine
from codesign.search.space import Space

ENGINES: dict[str, Callable[[], Callable[..., Engine]]] = {
    "exhaustive": lambda: _load("exhaustive", "Exhaustive"),
    "random": lambda: _load("random_search", "RandomSearch"),
    "nsga2": lambda: _load("nsga2", "Nsga2"),
    "gevo": lambda: _load("gevo", "Gevo"),
    "local": lambda: _load("local_search", "LocalSearch"),
    "islands": lambda: _load("islands", "Islands"),
    "merge": lambda: _load("merge_engine", "Merge"),
}
OPTUNA = "optuna:"


def _load(module: str, name: str) -> Callable[..., Engine]:
    factory: Callable[..., Engine] = getattr(import_module(f"codesign.search.{module}"), name)
    return factory


def check_engine(name: str) -> None:
    """Raise ``UsageError`` with the nearest names unless ``name`` is an engine; imports nothing heavy."""
    if name.startswith(OPTUNA):
        from codesign.search.optuna_engine import check_sampler

        check_sampler(name.removeprefix(OPTUNA))
    elif name not in ENGINES:
        raise UsageError(f"unknown engine {name!r}", nearest(name, [*ENGINES, "optuna:tpe", "optuna:nsga2"]))


def make_engine(
    name: str,
    space: Space,
    *,
    seed: int,
    evaluations: int | None,
    objectives: int,
    options: Mapping[str, Any] | None = None,
) -> Engine:
    """Return the engine ``name`` for ``space``.

    Args:
        name: a key of ``ENGINES`` or ``optuna:<sampler>``.
        space: what it searches.
        seed: all its randomness derives from this.
        evaluations: the budget, None for no limit.
        objectives: how many objectives there are.
        options: the engine's own options, such as ``population``.

    Raises:
        UsageError: unknown engine or option, or an engine that cannot search this space.
    """
    check_engine(name)
    given = dict(options or {})
    if name.startswith(OPTUNA):
        from codesign.search.optuna_engine import OptunaEngine

        factory: Callable[..., Engine] = OptunaEngine
        fixed: dict[str, Any] = {"sampler": name.removeprefix(OPTUNA), "objectives": objectives}
    else:
        factory, fixed = ENGINES[name](), {}
    known = set(signature(factory).parameters) - {"space", "seed", "evaluations", *fixed}
    for option in given:
        if option not in known:
            raise UsageError(f"engine {name} has no option {option!r}", nearest(option, known))
    return factory(space, seed=seed, evaluations=evaluations, **fixed, **given)
