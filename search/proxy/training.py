"""Training a proxy: a regression a target, chosen by cross-validation, scored on designs it never saw.

Designs are put in an order of their own first, equal ones averaged, so that neither the order of the rows nor repeats
decide anything, and no held-out design has a twin among the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.regression import CANDIDATES, Candidate, Features, Regressor, fit_candidate, fit_plane
from codesign.costmodels.scores import Score, score
from codesign.errors import DataError, UsageError
from codesign.quantity import Array
from codesign.run import versions
from codesign.search.proxy.features import features_of, matrix
from codesign.search.proxy.model import VERSION, Card, Proxy, Target, restore
from codesign.search.space import BoxSpace, Codes

HELD_OUT = 0.2
"""Share of the designs that is held out."""
FOLDS = 5
LEAST_DESIGNS = 60
"""Fewer different designs with a value than this are refused: a held-out part of a dozen says nothing."""
MOST_DESIGNS = 20_000
"""More are sampled: trees grow with the designs, what they gain does not."""
COVERAGE = 0.9
EQUAL = 1e-9
"""A target that varies by less than this share of its size is constant."""


class Column(NamedTuple):
    """One number to learn: ``values`` (N,) in ``unit`` per ``functional_unit``, NaN where unknown."""

    name: str
    unit: str
    values: Array
    functional_unit: str = ""


class Table(NamedTuple):
    """Evaluated designs.

    Attributes:
        space: Of the designs.
        points: The designs, (N, D).
        columns: What to learn of them.
        problem: Name of the problem.
        fingerprint: Digests of what decided the values.
    """

    space: BoxSpace
    points: Codes
    columns: tuple[Column, ...]
    problem: str = ""
    fingerprint: dict[str, str] = {}  # noqa: RUF012


def fit_proxy(table: Table, *, seed: int = 0, progress: Callable[[str], None] = lambda text: None) -> Proxy:
    """Return the proxy of ``table``; the same designs and seed give the same proxy, in whatever order they come.

    Args:
        table: Evaluated designs.
        seed: Of the split, the folds and the trees.
        progress: Told what is fitted now.

    Raises:
        UsageError: fewer than ``LEAST_DESIGNS`` designs have a value, or all have the same.
        DataError: there are not as many values as designs.
    """
    import sklearn.ensemble  # noqa: F401 - limits reach only the libraries that are loaded by then
    from threadpoolctl import threadpool_limits

    points, columns = _designs(table, seed)
    features = features_of(table.space)
    given = matrix(table.space, features, points)
    draw = np.random.Generator(np.random.Philox(key=seed)).permutation(len(points))
    for column in columns:
        _check(column)
    fitted = []
    with threadpool_limits(1):  # a few thousand rows keep no more than one busy; more wait for each other
        for column in columns:
            progress(f"fitting {column.name}")
            known = np.isfinite(column.values)
            mine = column._replace(values=column.values[known])
            fitted.append(_fit(mine, given[known], np.argsort(draw[known]), seed))
    packages = versions(("numpy", "scikit-learn"))
    targets = tuple(target for target, _ in fitted)
    card = Card(VERSION, table.problem, seed, table.space.parameters, targets, table.fingerprint, packages)
    return Proxy(card, table.space, features, tuple(regressor for _, regressor in fitted))


def _designs(table: Table, seed: int) -> tuple[Codes, list[Column]]:
    """Return the different designs in an order that is theirs, with the mean of each target, NaN where unknown."""
    for column in table.columns:
        if column.values.shape != (len(table.points),):
            raise DataError(
                f"{column.name!r} has {column.values.size} values for {len(table.points)} designs", "one value a design"
            )
    order = np.lexsort([*(column.values for column in table.columns), *table.points.T])
    points, place = np.unique(table.points[order], axis=0, return_inverse=True)
    columns = []
    for column in table.columns:
        values = column.values[order]
        known = np.isfinite(values)
        count = np.bincount(place[known], minlength=len(points))
        total = np.bincount(place[known], weights=values[known], minlength=len(points))
        columns.append(column._replace(values=np.where(count > 0, total / np.maximum(count, 1), np.nan)))
    if len(points) > MOST_DESIGNS:
        chosen = np.random.Generator(np.random.Philox(key=seed)).permutation(len(points))[:MOST_DESIGNS]
        chosen.sort()
        points, columns = points[chosen], [column._replace(values=column.values[chosen]) for column in columns]
    return points, columns


def is_constant(values: Array) -> bool:
    """Return whether the known ones among ``values`` (N,) are all the same, but for rounding."""
    known = values[np.isfinite(values)]
    return not len(known) or bool(np.ptp(known) <= EQUAL * np.abs(known).max())


def _check(column: Column) -> None:
    values = column.values[np.isfinite(column.values)]
    if len(values) < LEAST_DESIGNS:
        raise UsageError(
            f"{column.name!r} has a value for {len(values)} different designs only, expected {LEAST_DESIGNS} or more",
            "search on, and with --keep all",
        )
    if is_constant(values):
        raise UsageError(
            f"{column.name!r} is {values[0]:.6g} for every design: there is nothing to learn",
            "name others with --objectives",
        )


def _fit(column: Column, features: Features, order: NDArray[np.intp], seed: int) -> tuple[Target, Regressor]:
    """Return a target and its regression; ``order`` (N,) says who is held out, the first ones, and who is in a fold."""
    held = order[: max(1, round(HELD_OUT * len(order)))]
    train = order[len(held) :]
    values = column.values
    log = bool((values > 0.0).all())
    learned = np.log(values) if log else values
    mean, spread = float(learned[train].mean()), float(learned[train].std())
    if not spread > 0.0 or not np.ptp(values[held]) > 0.0:
        raise UsageError(
            f"{column.name!r} hardly varies: too few designs differ in it", "name others with --objectives"
        )
    target = (learned - mean) / spread
    outside = {c: _out_of_fold(c, features[train], target[train], seed) for c in CANDIDATES}
    errors = {c.name: float(np.sqrt(np.mean((outside[c] - target[train]) ** 2))) for c in CANDIDATES}
    best = min(CANDIDATES, key=lambda c: errors[c.name])
    half = float(np.quantile(np.abs(outside[best] - target[train]), COVERAGE, method="higher"))
    chosen = fit_candidate(best, features[train], target[train], seed)
    found = chosen.predict(features[held])
    plane = fit_plane(features[train], target[train]).predict(features[held])

    def scored(standard: Array) -> Score:
        return score(restore(log, mean, spread, standard), values[held])

    inside = float(np.mean(np.abs(found - target[held]) <= half))
    assert chosen.trees is not None
    told = Target(
        column.name, column.unit, column.functional_unit, log, mean, spread, best.name, chosen.intercept,
        chosen.trees.depth, chosen.trees.offset, half, len(train), len(held), inside,
        {"proxy": scored(found), "plane": scored(plane), "constant": scored(np.zeros(len(held)))}, errors,
    )  # fmt: skip
    return told, chosen


def _out_of_fold(candidate: Candidate, features: Features, target: Array, seed: int) -> Array:
    """Return the prediction of each row (N,) by the model of the folds it is not in."""
    found = np.empty(len(target))
    fold = np.arange(len(target)) % FOLDS
    for number in range(FOLDS):
        inside, outside = fold != number, fold == number
        found[outside] = fit_candidate(candidate, features[inside], target[inside], seed).predict(features[outside])
    return found
