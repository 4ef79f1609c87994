"""Training a cost model of programs on what searches evaluated.

Mutants of one program are near-duplicates: splitting them at random lets a model remember instead of predict. So errors
are told twice: on programs none of whose mutants was seen (left out one by one), and on new mutants of known programs.
Beside each model stand what it has to beat: one number for all, and a product of powers of the multiply-adds and the
bytes of the program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.programs.convolution import Convolution, fit_convolution
from codesign.costmodels.programs.model import VERSION, Card, Kind, ProgramModel, Score, Target, outputs
from codesign.costmodels.programs.tokens import Encoded, Program, bag, encode, vocabulary_of, work_and_bytes
from codesign.costmodels.regression import Candidate, Features, Regressor, fit_candidate, fit_plane
from codesign.costmodels.scores import score
from codesign.errors import DataError, UsageError
from codesign.quantity import Array
from codesign.run import versions

FOLDS = 5
COVERAGE = 0.9
LEAST_MUTANTS = 60
"""Fewer programs with a value than this are refused."""
LEAST_PROGRAMS = 3
"""Programs from which on leaving one out says anything."""
MOST_MUTANTS = 20_000
"""More are sampled."""
KINDS: tuple[Kind, ...] = ("plane", "plane + boosting", "plane + convolution")


class Column(NamedTuple):
    """One number to learn: ``values`` (N,), positive, in ``unit``; NaN where unknown."""

    name: str
    unit: str
    values: Array


class ProgramTable(NamedTuple):
    """Evaluated programs.

    Attributes:
        programs: Their operations, in order.
        origin: Name of the program that each is a mutant of, (N,).
        columns: What to learn of them.
    """

    programs: tuple[Program, ...]
    origin: tuple[str, ...]
    columns: tuple[Column, ...]


class _Rows(NamedTuple):
    """What fits take: the programs encoded, their bags, and the standardised logarithms to say, (N, T)."""

    encoded: Encoded
    features: Features
    wanted: Array
    names: int

    def take(self, rows: NDArray[np.bool_]) -> _Rows:
        part = Encoded(self.encoded.name[rows], self.encoded.number[rows])
        return self._replace(encoded=part, features=self.features[rows], wanted=self.wanted[rows])


class _Fit(NamedTuple):
    """All kinds of model, fitted on the same rows: a regressor by (kind, target), and the convolution."""

    regressors: dict[tuple[Kind, int], Regressor]
    convolution: Convolution

    def predict(self, kind: Kind, target: int, rows: _Rows, bent: Array) -> Array:
        return outputs(kind, self.regressors[kind, target], rows.features, bent[:, target])


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
    encoded = encode(table.programs, vocabulary)
    logarithms = np.log(np.stack([column.values for column in table.columns], axis=1))
    mean, spread = np.nanmean(logarithms, axis=0), np.nanstd(logarithms, axis=0)
    rows = _Rows(encoded, bag(encoded, len(vocabulary)), (logarithms - mean) / spread, len(vocabulary))
    origin = np.array(table.origin)
    names, count = np.unique(origin, return_counts=True)
    mutant = np.random.Generator(np.random.Philox(key=seed)).permutation(len(origin)) % FOLDS
    with threadpool_limits(1):
        progress("scoring on new mutants")
        by_mutant = _out_of_fold(rows, mutant, seed)
        by_program = None
        if len(names) >= LEAST_PROGRAMS:
            progress(f"scoring on {len(names)} new programs")
            by_program = _out_of_fold(rows, np.searchsorted(names, origin), seed)
        progress("fitting")
        fit = _fit(rows, seed)
    targets, chosen = [], []
    for index, column in enumerate(table.columns):
        target, regressor = _target(column, index, logarithms[:, index], origin, fit, by_mutant, by_program)
        targets.append(target)
        chosen.append(regressor)
    used = any(target.model == "plane + convolution" for target in targets)
    known = {str(name): int(n) for name, n in zip(names, count, strict=True)}
    card = Card(VERSION, seed, vocabulary, known, tuple(targets), versions(("numpy", "scikit-learn", "torch")))
    return ProgramModel(card, tuple(chosen), fit.convolution if used else None)


def _check(table: ProgramTable) -> None:
    if len(table.origin) != len(table.programs):
        raise DataError(f"{len(table.origin)} origins for {len(table.programs)} programs", "name one for each")
    if not table.columns:
        raise UsageError("there is nothing to learn", "name at least one number")
    for column in table.columns:
        if column.values.shape != (len(table.programs),):
            raise DataError(f"{column.name!r} has {column.values.size} values for {len(table.programs)} programs",
                            "one value a program")  # fmt: skip
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
    kept = np.sort(draw[:MOST_MUTANTS])
    return ProgramTable(
        tuple(table.programs[k] for k in kept),
        tuple(table.origin[k] for k in kept),
        tuple(column._replace(values=column.values[kept]) for column in table.columns),
    )


def _fit(rows: _Rows, seed: int) -> _Fit:
    """Return every kind of model fitted on ``rows``."""
    regressors: dict[tuple[Kind, int], Regressor] = {}
    rest = np.full_like(rows.wanted, np.nan)
    for target in range(rows.wanted.shape[1]):
        known = np.isfinite(rows.wanted[:, target])
        features, wanted = rows.features[known], rows.wanted[known, target]
        plane = fit_plane(features, wanted)
        rest[known, target] = wanted - plane.predict(features)
        regressors["plane", target] = regressors["plane + convolution", target] = plane
        regressors["plane + boosting", target] = fit_candidate(Candidate(True, "boosting"), features, wanted, seed)
    return _Fit(regressors, fit_convolution(rows.encoded, rows.names, rest, seed))


def _out_of_fold(rows: _Rows, fold: NDArray[np.intp], seed: int) -> dict[str, Array]:
    """Return model -> predictions (N, T) of each row by models that saw nothing of its fold."""
    found = {kind: np.empty_like(rows.wanted) for kind in ("constant", "work and bytes", *KINDS)}
    for number in np.unique(fold):
        inside, outside = fold != number, fold == number
        train, test = rows.take(inside), rows.take(outside)
        fit = _fit(train, seed)
        bent = fit.convolution.predict(test.encoded)
        found["constant"][outside] = np.nanmedian(train.wanted, axis=0)
        found["work and bytes"][outside] = _work_and_bytes(train, test)
        for kind in KINDS:
            for target in range(rows.wanted.shape[1]):
                found[kind][outside, target] = fit.predict(kind, target, test, bent)
    return found


def _work_and_bytes(train: _Rows, test: _Rows) -> Array:
    """Return what a plane of two logarithms, multiply-adds and bytes, fitted on ``train`` says of ``test``, (N, T)."""
    parts = [np.log1p(np.stack(work_and_bytes(rows.encoded), axis=1)).astype(np.float32) for rows in (train, test)]
    columns = []
    for wanted in train.wanted.T:
        known = np.isfinite(wanted)
        columns.append(fit_plane(parts[0][known], wanted[known]).predict(parts[1]))
    return np.stack(columns, axis=1)


def _target(
    column: Column, index: int, logarithm: Array, origin: NDArray[np.str_], fit: _Fit,
    by_mutant: dict[str, Array], by_program: dict[str, Array] | None,
) -> tuple[Target, Regressor]:  # fmt: skip
    """Return the card's entry of one number, and its regressor: of the kind with the smallest error where it counts."""
    known = np.isfinite(logarithm)
    mean, spread = float(logarithm[known].mean()), float(logarithm[known].std())

    def scored(found: dict[str, Array] | None) -> dict[str, Score]:
        if found is None:
            return {}
        return {
            kind: _score(mean + spread * standard[known, index], logarithm[known], origin[known])
            for kind, standard in found.items()
        }

    new_programs, new_mutants = scored(by_program), scored(by_mutant)
    decides, outside = (new_programs, by_program) if by_program is not None else (new_mutants, by_mutant)
    best = min(KINDS, key=lambda kind: decides[kind].mape)
    error = np.abs(mean + spread * outside[best][known, index] - logarithm[known])
    half = float(np.quantile(error, COVERAGE, method="higher"))
    regressor = fit.regressors[best, index]
    depth, offset = (regressor.trees.depth, regressor.trees.offset) if regressor.trees is not None else (0, 0.0)
    told = Target(
        column.name,
        column.unit,
        mean,
        spread,
        best,
        regressor.intercept,
        depth,
        offset,
        half,
        new_programs,
        new_mutants,
    )
    return told, regressor


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
