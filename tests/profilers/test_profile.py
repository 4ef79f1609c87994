"""Real profiles of small models on this processor."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from codesign.errors import DataError, EnvironmentLacks, UsageError
from codesign.models import load_model
from codesign.profilers import Profile, profile
from codesign.profilers.measure import Request, measure_in_subprocess
from codesign.profilers.passes import check_memory


@pytest.fixture(scope="module")
def decoder() -> Profile:
    """Return a profile of a short GPT-2 at two batch sizes, on one thread."""
    return profile("gpt2", batches=(1, 2), phase="prefill", prompt=16, layers=1, dtype="fp32", repeats=3, threads=1)


def test_parts_add_up_and_every_operator_of_every_iteration_is_counted(decoder: Profile) -> None:
    for found in decoder.batches:
        s = found.split
        assert s.gap + s.dispatch + s.compute == s.iteration
        assert s.gap > 0
        assert s.dispatch > 0
        assert s.compute > 0
        assert all(row.calls % s.iterations == 0 for row in s.operators)
        addmm = next(r for r in s.operators if r.name == "aten::addmm")
        assert addmm.calls == 4 * s.iterations  # query-key-value, output, up, down; the head has no bias
        assert found.latency.repeats == 3
        assert found.latency.low <= found.latency.median <= found.latency.high


def test_counted_flops_are_those_of_the_matrix_products(decoder: Profile) -> None:
    width, tokens, vocabulary = 768, 16, 50257
    for found in decoder.batches:
        products = 2 * found.batch * (tokens * 12 * width**2 + vocabulary * width)
        attention = 2 * 2 * found.batch * tokens**2 * width
        assert found.flops == products + attention


def test_it_survives_json(decoder: Profile) -> None:
    assert msgspec.json.decode(decoder.to_json(), type=Profile) == decoder


class Captured:
    """A captured module as the profiler sees one: its inputs are fixed."""

    name, source, kind, checkpoint_dtype, sizes = "net", "py:net:make", "captured", "fp32", {"batch": 1}

    def module(self) -> Any:
        """Return the module."""
        import torch

        return torch.nn.Linear(8, 4)

    def example_inputs(self) -> tuple[Any, ...]:
        """Return its inputs."""
        import torch

        return (torch.ones(5, 8),)


def test_a_captured_module_runs_on_its_own_inputs() -> None:
    found = profile(Captured(), repeats=3)
    assert found.phase == "forward"
    assert [(b.batch, b.flops) for b in found.batches] == [(5, 2 * 5 * 8 * 4)]
    with pytest.raises(UsageError, match="takes no batch"):
        profile(Captured(), batches=(2,))


def test_a_decode_step_attends_to_its_context() -> None:
    found = profile("gpt2", phase="decode", context=32, layers=1, dtype="fp32", repeats=3).batches[0]
    assert found.flops == pytest.approx(2 * (12 * 768**2 + 50257 * 768), rel=0.01)


def test_what_cannot_be_profiled_is_refused() -> None:
    with pytest.raises(UsageError, match="device 'cup'"):
        profile("gpt2", device="cup")
    with pytest.raises(UsageError, match="no decode phase"):
        profile("bert-base", phase="decode")
    with pytest.raises(UsageError, match="batch is 0"):
        profile("gpt2", batches=(0,))
    with pytest.raises(UsageError, match="takes no prompt"):
        profile("resnet-18", prompt=5)
    with pytest.raises(UsageError, match="at most 1024"):
        profile("gpt2", prompt=2000)
    with pytest.raises(EnvironmentLacks, match="GiB of weights"):
        check_memory(load_model("gpt2"), None, "fp32", 500_000_000)
    check_memory(load_model("gpt2"), 1, "fp32", 500_000_000)


def test_a_worker_measures_refuses_and_times_out() -> None:
    request = Request(model="gpt2", phase="decode", layers=1, dtype="fp32", context=8, repeats=3, threads=1)
    found = measure_in_subprocess(request)
    assert found.repeats == 3
    assert found.threads == 1
    assert 0 < found.low <= found.median <= found.high
    with pytest.raises(UsageError, match="unknown"):
        measure_in_subprocess(msgspec.structs.replace(request, model="gpt3"))
    with pytest.raises(DataError, match="took over"):
        measure_in_subprocess(request, timeout=0.05)


def test_the_experts_of_a_mixture_are_counted() -> None:
    import torch

    from codesign.models.torch_modules.experts import grouped_flops
    from codesign.profilers.torch_cpu import count_flops

    assert grouped_flops()  # torch has no formula of its own
    rows, weights = torch.ones(8, 16, dtype=torch.bfloat16), torch.ones(2, 16, 32, dtype=torch.bfloat16)
    ends = torch.tensor([3, 8], dtype=torch.int32)
    assert count_flops(lambda: torch.nn.functional.grouped_mm(rows, weights, offs=ends)) == 2 * 8 * 16 * 32
