"""Samples to judge programs on: inputs with what is right for them, from a file, a function, or built in.

They are split into three that never mix: a search sees the first, the choice among what it found the second, and the
third is kept for the report. Rows are shuffled first, so that a file sorted by class does not give away the answer
through the place of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError, UsageError

FORM = "expected an .npz with x (inputs, rows first) and y (a class number or a value a row)"
SHARES = (0.4, 0.3, 0.3)
"""Of one file: search, selection, report."""
LEAST_ROWS = 10


@dataclass(frozen=True, slots=True)
class Samples:
    """``x`` (N, ...) inputs; ``y`` (N,) class numbers, or (N, ...) values."""

    x: NDArray[Any]
    y: NDArray[Any]

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Any) -> Samples:
        """Return the rows that ``index`` selects."""
        return Samples(self.x[index], self.y[index])

    @property
    def classes(self) -> bool:
        """Whether ``y`` holds class numbers."""
        return self.y.dtype.kind in "iu"


@dataclass(frozen=True, slots=True)
class Splits:
    """Three sets of samples that share no row."""

    search: Samples
    selection: Samples
    report: Samples


def checked(x: Any, y: Any, where: str) -> Samples:
    """Return arrays as samples.

    Raises:
        DataError: they do not go together, or hold something else than finite numbers.
    """
    x, y = np.asarray(x), np.asarray(y)
    for name, array in (("x", x), ("y", y)):
        if array.dtype.kind not in "fiub":
            raise DataError(f"{where}: {name} has dtype {array.dtype}", "expected numbers; " + FORM)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int(np.count_nonzero(~np.isfinite(array)))
            raise DataError(f"{where}: {name} has {bad} values that are NaN or infinite", "remove those rows")
    if not x.ndim or not y.ndim or len(x) != len(y):
        raise DataError(f"{where}: x has shape {x.shape}, y {y.shape}", "expected as many rows in both; " + FORM)
    if len(x) < LEAST_ROWS:
        raise DataError(f"{where}: {len(x)} rows", f"expected at least {LEAST_ROWS}")
    if y.dtype.kind == "b":
        y = y.astype(np.int64)
    if y.dtype.kind in "iu":
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim != 1:
            raise DataError(f"{where}: y holds whole numbers of shape {y.shape}", "expected one class number a row")
        if int(y.min()) < 0:
            raise DataError(f"{where}: y has the class number {int(y.min())}", "expected class numbers from 0")
        y = y.astype(np.int64)
    return Samples(x, y)


def read_samples(path: str | Path) -> Samples:
    """Return the samples of an ``.npz`` file; nothing in it is executed.

    Raises:
        DataError: unreadable, without ``x`` or ``y``, or of the wrong form.
    """
    place = Path(path)
    try:
        with np.load(place, allow_pickle=False) as arrays:
            missing = [name for name in ("x", "y") if name not in arrays.files]
            if missing:
                found = ", ".join(arrays.files) or "nothing"
                raise DataError(f"{place}: no {' and no '.join(missing)}; it holds {found}", FORM)
            return checked(arrays["x"], arrays["y"], str(place))
    except FileNotFoundError:
        raise DataError(f"{place}: no such file", FORM) from None
    except (OSError, ValueError, AttributeError) as error:  # no zip archive, or pickled objects inside
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{place}: cannot be read: {first}", FORM) from None


def named_samples(name: str) -> Samples:
    """Return the samples that ``digits``, a ``FILE.npz`` or ``py:package.module:function`` stand for.

    Raises:
        UsageError: no such function.
        DataError: what it returns, or what the file holds, is not of the form.
    """
    if name == "digits":
        from codesign.search.mlir.tasks.digits import digits

        return digits()
    if not name.startswith("py:"):
        return read_samples(name)
    from codesign.models.capture import user_function

    rest = name.removeprefix("py:")
    try:
        made = user_function(rest)()
    except Exception as error:
        raise UsageError(f"{name} raised {type(error).__name__}: {error}", "call it in python to see where") from error
    if not isinstance(made, tuple | list) or len(made) != 2:
        raise DataError(f"{name} returned a {type(made).__name__}", "expected (x, y): two arrays")
    return checked(made[0], made[1], name)


def split(samples: Samples, seed: int, report: Samples | None = None) -> Splits:
    """Return samples in random order, cut in three; in two where ``report`` holds the third.

    Raises:
        DataError: too few rows, or report data of another form.
    """
    shuffled = samples.take(np.random.Generator(np.random.Philox(key=seed)).permutation(len(samples)))
    shares = np.array(SHARES if report is None else SHARES[:2])
    first, second = np.floor(np.cumsum(shares)[:2] / shares.sum() * len(samples)).astype(int).tolist()
    if report is None:
        return Splits(
            shuffled.take(slice(first)), shuffled.take(slice(first, second)), shuffled.take(slice(second, None))
        )
    for name, one, other in (("x", samples.x, report.x), ("y", samples.y, report.y)):
        if one.shape[1:] != other.shape[1:] or one.dtype.kind != other.dtype.kind:
            message = f"report data: a row of {name} is {other.dtype}{list(other.shape[1:])}"
            raise DataError(message, f"expected {one.dtype}{list(one.shape[1:])} as in the data")
    return Splits(shuffled.take(slice(first)), shuffled.take(slice(first, None)), report)
