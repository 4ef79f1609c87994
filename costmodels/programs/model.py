"""A learned cost model of programs, and its file.

Layout of the file, version 1: an archive of plain arrays (``array_archive``). ``card`` holds JSON as bytes; the plane
of target number K is ``K/weights``, its trees, where it chose some, ``K/trees/...``, the convolution
``convolution/...``. Predicting takes NumPy alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.array_archive import read_arrays, write_arrays
from codesign.costmodels.operators.trees import TREE_ARRAYS, checked_trees
from codesign.costmodels.programs.convolution import CHANNELS, EMBEDDED, HIDDEN, PARTS, REACH, Convolution
from codesign.costmodels.programs.tokens import MOST_NAMES, NUMBERS, Program, bag, encode
from codesign.costmodels.regression import Features, Regressor
from codesign.errors import DataError
from codesign.quantity import Array

VERSION = 1
HINT = "expected a file that codesign costmodels fit --from-run wrote of searches of programs"
TOTALS = 6
"""Columns of a bag behind those of the names."""
LARGEST_EXPONENT = 700.0
"""Predicted logarithms stay within this, where the exponential is finite."""

Kind = Literal["plane", "plane + boosting", "plane + convolution"]


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Errors on programs that were held out.

    Attributes:
        mape: Mean of |predicted - value| / value.
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
        mean: Of its natural logarithm, over the training rows.
        spread: Standard deviation of the same.
        model: The chosen one.
        intercept: Of its plane.
        depth: Of its deepest tree, 0 without trees.
        offset: Of its trees.
        half: 90 % quantile of |ln predicted - ln value| on held-out rows: half the interval of a prediction.
        new_programs: Errors on programs none of whose mutants was trained on, by model; empty below three programs.
        new_mutants: Errors on held-out mutants of programs that were trained on, by model.
    """

    name: str
    unit: str
    mean: float
    spread: float
    model: Kind
    intercept: float
    depth: int
    offset: float
    half: float
    new_programs: dict[str, Score]
    new_mutants: dict[str, Score]


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The card of a model.

    Attributes:
        codesign_program_model: Version of the layout.
        seed: Of splits and fits.
        vocabulary: Names of operations that are told apart.
        programs: Mutants that were trained on, by the name of their program.
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
    """A fitted model: its card, a plane (and trees) a target, and the convolution that some of them use."""

    card: Card
    regressors: tuple[Regressor, ...]
    convolution: Convolution | None

    def predict(self, programs: Sequence[Program]) -> dict[str, Prediction]:
        """Return target -> predictions for ``programs``."""
        encoded = encode(programs, self.card.vocabulary)
        features = bag(encoded, len(self.card.vocabulary))
        bent = self.convolution.predict(encoded) if self.convolution is not None else None
        found = {}
        for index, (target, regressor) in enumerate(zip(self.card.targets, self.regressors, strict=True)):
            middle = outputs(target.model, regressor, features, None if bent is None else bent[:, index])
            value = target.mean + target.spread * middle
            found[target.name] = Prediction(*(_exp(value + side * target.half) for side in (0.0, -1.0, 1.0)))
        return found


def outputs(kind: Kind, regressor: Regressor, features: Features, bent: Array | None) -> Array:
    """Return standardised logarithms (N,): the plane with its trees, or with what the convolution adds (N,)."""
    found = regressor.predict(features)
    return found + bent if kind == "plane + convolution" and bent is not None else found


def _exp(logarithm: Array) -> Array:
    return np.exp(np.clip(logarithm, -LARGEST_EXPONENT, LARGEST_EXPONENT))


# --- files ------------------------------------------------------------------------------------------------------


def write_program_model(path: Path | str, model: ProgramModel) -> None:
    """Write ``model``; equal models give equal bytes.

    Raises:
        EnvironmentLacks: the place cannot be written.
    """
    arrays: dict[str, Any] = {"card": np.frombuffer(msgspec.json.encode(model.card), np.uint8)}
    for index, regressor in enumerate(model.regressors):
        arrays[f"{index}/weights"] = regressor.weights
        if regressor.trees is not None:
            arrays |= {f"{index}/trees/{field}": getattr(regressor.trees, field) for field in TREE_ARRAYS}
    if model.convolution is not None:
        arrays |= {f"convolution/{part}": getattr(model.convolution, part) for part in PARTS}
    write_arrays(path, arrays)


def load_program_model(path: Path | str) -> ProgramModel:
    """Return the model in a file.

    Raises:
        DataError: it cannot be read, is none, is cut or damaged, or is of another version.
    """
    name = Path(path).name
    arrays = read_arrays(path, "cost model of programs", HINT)
    card = _card(arrays.pop("card", None), name)
    try:
        names = len(card.vocabulary)
        regressors = tuple(_regressor(index, target, arrays, names) for index, target in enumerate(card.targets))
        return ProgramModel(card, regressors, _convolution(arrays, card))
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError(f"{name} is damaged: array {error} is missing or wrong", HINT) from None


class _Version(msgspec.Struct):
    codesign_program_model: int


def _card(text: Any, name: str) -> Card:
    if text is None or text.dtype != np.uint8:
        raise DataError(f"{name} has no card of a cost model of programs", HINT)
    try:
        version = msgspec.json.decode(text.tobytes(), type=_Version).codesign_program_model
        if version != VERSION:
            raise DataError(f"{name} has version {version}, this program reads {VERSION}", "fit the model again")
        card = msgspec.json.decode(text.tobytes(), type=Card)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(f"the card of {name} is wrong: {error}", HINT) from None
    if len(card.vocabulary) > MOST_NAMES:
        raise DataError(f"{name} tells {len(card.vocabulary)} operations apart, at most {MOST_NAMES} are read", HINT)
    return card


def _regressor(index: int, target: Target, arrays: Mapping[str, Any], names: int) -> Regressor:
    weights = arrays[f"{index}/weights"]
    columns = 2 * (names + 1) + TOTALS
    if weights.shape != (columns,) or weights.dtype != np.float64 or not np.isfinite(weights).all():
        raise ValueError(f"{index}/weights")
    if not target.spread > 0.0 or target.half < 0.0:
        raise ValueError(f"{index}/spread")
    if target.model != "plane + boosting":
        return Regressor(target.intercept, weights, None)
    at = f"{index}/trees"
    if not ((arrays[f"{at}/feature"] >= 0) & (arrays[f"{at}/feature"] < columns)).all():
        raise IndexError(f"{at}/feature")
    return Regressor(target.intercept, weights, checked_trees(arrays, at, target.depth, target.offset))


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
