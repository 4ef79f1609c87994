"""A sweep that cannot be finished keeps what was, and says what to know of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from codesign.errors import EnvironmentLacks, UsageError
from codesign.profilers import Profile, profile, torch_cpu
from codesign.profilers import sweep as sweep_module
from codesign.profilers.effort import MOST_EFFORT, Effort
from codesign.profilers.measure import Measurement
from codesign.profilers.results import BatchProfile
from codesign.profilers.split import Split


def gpt2(batches: tuple[int, ...]) -> Profile:
    return profile("gpt2", batches=batches, phase="prefill", prompt=4, layers=1, dtype="fp32", repeats=2, threads=1)


def failing_from(batch: int, error: BaseException) -> Callable[..., Any]:
    original = torch_cpu.profile_pass

    def profiled(run: Any, size: int, *rest: Any, **options: Any) -> Any:
        if size >= batch:
            raise error
        return original(run, size, *rest, **options)

    return profiled


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (MemoryError(), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
    ],
)
def test_batches_that_were_finished_are_kept(monkeypatch: pytest.MonkeyPatch, error: BaseException, why: str) -> None:
    monkeypatch.setattr(sweep_module, "profile_pass", failing_from(2, error))
    found = gpt2((1, 2, 4))
    assert [b.batch for b in found.batches] == [1]
    assert found.left_out == {2: why, 4: why}
    assert f"batch 2, 4 left out: {why}" in found.caveats


def test_without_a_finished_batch_there_is_no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "profile_pass", failing_from(1, MemoryError()))
    with pytest.raises(EnvironmentLacks, match="ran out of memory"):
        gpt2((1, 2))
    monkeypatch.setattr(sweep_module, "profile_pass", failing_from(1, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        gpt2((1, 2))


def test_any_other_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "profile_pass", failing_from(2, RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        gpt2((1, 2))


class Own:
    """A module of the user's own whose inputs do not fit it."""

    name, source, kind, checkpoint_dtype, sizes = "net", "py:net:make", "captured", "fp32", {"batch": 1}

    def __init__(self, *shape: int) -> None:
        self._shape = shape

    def module(self) -> Any:
        """Return the module."""
        import torch

        return torch.nn.Linear(8, 4)

    def example_inputs(self) -> tuple[Any, ...]:
        """Return its inputs."""
        import torch

        return (torch.ones(*self._shape),)


def test_a_module_that_does_not_run_on_its_inputs_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="net does not run on its inputs: mat1 and mat2 shapes cannot be multiplied"):
        profile(Own(5, 7), repeats=2)
    assert profile(Own(5, 8), repeats=2).batches[0].batch == 5


def test_effort_says_which_limit_stops_it() -> None:
    now = [0.0]
    effort = Effort(0.1, clock=lambda: now[0])
    assert effort.leaves_out(8) == ""  # nothing is known yet
    effort.measured(1, 0.1)
    assert effort.leaves_out(2) == ""
    assert "a pass would take about 800 ms" in effort.leaves_out(8)
    now[0] = 0.1 * MOST_EFFORT + 0.5
    assert effort.leaves_out(2).startswith("the sweep has taken 3.50 s, over 30 times the 100 ms given")


@pytest.mark.parametrize(
    ("busy", "profiled", "says"),
    [
        (False, 1.0, ()),
        (True, 1.0, ("batch 1: the repeats scatter",)),
        (False, 2.0, ("batch 1: the profiled passes took another time",)),
        (True, 0.4, ("batch 1: the repeats scatter", "batch 1: the profiled passes took another time")),
    ],
)
def test_doubtful_figures_are_said_wherever_the_profile_goes(
    busy: bool, profiled: float, says: tuple[str, ...]
) -> None:
    batch = BatchProfile(
        batch=1, latency=Measurement(1.0, 0.9, 1.1, 9, 1, busy, "2"), profiled=profiled,
        split=Split(1, 10, 1, 1, 8, ()), flops=1.0,
    )  # fmt: skip
    found = Profile(
        model="m", source="m", device="cpu", phase="forward", dtype="fp32", layers=None, prompt=None, context=None,
        threads=1, seed=0, torch="2", batches=(batch,), notes=("emulated",),
    )  # fmt: skip
    assert len(found.caveats) == len(says) + 1
    assert all(text.startswith(start) for text, start in zip(found.caveats, (*says, "emulated"), strict=True))
