"""Design points = structure keys + numbers.

The structure key decides the graph; the numbers are arrays that may change a number, never the graph.
``by_structure`` partitions points by key, so that callers build each structure once and broadcast inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]


def by_structure(columns: Columns, keys: Sequence[str]) -> Iterator[tuple[dict[str, Any], NDArray[np.intp]]]:
    """Yield (structure, indices of its points) for each distinct combination of the ``keys`` columns."""
    count = len(next(iter(columns.values())))
    code = np.zeros(count, dtype=np.int64)
    levels = []
    for key in keys:
        values, inverse = np.unique(np.asarray(columns[key]), return_inverse=True)
        code = code * len(values) + inverse
        levels.append(values)
    present, inverse = np.unique(code, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    bounds = np.searchsorted(inverse[order], np.arange(len(present) + 1))
    for number, packed in enumerate(present.tolist()):
        structure: dict[str, Any] = {}
        for key, values in zip(reversed(keys), reversed(levels), strict=True):
            packed, index = divmod(packed, len(values))
            structure[key] = values[index].item() if hasattr(values[index], "item") else values[index]
        yield structure, order[bounds[number] : bounds[number + 1]]


def scatter(
    columns: Columns,
    keys: Sequence[str],
    evaluate: Callable[[dict[str, Any], dict[str, NDArray[Any]]], Mapping[str, NDArray[Any]]],
) -> dict[str, NDArray[Any]]:
    """Evaluate each structure on its points and scatter the result columns back into point order."""
    count = len(next(iter(columns.values())))
    results: dict[str, NDArray[Any]] = {}
    numbers = [name for name in columns if name not in keys]
    for structure, index in by_structure(columns, keys):
        part = evaluate(structure, {name: np.asarray(columns[name])[index] for name in numbers})
        for name, values in part.items():
            values = np.asarray(values)
            if name not in results:
                results[name] = np.empty(count, dtype=values.dtype)
            elif results[name].dtype != values.dtype:
                results[name] = results[name].astype(np.result_type(results[name].dtype, values.dtype))
            results[name][index] = values
    return results
