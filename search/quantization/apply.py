"""A plan applied to a torch module: weights replaced by their rounded values, activations rounded on the way in.

Layers are linear layers and convolutions. Everything else keeps its numbers.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from codesign.errors import UsageError, nearest
from codesign.workload.quantization import INTEGER, LayerScheme, QuantizationPlan

if TYPE_CHECKING:
    import torch

SAMPLE = 1 << 16
"""Input activations of a layer that its ranges are calibrated on."""

CACHED = re.compile(r"(^|[._])(k|v|key|value|keys|values|k_proj|v_proj|key_proj|value_proj)$")
"""Names of the modules whose outputs language models cache."""


def quantizable_layers(module: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Return module name -> layer whose weight a plan may quantise; of layers that share a weight the first.

    Raises:
        UsageError: there is none.
    """
    import torch

    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    found: dict[str, torch.nn.Module] = {}
    seen: set[int] = set()
    for name, part in module.named_modules():
        weight = getattr(part, "weight", None)
        if isinstance(part, kinds) and isinstance(weight, torch.nn.Parameter) and id(weight) not in seen:
            seen.add(id(weight))
            found[name] = part
    if not found:
        kind = type(module).__name__
        raise UsageError(f"{kind} has no quantizable layer", "expected linear layers or convolutions (torch.nn)")
    return found


def cached_layers(module: torch.nn.Module) -> tuple[str, ...]:
    """Return the linear layers whose names say that they make keys or values."""
    return tuple(name for name in quantizable_layers(module) if CACHED.search(name))


class Simulator:
    """One module under changing plans. Rounded weights are kept per layer and scheme, ranges per layer and width."""

    def __init__(self, module: torch.nn.Module, kv_layers: tuple[str, ...] = ()) -> None:
        """Take over ``module``: from now on it computes as the last loaded plan says."""
        self.module = module
        self.layers = quantizable_layers(module)
        self.kv_layers = kv_layers
        self.samples: dict[str, torch.Tensor] = {}
        self._weights: dict[str, torch.nn.Parameter] = {
            name: layer.get_parameter("weight") for name, layer in self.layers.items()
        }
        self._originals = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._rounded: dict[tuple[str, LayerScheme], torch.Tensor] = {}
        self._ranges: dict[tuple[str, int], tuple[float, float]] = {}
        self._inputs: dict[str, LayerScheme] = {}
        self._kv_bits = 32
        self._watched = False
        for name, layer in self.layers.items():
            layer.register_forward_pre_hook(self._round_input(name))
            if name in kv_layers:
                layer.register_forward_hook(self._round_output)

    def elements(self, name: str) -> int:
        """Return the number of weights of a layer."""
        return self._originals[name].numel()

    def channels(self, name: str) -> int:
        """Return the number of output channels of a layer."""
        return int(self._originals[name].shape[0])

    def observe(self, inputs: torch.Tensor) -> None:
        """Run the original on calibration ``inputs`` and keep a sample of what every layer reads.

        A layer that its module never calls (its weight is read elsewhere) has no sample: its activations stay.
        """
        self.load(QuantizationPlan({}))
        self._watched = True
        try:
            self.module(inputs)
        finally:
            self._watched = False

    def range_of(self, name: str, bits: int) -> tuple[float, float] | None:
        """Return the calibrated range of the inputs of a layer at a width; None where integers are not used."""
        if bits > INTEGER or name not in self.samples:
            return None
        from codesign.search.quantization.fake_quantize import calibrated_range

        if (name, bits) not in self._ranges:
            self._ranges[name, bits] = calibrated_range(self.samples[name], bits)
        low, high = self._ranges[name, bits]
        return (low, high) if low < high else None

    def load(self, plan: QuantizationPlan) -> None:
        """Compute as ``plan`` says until the next load.

        Raises:
            UsageError: the plan names a layer that the module lacks.
        """
        check_layers(plan, self.layers)
        for name, weight in self._weights.items():
            weight.data = self._weight(name, plan.layers.get(name))
        self._inputs = {name: scheme for name, scheme in plan.layers.items() if scheme.activation_bits < 32}
        self._kv_bits = plan.kv_bits

    def _weight(self, name: str, scheme: LayerScheme | None) -> torch.Tensor:
        from codesign.search.quantization.fake_quantize import fake_quantize_weight

        if scheme is None or scheme.weight_bits == 32:
            return self._originals[name]
        grid = LayerScheme(
            weight_bits=scheme.weight_bits, granularity=scheme.granularity, group_size=scheme.group_size,
            symmetric=scheme.symmetric,
        )  # fmt: skip
        if (name, grid) not in self._rounded:
            self._rounded[name, grid] = fake_quantize_weight(self._originals[name], grid)
        return self._rounded[name, grid]

    def _round_input(self, name: str) -> Any:
        from codesign.search.quantization.fake_quantize import fake_quantize_activation

        def hook(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if self._watched:
                values = given[0].detach().reshape(-1)
                self.samples[name] = values[:: -(-values.numel() // SAMPLE)].clone()
            scheme = self._inputs.get(name)
            if scheme is None:
                return None
            return (fake_quantize_activation(given[0], scheme.activation_bits, scheme.activation_range), *given[1:])

        return hook

    def _round_output(self, _: Any, __: Any, made: torch.Tensor) -> torch.Tensor:
        from codesign.search.quantization.fake_quantize import fake_quantize_cache

        return fake_quantize_cache(made, self._kv_bits)


def check_layers(plan: QuantizationPlan, layers: Mapping[str, Any]) -> None:
    """Refuse a plan that names a layer which is not there."""
    for name in (*plan.layers, *plan.kv_layers):
        if name not in layers:
            raise UsageError(f"the plan names a layer {name!r} that the model lacks", nearest(name, layers))


def apply_plan(module: torch.nn.Module, plan: QuantizationPlan) -> torch.nn.Module:
    """Return a copy of ``module`` that computes with simulated quantization as ``plan`` says.

    Weights hold their rounded values; activations are rounded to the plan's calibrated ranges (a layer without one
    takes the range of each input); keys and values are rounded as they are made.

    Raises:
        UsageError: the plan names a layer that the module lacks, or it has none to quantise.
    """
    check_layers(plan, quantizable_layers(module))
    simulated = Simulator(copy.deepcopy(module), plan.kv_layers)
    simulated.load(plan)
    return simulated.module
