"""Where plans are tried: one simulated module, its data, and everything found out so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from codesign.errors import DataError
from codesign.search.quantization.apply import Simulator
from codesign.search.quantization.judge import Quality, judge, trivial
from codesign.search.quantization.task import SPLITS, Task
from codesign.search.quantization.threads import one_thread
from codesign.workload.quantization import LayerScheme, QuantizationPlan

AT_ONCE = 512
"""Samples of one forward pass."""

CALIBRATED = 256
"""Samples that ranges are calibrated on."""


class Laboratory:
    """Judges plans of one task; a plan that was judged before is looked up."""

    def __init__(self, task: Task) -> None:
        """Calibrate ``task``'s module, which from now on belongs to the laboratory.

        Raises:
            UsageError: it has no layer to quantise.
            DataError: the original's own answers are not numbers.
        """
        self.task = task
        self.simulator = Simulator(task.module, task.kv_layers)
        self._judged: dict[bytes, Mapping[str, Quality]] = {}
        with _quiet():
            self.simulator.observe(task.splits["calibration"].x[:CALIBRATED])
        original = self.qualities(QuantizationPlan({}))
        for name, quality in original.items():
            if not torch.isfinite(torch.tensor([quality.value, quality.loss])).all():
                raise DataError(
                    f"{task.name}: its {task.measure} on the split {name} is not a number before any quantization",
                    "check the weights of the model and the data",
                )
        self.original = original

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that plans quantise, in the module's order."""
        return tuple(self.simulator.layers)

    @property
    def called(self) -> tuple[str, ...]:
        """Those of ``layers`` whose inputs were seen: only their activations can be quantised."""
        return tuple(name for name in self.layers if name in self.simulator.samples)

    def trivial(self, split: str) -> float:
        """Return the quality of answering without the model on ``split``."""
        return trivial(self.task.splits["calibration"], self.task.splits[split], self.task.measure)

    def qualities(self, plan: QuantizationPlan) -> Mapping[str, Quality]:
        """Return the quality of the simulated plan on every split of ``SPLITS``."""
        import msgspec

        key = msgspec.json.encode(plan, order="deterministic")
        if key not in self._judged:
            with _quiet():
                self.simulator.load(plan)
                self._judged[key] = {name: self._judge(name) for name in SPLITS}
        return self._judged[key]

    def quality(self, plan: QuantizationPlan) -> Quality:
        """Return the quality on the split that drives the search, and look at no other."""
        with _quiet():
            self.simulator.load(plan)
            return self._judge("search")

    def _judge(self, name: str) -> Quality:
        split = self.task.splits[name]
        answers = torch.cat([self.simulator.module(part) for part in torch.split(split.x, AT_ONCE)])
        return judge(answers, split.y, self.task.measure)

    def scheme(self, name: str, weight_bits: int, activation_bits: int, **form: object) -> LayerScheme:
        """Return the scheme of a layer with its calibrated range; ``form`` is granularity, group size, symmetry."""
        with _quiet():
            limits = self.simulator.range_of(name, activation_bits)
        given = {"weight_bits": weight_bits, "activation_bits": activation_bits, "activation_range": limits, **form}
        return LayerScheme(**given)  # type: ignore[arg-type]


@contextmanager
def _quiet() -> Iterator[None]:
    """Compute without gradients, on one thread."""
    with torch.inference_mode(), one_thread():
        yield
