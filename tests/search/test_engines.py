"""Every engine passes the conformance suite on every space it accepts; ours beat random search."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from codesign.errors import UsageError
from codesign.search.engines import ENGINES, check_engine, make_engine
from codesign.search.hypervolume import hypervolume
from codesign.search.parameters import Real
from codesign.search.problem import Results
from codesign.search.space import BoxSpace
from codesign.testing.engines import CHECKS, spaces

SPACES = spaces()


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("engine", ENGINES)
def test_conformance(engine: Any, space: Any, check: Any) -> None:
    box = SPACES[space]
    if engine == "merge":
        with pytest.raises(UsageError, match="whole model only"):
            make_engine(engine, box, seed=0, evaluations=None, objectives=2)
        return
    if engine == "exhaustive" and box.size is None:
        with pytest.raises(UsageError, match="finite"):
            make_engine(engine, box, seed=0, evaluations=None, objectives=2)
        return
    CHECKS[check](lambda seed: make_engine(engine, box, seed=seed, evaluations=200, objectives=2), box)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("space", ["one point", "conditional", "mixed"])
@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_optuna_conformance(sampler: Any, space: Any, check: Any) -> None:
    pytest.importorskip("optuna")
    box = SPACES[space]
    name = f"optuna:{sampler}"
    options = {"population": 6}
    CHECKS[check](lambda seed: make_engine(name, box, seed=seed, evaluations=40, objectives=2, options=options), box)


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UsageError, match="nsga2"):
        check_engine("nsga")
    with pytest.raises(UsageError, match="tpe"):
        check_engine("optuna:tpee")
    with pytest.raises(UsageError, match="population"):
        make_engine("nsga2", SPACES["real"], seed=0, evaluations=None, objectives=2, options={"populaton": 3})
    with pytest.raises(UsageError, match="one objective"):
        make_engine("optuna:cmaes", SPACES["real"], seed=0, evaluations=10, objectives=2)


def test_optuna_takes_box_spaces_only() -> None:
    class Other:
        size = None

    with pytest.raises(UsageError, match="box spaces only"):
        make_engine("optuna:tpe", cast(Any, Other()), seed=0, evaluations=10, objectives=1)


def zdt1(x: Any) -> Any:
    g = 1.0 + 9.0 * x[:, 1:].mean(axis=1)
    return np.stack([x[:, 0], g * (1.0 - np.sqrt(x[:, 0] / g))], axis=1)


def dtlz2(x: Any) -> Any:
    g = 1.0 + ((x[:, 2:] - 0.5) ** 2).sum(axis=1)
    a, b = x[:, 0] * np.pi / 2, x[:, 1] * np.pi / 2
    return g[:, None] * np.stack([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)], axis=1)


def volume(function: Any, width: Any, engine: Any, reference: Any, evaluations: Any) -> Any:
    space = BoxSpace([Real(f"x{i}", 0.0, 1.0) for i in range(width)])
    search = make_engine(engine, space, seed=11, evaluations=evaluations, objectives=len(reference))
    values: list[Any] = []
    while sum(len(part) for part in values) < evaluations:
        points = search.ask(search.batch)
        values.append(function(points))
        search.tell(points, Results.make(values[-1]))
    return hypervolume(np.concatenate(values), reference)


ZDT1_BEST = 1.1**2 - 1.0 / 3.0
"""Area below (1.1, 1.1) and above f2 = 1 - sqrt(f1), whose integral over [0, 1] is 1/3 (0 beyond)."""


@pytest.mark.parametrize("engine", ["nsga2", "local"])
def test_zdt1_against_random(engine: Any) -> None:
    ours = volume(zdt1, 10, engine, [1.1, 1.1], 4000)
    chance = volume(zdt1, 10, "random", [1.1, 1.1], 4000)
    assert ours <= ZDT1_BEST + 1e-9
    assert ours > 0.9 * ZDT1_BEST if engine == "nsga2" else ours > chance + 0.1
    assert ours > chance + 0.1


def test_dtlz2_against_random() -> None:
    best = 1.1**3 - np.pi / 6.0  # the box less an eighth of the unit ball
    ours = volume(dtlz2, 7, "nsga2", [1.1] * 3, 4000)
    chance = volume(dtlz2, 7, "random", [1.1] * 3, 4000)
    assert chance < ours <= best
    assert ours > 0.9 * best
