"""Training a cost model of programs on what searches evaluated.

Mutants of one program are near-duplicates: splitting them at random lets a model remember instead of predict. So errors
are told twice: on programs none of whose mutants was seen (left out one by one), and on new mutants of known programs.
Beside each model stands what it has to beat, one ratio for all; the plainest model is a product of powers of the
multiply-adds and of the bytes, and where too few programs teach more it is the one that is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.programs.convolution import Convolution, fit_convolution
from codesign.costmodels.programs.model import POWERS, VERSION, Card, Kind, ProgramModel, Score, Target, size_features
from codesign.costmodels.programs.tokens import Encoded, Program, bag, encode, vocabulary_of
from codesign.costmodels.regression import Candidate, Features, Regressor, fit_candidate, fit_plane
from codesign.costmodels.scores import score
from codesign.errors import DataError, UsageError
from codesign.quantity import Array
from codesign.run import versions

FOLDS = 5
COVERAGE = 0.9
LEAST_MUTANTS = 40
"""Fewer programs with a value than this are refused."""
LEAST_PROGRAMS = 3
"""Programs from which on leaving one out says anything."""
MOST_MUTANTS = 20_000
"""More are sampled."""
KINDS: tuple[Kind, ...] = (POWERS, "plane", "plane + boosting", "plane + convolution")
CONSTANT = "constant"
"""One ratio for all: what every model has to beat."""
SIZE = "size of the original"
"""Among predictions: ln of the value itself by size alone, for originals that were not measured."""


class Column(NamedTuple):
    """One number to learn: ``values`` (N,), positive, in ``unit``; NaN where unknown."""

    name: str
    unit: str
    values: Array


class ProgramTable(NamedTuple):
    """Evaluated programs.

    Attributes:
        programs: Their operations, in order; those of the originals are among them.
        origin: Name of the program that each is a mutant of, (N,).
        original: Row of each of those programs, by name.
        columns: What to learn of them.
    """

    programs: tuple[Program, ...]
    origin: tuple[str, ...]
    original: dict[str, int]
    columns: tuple[Column, ...]


class _Rows(NamedTuple):
    """What fits take.

    Attributes:
        encoded: The programs.
        original: Row of the program that each comes from, (N,).
        steps: Bags less those of the originals, (N, F).
        sizes: ln of multiply-adds and bytes, (N, 2).
        changes: Standardised ln(value / value of the original), (N, T); NaN where unknown.
        values: ln of the values, (N, T).
        names: How many operations are told apart.
    """

    encoded: Encoded
    original: NDArray[np.intp]
    steps: Features
    sizes: Features
    changes: Array
    values: Array
    names: int


class _Fit(NamedTuple):
    """All kinds of model, fitted on the same rows."""

    regressors: dict[tuple[Kind, int], Regressor]
    sizes: tuple[Regressor, ...]
    convolution: Convolution


def fit_program_model(
    table: ProgramTable, *, seed: int = 0, progress: Callable[[str], None] = lambda text: None
) -> ProgramModel:
    """Return the model of ``table``; equal programs, in equal order, and seeds give equal models.

    Args:
        table: Evaluated programs.
        seed: Of the folds and the fits.
        progress: Told what is fitted now.

    Raises:
        UsageError: fewer than ``LEAST_MUTANTS`` programs have a value, or all have the same.
        DataError: there are not as many values as programs, or one is not positive.
    """
    import sklearn.ensemble  # noqa: F401 - limits reach only the libraries that are loaded by then
    from threadpoolctl import threadpool_limits

    _check(table)
    table = _sampled(table, seed)
    vocabulary = vocabulary_of(table.programs)
    rows, spread = _rows(table, vocabulary)
    origin = np.array(table.origin)
    names, count = np.unique(origin, return_counts=True)
    mutant = np.random.Generator(np.random.Philox(key=seed)).permutation(len(origin)) % FOLDS
    everything = np.ones(len(origin), np.bool_)
    with threadpool_limits(1):
        progress("scoring on new mutants")
        by_mutant = _out_of_fold(rows, mutant, seed)
        by_program = None
        if len(names) >= LEAST_PROGRAMS:
            progress(f"scoring on {len(names)} new programs")
            by_program = _out_of_fold(rows, np.searchsorted(names, origin), seed)
        progress("fitting")
        fit = _fit(rows, everything, seed)
    scored = _Scored(rows, spread, origin, by_mutant, by_program)
    targets = tuple(_target(column, index, fit, scored) for index, column in enumerate(table.columns))
    chosen = tuple(fit.regressors[target.model, index] for index, target in enumerate(targets))
    used = any(target.model == "plane + convolution" for target in targets)
    known = {str(name): int(n) for name, n in zip(names, count, strict=True)}
    card = Card(VERSION, seed, vocabulary, known, targets, versions(("numpy", "scikit-learn", "torch")))
    return ProgramModel(card, chosen, fit.sizes, fit.convolution if used else None)


def _rows(table: ProgramTable, vocabulary: tuple[str, ...]) -> tuple[_Rows, Array]:
    """Return what fits take, and the spread of each target (T,)."""
    encoded = encode(table.programs, vocabulary)
    features = bag(encoded, len(vocabulary))
    original = np.array([table.original[name] for name in table.origin])
    values = np.log(np.stack([column.values for column in table.columns], axis=1))
    changes = values - values[original]
    spread = np.sqrt(np.nanmean(changes**2, axis=0))
    steps = features - features[original]
    return _Rows(encoded, original, steps, size_features(encoded), changes / spread, values, len(vocabulary)), spread


def _check(table: ProgramTable) -> None:
    if len(table.origin) != len(table.programs):
        raise DataError(f"{len(table.origin)} origins for {len(table.programs)} programs", "name one for each")
    for name in set(table.origin):
        row = table.original.get(name, -1)
        if not 0 <= row < len(table.programs) or table.origin[row] != name:
            raise DataError(f"the original of {name!r} is not among the programs", "name the row of each original")
    if not table.columns:
        raise UsageError("there is nothing to learn", "name at least one number")
    for column in table.columns:
        if column.values.shape != (len(table.programs),):
            raise DataError(f"{column.name!r} has {column.values.size} values for {len(table.programs)} programs",
                            "one value a program")  # fmt: skip
        lost = [name for name, row in table.original.items() if not np.isfinite(column.values[row])]
        if lost:
            raise DataError(f"{column.name!r} of the original of {lost[0]!r} is unknown", "others compare with it")
        values = column.values[np.isfinite(column.values)]
        if len(values) < LEAST_MUTANTS:
            raise UsageError(
                f"{column.name!r} has a value for {len(values)} programs only, expected {LEAST_MUTANTS} or more",
                "search on, and with --keep all",
            )
        if not (values > 0.0).all():
            raise DataError(f"{column.name!r} is {values.min():.6g} somewhere, expected values above 0", "leave it out")
        if not np.ptp(np.log(values)) > 1e-9:
            raise UsageError(f"{column.name!r} is {values[0]:.6g} for every program: there is nothing to learn",
                             "name others with --objectives")  # fmt: skip


def _sampled(table: ProgramTable, seed: int) -> ProgramTable:
    if len(table.programs) <= MOST_MUTANTS:
        return table
    draw = np.random.Generator(np.random.Philox(key=seed)).permutation(len(table.programs))
    kept = np.union1d(draw[:MOST_MUTANTS], list(table.original.values()))
    return ProgramTable(
        tuple(table.programs[k] for k in kept),
        tuple(table.origin[k] for k in kept),
        {name: int(np.searchsorted(kept, row)) for name, row in table.original.items()},
        tuple(column._replace(values=column.values[kept]) for column in table.columns),
    )


def _fit(rows: _Rows, train: NDArray[np.bool_], seed: int) -> _Fit:
    """Return every kind of model fitted on the rows ``train`` (N,)."""
    regressors: dict[tuple[Kind, int], Regressor] = {}
    sizes = []
    rest = np.full_like(rows.changes, np.nan)
    for target, changes in enumerate(rows.changes.T):
        known = train & np.isfinite(changes)
        steps, wanted = rows.steps[known], changes[known]
        plane = fit_plane(steps, wanted)
        rest[known, target] = wanted - plane.predict(steps)
        regressors["plane", target] = regressors["plane + convolution", target] = plane
        regressors["plane + boosting", target] = fit_candidate(Candidate(True, "boosting"), steps, wanted, seed)
        regressors[POWERS, target] = fit_plane((rows.sizes - rows.sizes[rows.original])[known], wanted)
        sizes.append(fit_plane(rows.sizes[known], rows.values[known, target]))
    network = fit_convolution(rows.encoded, rows.original, rows.names, rest, seed)
    return _Fit(regressors, tuple(sizes), network)


def _out_of_fold(rows: _Rows, fold: NDArray[np.intp], seed: int) -> dict[str, Array]:
    """Return model -> standardised changes (N, T) of each row by models that saw nothing of its fold."""
    found = {kind: np.zeros_like(rows.changes) for kind in (CONSTANT, *KINDS, SIZE)}
    sizes = rows.sizes[rows.original]
    for number in np.unique(fold):
        outside = fold == number
        fit = _fit(rows, ~outside, seed)
        bent = fit.convolution.predict(rows.encoded)
        bent = (bent - bent[rows.original])[outside]
        for target in range(rows.changes.shape[1]):
            found[CONSTANT][outside, target] = np.nanmedian(rows.changes[~outside, target])
            found[SIZE][outside, target] = fit.sizes[target].predict(sizes[outside])
            for kind in KINDS:
                regressor = fit.regressors[kind, target]
                steps = (rows.sizes - sizes)[outside] if kind == POWERS else rows.steps[outside]
                said = regressor.predict(steps) - regressor.predict(np.zeros_like(steps[:1]))
                found[kind][outside, target] = said + (bent[:, target] if kind == "plane + convolution" else 0.0)
    return found


class _Scored(NamedTuple):
    """Predictions of held-out rows, and what they are compared with."""

    rows: _Rows
    spread: Array
    origin: NDArray[np.str_]
    by_mutant: dict[str, Array]
    by_program: dict[str, Array] | None

    def known(self, index: int) -> NDArray[np.bool_]:
        """Return the mutants that have a value: originals, which are right by themselves, do not count."""
        rows = self.rows
        mutants: NDArray[np.bool_] = np.arange(len(rows.original)) != rows.original
        return mutants & np.isfinite(rows.changes[:, index])

    def scores(self, found: dict[str, Array] | None, index: int) -> dict[str, Score]:
        if found is None:
            return {}
        known, spread = self.known(index), self.spread[index]
        truth = spread * self.rows.changes[known, index]
        return {
            kind: _score(spread * changes[known, index], truth, self.origin[known])
            for kind, changes in found.items()
            if kind != SIZE
        }


def _target(column: Column, index: int, fit: _Fit, scored: _Scored) -> Target:
    """Return the card's entry of one number, with the model of the smallest error where it counts."""
    rows, spread, known = scored.rows, scored.spread[index], scored.known(index)
    new_programs, new_mutants = scored.scores(scored.by_program, index), scored.scores(scored.by_mutant, index)
    best = min(KINDS, key=lambda kind: (new_programs or new_mutants)[kind].mape)
    outside = scored.by_program if scored.by_program is not None else scored.by_mutant
    said = spread * outside[best][known, index]
    half = _half(said - spread * rows.changes[known, index])
    unmeasured = None
    if scored.by_program is not None:
        unmeasured = _half(scored.by_program[SIZE][known, index] + said - rows.values[known, index])
    regressor = fit.regressors[best, index]
    depth, offset = (regressor.trees.depth, regressor.trees.offset) if regressor.trees is not None else (0, 0.0)
    return Target(
        column.name, column.unit, float(spread), best, regressor.intercept, depth, offset, fit.sizes[index].intercept,
        half, unmeasured, new_programs, new_mutants,
    )  # fmt: skip


def _half(error: Array) -> float:
    return float(np.quantile(np.abs(error), COVERAGE, method="higher"))


def _score(predicted: Array, logarithm: Array, origin: NDArray[np.str_]) -> Score:
    """Return the errors of logarithms ``predicted`` (N,), ranks within each program."""
    mape = float(np.mean(np.abs(np.expm1(np.clip(predicted - logarithm, -50.0, 50.0)))))
    ranks = []
    for name in np.unique(origin):
        mine = origin == name
        if mine.sum() > 2 and np.ptp(logarithm[mine]) > 0.0:
            rank = score(predicted[mine], logarithm[mine]).rank
            ranks.append(0.0 if rank is None else rank)
    return Score(mape, float(np.mean(ranks)) if ranks else None)
