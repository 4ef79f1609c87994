"""Fused mappings found: never worse than unfused, within the bounds, the same for a seed."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from codesign.costmodels.accelerator.cascade_text import parse_cascade
from codesign.costmodels.accelerator.fused import evaluate_cascade
from codesign.errors import LimitCrossed, UsageError
from codesign.search.mapping.cascade import map_cascade
from codesign.search.pareto import nondominated
from codesign.targets.spatial import load_architecture
from tests.costmodels.accelerator.test_fused import machine

MLP = parse_cascade("mlp:P16D8M32N8")


def test_the_front_holds_fused_and_unfused_alike() -> None:
    target = machine(depth=2048, bandwidth=2.0)
    front = map_cascade(MLP, target, budget=50)
    assert nondominated(front.values).all()
    assert (front.values.min(axis=0) <= front.unfused).all()
    least = sum(MLP.external.values()) / 8
    for one, values in zip(front.mappings, front.values, strict=True):
        assert one.costs.feasible.all()
        assert one.costs.traffic[0] >= least
        again = evaluate_cascade(MLP, target, one.parts)
        assert values.tolist() == pytest.approx([again.energy[1, 0], again.cycles[0]], rel=1e-12)
        assert dict(one.candidate.stay) == one.costs.retained
    # all of A fits the buffer: nothing needs to travel twice
    assert front.mappings[0].costs.traffic[0] == least
    assert front.values[0, 0] < front.unfused[0]


def test_a_small_buffer_shares_loops() -> None:
    target = machine(depth=400, bandwidth=2.0)
    front = map_cascade(MLP, target, objectives=("traffic",), budget=50)
    (best,) = front.mappings
    assert best.candidate.stay == {"A": "buffer"}
    assert best.candidate.shared, "512 words of A do not fit 400"
    assert best.costs.traffic[0] < front.unfused[0]
    same = map_cascade(MLP, target, objectives=("traffic",), budget=50)
    assert np.array_equal(same.values, front.values)


def test_a_recurrence_shares_its_generations() -> None:
    cascade = parse_cascade("attention:H1P2M8E2F2,passes=1,tile=4,bits=16")
    front = map_cascade(cascade, load_architecture("fusemax"), budget=20, latency="pipelined")
    assert np.isinf(front.unfused).all()
    for one in front.mappings:
        assert one.candidate.shared[-1] == ("m1", 2)
        assert one.costs.traffic[0] >= sum(cascade.external.values()) / 8
    turned = map_cascade(cascade, load_architecture("fusemax"), budget=20)
    assert front.values[:, 1].min() < turned.values[:, 1].min()


def test_einsums_that_wait_for_the_outermost_memory_are_mapped_to_be_quick_all_the_same() -> None:
    cascade, fast = parse_cascade("attention:H1P16M64E16F16,bits=16"), load_architecture("fusemax")
    slow = msgspec.structs.replace(
        fast, nodes=(msgspec.structs.replace(fast.nodes[0], shared_bandwidth=40.0), *fast.nodes[1:])
    )
    best = map_cascade(cascade, slow, objectives=("latency",), budget=12).values.min()
    for one in map_cascade(cascade, fast, objectives=("latency", "traffic"), budget=12).mappings:
        seconds = evaluate_cascade(cascade, slow, one.parts).seconds
        assert seconds is not None
        assert best <= seconds[0] * (1.0 + 1e-12)


def test_what_cannot_be_searched_is_named() -> None:
    with pytest.raises(UsageError, match="no compute unit has 'max', which GM takes"):
        map_cascade(parse_cascade("attention:H2P8M16E4F4"), load_architecture("eyeriss-like"))
    with pytest.raises(UsageError, match="unknown objective 'enrgy'"):
        map_cascade(MLP, machine(), objectives=("enrgy",))
    with pytest.raises(LimitCrossed, match="no mapping fits"):
        map_cascade(MLP, machine(depth=1), budget=20)
