"""Expected share of experts touched, against simulation and exact enumeration."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from codesign.models import preset_model
from codesign.models.experts import touched
from codesign.models.figures import Experts
from codesign.workload import Role, op_ranks


def test_exact_enumeration_of_small_routers() -> None:
    for count, top, tokens in ((4, 2, 1), (4, 2, 2), (4, 2, 3), (5, 1, 3), (3, 3, 2)):
        picks = list(combinations(range(count), top))
        shares = [len(set().union(*chosen)) / count for chosen in product(picks, repeat=tokens)]
        experts = Experts(count=count, per_token=top, width=1)
        assert touched(experts, tokens) == pytest.approx(np.mean(shares), rel=1e-12)


def test_simulation_of_a_large_router() -> None:
    random = np.random.Generator(np.random.Philox(7))
    scores = random.random((400, 16, 128))
    chosen = np.argsort(scores, axis=2)[:, :, :8]
    visited = np.zeros((400, 128), dtype=bool)
    np.put_along_axis(visited, chosen.reshape(400, -1), True, axis=1)
    expected = touched(Experts(count=128, per_token=8, width=1), 16)
    assert visited.mean() == pytest.approx(expected, rel=0.01)


def test_weights_read_grow_with_tokens_and_stay_stored() -> None:
    model = preset_model("mixtral-8x7b")
    batches = np.array([1, 2, 8, 1000])
    decode = model.workload(batch=batches, prompt=16, generate=2).phase("decode")
    (group,) = [g for b, g in decode.groups() if g.family == "moe"]
    read: Any = sum(t.traffic(op_ranks(op)) for t, op, _ in group.memory_views() if t.role is Role.WEIGHT)
    stored = 3 * 8 * 4096 * 14336 * 2
    np.testing.assert_allclose(read, stored * (1 - 0.75**batches), rtol=1e-12)
    assert read[0] == pytest.approx(stored / 4)
    work = np.asarray(group.flops())
    np.testing.assert_allclose(work / batches, work[0], rtol=1e-12)
