"""Ensembles of regression trees as plain arrays: what scikit-learn fits, kept without its objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.quantity import Array

BLOCK = 256
"""Rows that walk all trees together: their state fits the processor's cache."""

DEEPEST = 256
"""Levels of a tree: each is a pass over the rows."""

TREE_ARRAYS = ("feature", "threshold", "left", "right", "value", "root")
"""Fields of ``Trees`` that are arrays, as files name them."""


class Trees(msgspec.Struct, frozen=True, eq=False):
    """The mean of the outputs of ensembles; nodes of all trees in one array, every tree's root at ``root``.

    Attributes:
        feature: Feature that a node compares, int16; of a leaf 0.
        threshold: Rows of at most this go left, float32; of a leaf +inf.
        left: Node of those; of a leaf itself.
        right: Node of the others.
        value: Output of a leaf, float32.
        root: Of each tree, int32.
        depth: Steps from a root to the deepest leaf.
        offset: Added to the sum.
    """

    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    root: NDArray[np.int32]
    depth: int
    offset: float

    def predict(self, features: NDArray[np.float32]) -> Array:
        """Return the output for each row of ``features`` (n, features), shape (n,), whatever stands beside it."""
        found = np.empty(len(features))
        feature, child = self.feature.astype(np.int32), np.stack([self.left, self.right], axis=1).ravel()
        for begin in range(0, len(features), BLOCK):
            block = features[begin : begin + BLOCK]
            flat, row = np.ascontiguousarray(block.T).ravel(), np.arange(len(block), dtype=np.int32)
            node = np.repeat(self.root[:, None], len(block), axis=1)
            for _ in range(self.depth):
                at = feature.take(node)
                at *= np.int32(len(block))
                at += row
                right = flat.take(at) > self.threshold.take(node)
                node *= np.int32(2)
                node += right
                node = child.take(node)
            found[begin : begin + BLOCK] = self.value.take(node).sum(axis=0, dtype=np.float64) + self.offset
        return found


def mean_of(parts: Sequence[Trees]) -> Trees:
    """Return the mean of ``parts``, which are as many trees each; ``part`` returns them again."""
    begins = np.cumsum([0, *(len(part.feature) for part in parts[:-1])]).astype(np.int32)
    moved = {
        name: np.concatenate([getattr(part, name) + begin for part, begin in zip(parts, begins, strict=True)])
        for name in ("left", "right", "root")
    }
    # every tree carries its part of the offset, so that a part of them has its own
    values = [(part.value + part.offset / len(part.root) * _leaf(part)) / len(parts) for part in parts]
    return Trees(
        feature=np.concatenate([part.feature for part in parts]),
        threshold=np.concatenate([part.threshold for part in parts]),
        value=np.concatenate(values).astype(np.float32), **moved,
        depth=max(part.depth for part in parts), offset=0.0,
    )  # fmt: skip


def part(trees: Trees, at: int, count: int) -> Trees:
    """Return one of the ``count`` parts that ``trees`` are the mean of."""
    each = len(trees.root) // count
    return msgspec.structs.replace(
        trees, value=trees.value * np.float32(count), root=trees.root[at * each : (at + 1) * each]
    )


def _leaf(trees: Trees) -> NDArray[np.bool_]:
    return np.asarray(trees.left == np.arange(len(trees.left)), np.bool_)


def of_ensembles(fitted: Sequence[Any]) -> Trees:
    """Return the mean of fitted histogram gradient boostings of scikit-learn, of one output and no categories."""
    parts: dict[str, list[Any]] = {name: [] for name in ("feature", "threshold", "left", "right", "value")}
    roots, deepest, total = [], 0, 0
    for model in fitted:
        for (predictor,) in model._predictors:  # the one place where the arrays of a fitted tree are kept
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            own = np.arange(len(nodes), dtype=np.int32)
            parts["feature"].append(np.where(leaf, 0, nodes["feature_idx"]).astype(np.int16))
            parts["threshold"].append(np.where(leaf, np.inf, nodes["num_threshold"]).astype(np.float32))
            parts["left"].append(np.where(leaf, own, nodes["left"].astype(np.int32)) + total)
            parts["right"].append(np.where(leaf, own, nodes["right"].astype(np.int32)) + total)
            parts["value"].append((nodes["value"] / len(fitted)).astype(np.float32))
            roots.append(total)
            deepest, total = max(deepest, int(nodes["depth"].max())), total + len(nodes)
    columns = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return Trees(
        feature=columns["feature"], threshold=columns["threshold"], left=columns["left"].astype(np.int32),
        right=columns["right"].astype(np.int32), value=columns["value"], root=np.array(roots, np.int32), depth=deepest,
        offset=float(np.mean([model._baseline_prediction.item() for model in fitted])),
    )  # fmt: skip


def of_forest(forest: Any) -> Trees:
    """Return the mean of a fitted forest of scikit-learn (random or extra trees) of one output."""
    parts: dict[str, list[Any]] = {name: [] for name in ("feature", "threshold", "left", "right", "value")}
    roots, deepest, total = [], 0, 0
    for tree in (estimator.tree_ for estimator in forest.estimators_):
        own = np.arange(tree.node_count, dtype=np.int32)
        leaf = tree.children_left < 0
        # rows are float32: they are at most a float64 bound exactly where they are at most the float32 below it
        bound = tree.threshold.astype(np.float32)
        bound = np.where(bound > tree.threshold, np.nextafter(bound, np.float32(-np.inf)), bound)
        parts["feature"].append(np.where(leaf, 0, tree.feature).astype(np.int16))
        parts["threshold"].append(np.where(leaf, np.inf, bound).astype(np.float32))
        parts["left"].append(np.where(leaf, own, tree.children_left) + total)
        parts["right"].append(np.where(leaf, own, tree.children_right) + total)
        parts["value"].append((tree.value[:, 0, 0] / len(forest.estimators_)).astype(np.float32))
        roots.append(total)
        deepest, total = max(deepest, int(tree.max_depth)), total + tree.node_count
    columns = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return Trees(
        feature=columns["feature"], threshold=columns["threshold"], left=columns["left"].astype(np.int32),
        right=columns["right"].astype(np.int32), value=columns["value"], root=np.array(roots, np.int32), depth=deepest,
        offset=0.0,
    )  # fmt: skip


def checked_trees(arrays: Mapping[str, Any], at: str, depth: int, offset: float) -> Trees:
    """Return the trees that a file holds under ``at``; their indices stay within them.

    Raises:
        KeyError: an array is missing.
        ValueError, IndexError: an array is wrong; the message names it.
    """
    trees = {field: arrays[f"{at}/{field}"] for field in TREE_ARRAYS}
    nodes = len(trees["feature"])
    if not 0 <= depth <= DEEPEST or not np.isfinite(trees["value"]).all():
        raise ValueError(at)
    for field in ("left", "right", "root"):
        if not ((trees[field] >= 0) & (trees[field] < nodes)).all():
            raise IndexError(f"{at}/{field}")
    if any(len(trees[field]) != nodes for field in TREE_ARRAYS if field != "root"):
        raise ValueError(at)
    return Trees(**trees, depth=depth, offset=offset)
