"""What the comparison with a peer asks the peer, and how it scores both."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROW = {"gemm_quant_mode": "fp8_block", "moe_quant_mode": "fp8_block", "moe_tp_size": 1, "moe_ep_size": 8}


@pytest.fixture(scope="module")
def against() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("serving_against")


def design(against: ModuleType, model: str = "deepseek-v3", dtype: str = "fp8", **changed: Any) -> Any:
    fixed = against.Design("b200_sxm", "trtllm", model, dtype, 8, 1, True, 64.0, 900.0, 922.0)
    return fixed._replace(**changed)


def way(against: ModuleType, **changed: str) -> Any:
    return against.WAYS[0]._replace(**changed)


def test_ways_are_all_different_and_every_choice_is_made_both_ways(against: ModuleType) -> None:
    assert len(set(against.WAYS)) == len(against.WAYS) == 16
    assert all(len({getattr(one, name) for one in against.WAYS}) == 2 for name in against.Way._fields)


def test_the_batch_of_the_peer_is_that_of_one_rank_of_attention(against: ModuleType) -> None:
    split, spread = (against.ask(design(against, tp=tp, ep=ep), ROW, way(against)) for tp, ep in ((8, 1), (1, 8)))
    assert (split["batch_size"], split["tp_size"], split["attention_dp_size"]) == (64, 8, 1)
    assert (spread["batch_size"], spread["tp_size"], spread["attention_dp_size"]) == (8, 1, 8)
    assert (split["isl"], split["osl"]) == (900, 922)


def test_degrees_of_experts_are_those_of_the_row_where_they_are_of_its_devices(against: ModuleType) -> None:
    stated = ROW | {"moe_tp_size": 2, "moe_ep_size": 4}
    for experts in ("spread", "split"):
        asked = against.ask(design(against), stated, way(against, experts=experts))
        assert (asked["moe_tp_size"], asked["moe_ep_size"]) == (2, 4)


@pytest.mark.parametrize(("experts", "expected"), [("spread", (1, 8)), ("split", (8, 1))])
def test_degrees_that_the_table_multiplies_are_asked_both_ways(
    against: ModuleType, experts: str, expected: tuple[int, int]
) -> None:
    multiplied = ROW | {"moe_tp_size": 8, "moe_ep_size": 8}
    asked = against.ask(design(against), multiplied, way(against, experts=experts))
    assert (asked["moe_tp_size"], asked["moe_ep_size"]) == expected


def test_dense_models_have_no_experts_to_ask_for(against: ModuleType) -> None:
    assert "moe_tp_size" not in against.ask(design(against, "llama-3.1-70b"), ROW, way(against))


def test_formats_are_of_the_row_or_left_to_the_checkpoint(against: ModuleType) -> None:
    of_row = against.ask(design(against), ROW, way(against, formats="row"))
    of_checkpoint = against.ask(design(against), ROW, way(against, formats="checkpoint"))
    assert (of_row["gemm_quant_mode"], of_row["moe_quant_mode"]) == ("fp8_block", "fp8_block")
    assert "gemm_quant_mode" not in of_checkpoint


def test_a_checkpoint_that_does_not_say_nvfp4_is_asked_in_nvfp4(against: ModuleType) -> None:
    asked = against.ask(design(against, "llama-3.1-70b", "nvfp4"), ROW, way(against, formats="checkpoint"))
    assert asked["gemm_quant_mode"] == "nvfp4"


def test_the_cache_is_stored_as_ours_or_inferred(against: ModuleType) -> None:
    stated = against.ask(design(against), ROW, way(against, cache="stated"))
    before = against.ask(design(against, system="h100_sxm"), ROW, way(against, cache="stated"))
    assert (stated["kvcache_quant_mode"], before["kvcache_quant_mode"]) == ("fp8", "bfloat16")
    assert "kvcache_quant_mode" not in against.ask(design(against), ROW, way(against, cache="inferred"))


def test_ratios_weigh_further_tokens_by_their_number_and_are_nan_where_refused(against: ModuleType) -> None:
    table = pl.DataFrame({"ttft_ms": [100.0, 100.0], "tpot_ms": [10.0, 10.0], "generate": [11.0, 11.0]})
    first, further, request = against.ratios_of(table, [{"ttft_ms": 200.0, "tpot_ms": 5.0}, {"refused": "memory"}])
    assert (first[0], further[0], request[0]) == (2.0, 0.5, (200.0 + 50.0) / (100.0 + 100.0))
    assert all(np.isnan(ratio[1]) for ratio in (first, further, request))
