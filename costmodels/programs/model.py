"""A learned cost model of programs, and its file.

What transfers between programs is what an edit does to a cost, not the cost: so the model says the logarithm of the
ratio of a mutant to the program it comes from, as a function of what differs between the two. The original is measured
anyway; where it is not, a product of powers of its multiply-adds and bytes stands for it, with a wider interval.

Layout of the file, version 1: an archive of plain arrays (``array_archive``). ``card`` holds JSON as bytes; the plane
of target number K is ``K/weights``, its trees, where it chose some, ``K/trees/...``, that of originals ``K/size``, the
convolution ``convolution/...``. Predicting takes NumPy alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.carded_archive import Layout
from codesign.costmodels.operators.trees import TREE_ARRAYS, checked_trees
from codesign.costmodels.programs.convolution import CHANNELS, EMBEDDED, HIDDEN, PARTS, REACH, Convolution
from codesign.costmodels.programs.tokens import MOST_NAMES, NUMBERS, Encoded, Program, bag, encode, work_and_bytes
from codesign.costmodels.regression import Features, Regressor
from codesign.errors import DataError, UsageError
from codesign.quantity import Array

VERSION = 1
HINT = "expected a file that codesign costmodels fit --from-run wrote of searches of programs"
FILE = Layout("cost model of programs", "codesign_program_model", VERSION, HINT)
TOTALS = 6
"""Columns of a bag behind those of the names."""
POWERS: Kind = "work and bytes"
"""The model that is a product of powers of the multiply-adds and of the bytes."""
LARGEST_EXPONENT = 700.0
"""Predicted logarithms stay within this, where the exponential is finite."""

Kind = Literal["work and bytes", "plane", "plane + boosting", "plane + convolution"]


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Errors on programs that were held out.

    Attributes:
        mape: Mean of |predicted - value| / value, the original's value given.
        rank: Spearman's rank correlation among the mutants of one program, mean over the programs; None where each has
            a single value.
    """

    mape: float
    rank: float | None


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the card says of one learned number.

    Attributes:
        name: Of the number.
        unit: Of its values.
        spread: Root of the mean square of ln(value / value of the original), over the training rows.
        model: The chosen one.
        intercept: Of its plane.
        depth: Of its deepest tree, 0 without trees.
        offset: Of its trees.
        size_intercept: Of the plane for originals that were not measured.
        half: 90 % quantile of |ln predicted - ln value| on held-out rows, the original's value given: half the interval
            of a prediction.
        half_unmeasured: The same without the original's value, on new programs; None below three programs.
        new_programs: Errors on programs none of whose mutants was trained on, by model; empty below three programs.
        new_mutants: Errors on held-out mutants of programs that were trained on, by model.
    """

    name: str
    unit: str
    spread: float
    model: Kind
    intercept: float
    depth: int
    offset: float
    size_intercept: float
    half: float
    half_unmeasured: float | None
    new_programs: dict[str, Score]
    new_mutants: dict[str, Score]


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The card of a model.

    Attributes:
        codesign_program_model: Version of the layout.
        seed: Of splits and fits.
        vocabulary: Names of operations that are told apart.
        programs: How many mutants of each program were trained on.
        targets: In the order of the arrays.
        versions: Of the packages that fitted.
    """

    codesign_program_model: int
    seed: int
    vocabulary: tuple[str, ...]
    programs: dict[str, int]
    targets: tuple[Target, ...]
    versions: dict[str, str]


class Prediction(NamedTuple):
    """Predicted values with the ends of their 90 % intervals, each (N,), in the unit of the target."""

    value: Array
    low: Array
    high: Array


class ProgramModel(msgspec.Struct, frozen=True, eq=False):
    """A fitted model.

    Attributes:
        card: What it is.
        regressors: Of the ratio, one a target.
        sizes: Of originals that were not measured, one a target.
        convolution: That some targets use.
    """

    card: Card
    regressors: tuple[Regressor, ...]
    sizes: tuple[Regressor, ...]
    convolution: Convolution | None

    def predict(
        self, programs: Sequence[Program], original: Program, measured: Mapping[str, float] | None = None
    ) -> dict[str, Prediction]:
        """Return target -> predictions for N mutants.

        Args:
            programs: The mutants.
            original: The program that they come from.
            measured: Values of the original by target, as far as they are known.

        Raises:
            UsageError: the original's value is needed: the model knows too few programs to go without.
        """
        encoded = encode([original, *programs], self.card.vocabulary)
        features = bag(encoded, len(self.card.vocabulary))
        bent = self.convolution.predict(encoded) if self.convolution is not None else None
        found = {}
        for index, target in enumerate(self.card.targets):
            base, half = self._base(index, encoded, (measured or {}).get(target.name))
            given = size_features(encoded) if target.model == POWERS else features
            changed = ratio(target.model, self.regressors[index], given, None if bent is None else bent[:, index])
            value = base + target.spread * changed
            found[target.name] = Prediction(*(_exp(value + side * half) for side in (0.0, -1.0, 1.0)))
        return found

    def _base(self, index: int, encoded: Encoded, measured: float | None) -> tuple[float, float]:
        """Return ln of the original's value, and half the interval that predictions on top of it have."""
        target = self.card.targets[index]
        if measured is not None:
            return float(np.log(measured)), target.half
        if target.half_unmeasured is None:
            raise UsageError(
                f"the {target.name} of the original is needed: the model knows {len(self.card.programs)} programs only",
                "measure the original, or fit on searches of three programs or more",
            )
        return float(self.sizes[index].predict(size_features(encoded)[:1])[0]), target.half_unmeasured


def size_features(encoded: Encoded) -> Features:
    """Return ln of the multiply-adds and of the bytes of each program, (N, 2)."""
    return np.log1p(np.stack(work_and_bytes(encoded), axis=1)).astype(np.float32)


def ratio(kind: Kind, regressor: Regressor, features: Features, bent: Array | None) -> Array:
    """Return the standardised ln of the ratio of each row but the first to the first, (N - 1,).

    Args:
        kind: Of model.
        regressor: The plane with its trees, of differences of bags.
        features: Bags, or sizes for the product of powers, the original's first, (N, F).
        bent: Outputs of the convolution, (N,).
    """
    steps = regressor.predict(features - features[:1])
    found: Array = steps[1:] - steps[0]
    if kind == "plane + convolution" and bent is not None:
        found = found + bent[1:] - bent[0]
    return found


def _exp(logarithm: Array) -> Array:
    return np.exp(np.clip(logarithm, -LARGEST_EXPONENT, LARGEST_EXPONENT))


# --- files ------------------------------------------------------------------------------------------------------


def write_program_model(path: Path | str, model: ProgramModel) -> None:
    """Write ``model``; equal models give equal bytes.

    Raises:
        EnvironmentLacks: the place cannot be written.
    """
    arrays: dict[str, Any] = {}
    for index, regressor in enumerate(model.regressors):
        arrays |= {f"{index}/weights": regressor.weights, f"{index}/size": model.sizes[index].weights}
        if regressor.trees is not None:
            arrays |= {f"{index}/trees/{field}": getattr(regressor.trees, field) for field in TREE_ARRAYS}
    if model.convolution is not None:
        arrays |= {f"convolution/{part}": getattr(model.convolution, part) for part in PARTS}
    FILE.write(path, model.card, arrays)


def load_program_model(path: Path | str) -> ProgramModel:
    """Return the model in a file.

    Raises:
        DataError: it cannot be read, is none, is cut or damaged, or is of another version.
    """
    name = Path(path).name
    card, arrays = FILE.read(path, Card)
    if len(card.vocabulary) > MOST_NAMES:
        raise DataError(f"{name} tells {len(card.vocabulary)} operations apart, at most {MOST_NAMES} are read", HINT)
    try:
        names = len(card.vocabulary)
        regressors = tuple(_regressor(index, target, arrays, names) for index, target in enumerate(card.targets))
        sizes = tuple(_size(index, target, arrays) for index, target in enumerate(card.targets))
        return ProgramModel(card, regressors, sizes, _convolution(arrays, card))
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError(f"{name} is damaged: array {error} is missing or wrong", HINT) from None


def _regressor(index: int, target: Target, arrays: Mapping[str, Any], names: int) -> Regressor:
    weights = arrays[f"{index}/weights"]
    columns = 2 if target.model == POWERS else 2 * (names + 1) + TOTALS
    if weights.shape != (columns,) or weights.dtype != np.float64 or not np.isfinite(weights).all():
        raise ValueError(f"{index}/weights")
    if not target.spread > 0.0 or target.half < 0.0 or (target.half_unmeasured or 0.0) < 0.0:
        raise ValueError(f"{index}/spread")
    if target.model != "plane + boosting":
        return Regressor(target.intercept, weights, None)
    at = f"{index}/trees"
    if not ((arrays[f"{at}/feature"] >= 0) & (arrays[f"{at}/feature"] < columns)).all():
        raise IndexError(f"{at}/feature")
    return Regressor(target.intercept, weights, checked_trees(arrays, at, target.depth, target.offset))


def _size(index: int, target: Target, arrays: Mapping[str, Any]) -> Regressor:
    weights = arrays[f"{index}/size"]
    if weights.shape != (2,) or weights.dtype != np.float64 or not np.isfinite(weights).all():
        raise ValueError(f"{index}/size")
    return Regressor(target.size_intercept, weights, None)


def _convolution(arrays: Mapping[str, Any], card: Card) -> Convolution | None:
    if not any(target.model == "plane + convolution" for target in card.targets):
        return None
    width, names, targets = EMBEDDED + NUMBERS, len(card.vocabulary) + 1, len(card.targets)
    shapes: dict[str, tuple[int, ...]] = {
        "embedding": (names, EMBEDDED), "first": (CHANNELS, width, REACH), "first_bias": (CHANNELS,),
        "second": (CHANNELS, CHANNELS, REACH), "second_bias": (CHANNELS,), "dense": (2 * CHANNELS, HIDDEN),
        "dense_bias": (HIDDEN,), "last": (HIDDEN, targets), "last_bias": (targets,),
    }  # fmt: skip
    parts = {part: arrays[f"convolution/{part}"] for part in PARTS}
    for part, array in parts.items():
        if array.shape != shapes[part] or array.dtype != np.float32 or not np.isfinite(array).all():
            raise ValueError(f"convolution/{part}")
    return Convolution(**parts)
