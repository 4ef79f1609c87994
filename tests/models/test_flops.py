"""FLOP of every family against torch's own counter on the module, layers shortened, nothing allocated.

Conventions that the comparison undoes: the counter takes attention without the causal mask (we divide by the density)
and counts matrix products and convolutions only (we take the tensor unit's operators).
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from codesign.models import ArchitectureModel, preset_model
from codesign.models.presets import list_presets
from codesign.models.shorten import shortened
from codesign.workload import Einsum, Phase

torch = pytest.importorskip("torch")


def short(name: str, layers: int) -> ArchitectureModel:
    """Return the preset with ``layers`` layers, as figures and so in both workload and module."""
    model = preset_model(name)
    preset = msgspec.structs.replace(model.preset, figures=shortened(name, model.figures, layers))
    return ArchitectureModel(name=name, source=name, preset=preset)


def products(*phases: Phase) -> float:
    """Return the FLOP of matrix products and convolutions as if nothing were masked."""
    total = 0.0
    for phase in phases:
        for block, group in phase.groups():
            for op in group.ops:
                if isinstance(op, Einsum) and op.compute.unit == "tensor":
                    total += float(op.flops() / op.density * block.repeat)
    return total


def counted(call: Any) -> int:
    """Return what torch's counter sees in ``call`` without fused attention kernels."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from codesign.models.torch_modules.experts import grouped_flops

    counter = FlopCounterMode(display=False, custom_mapping=grouped_flops())
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        call()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("name", list_presets())
def test_forward_pass(name: str) -> None:
    layers = 4 if name == "deepseek-v3" else 2
    model = short(name, layers)
    module: Any = model.module(device="meta")
    batch = 2 if name != "stable-diffusion-1.5" else 1
    inputs = model.example_inputs(batch=2, prompt=64, device="meta")
    sizes: dict[str, Any] = {"batch": batch, "prompt": 64, "generate": 2, "steps": 1}
    workload = model.workload(**{key: value for key, value in sizes.items() if key in model.sizes})
    phases = [phase for phase in workload.phases if phase.name != "decode"]
    assert products(*phases) == pytest.approx(counted(lambda: module(*inputs)), rel=1e-12)


@pytest.mark.parametrize("name", ["llama-3.2-1b", "qwen3-30b-a3b", "deepseek-v3", "gpt2"])
def test_decode_step(name: str) -> None:
    model = short(name, 4)
    module: Any = model.module(device="meta")
    (ids,) = model.example_inputs(batch=3, prompt=40, device="meta")
    cache = module.new_cache(64)
    with torch.no_grad():
        module(ids, cache)
    step = model.workload(batch=3, prompt=40, generate=2).phase("decode")
    assert step.steps is not None
    assert step.steps.start == 41
    assert products(step) == pytest.approx(counted(lambda: module(ids[:, :1], cache)), rel=1e-12)


def test_chunk_after_cached_context() -> None:
    model = short("llama-3.2-1b", 2)
    module: Any = model.module(device="meta")
    (ids,) = model.example_inputs(batch=2, prompt=96, device="meta")
    cache = module.new_cache(128)
    with torch.no_grad():
        module(ids[:, :64], cache)
    prefill = model.workload(batch=2, context=64, prompt=32, generate=1).phase("prefill")
    assert products(prefill) == pytest.approx(counted(lambda: module(ids[:, 64:], cache)), rel=1e-12)


def test_training_step() -> None:
    model = short("gpt2", 2)
    module: Any = model.module(device="meta")
    (ids,) = model.example_inputs(batch=2, prompt=64, device="meta")
    workload = model.workload(batch=2, prompt=64, mode="training")
    forward, backward = products(workload.phase("forward")), products(workload.phase("backward"))
    assert forward == pytest.approx(counted(lambda: module(ids, every_position=True)), rel=1e-12)
    # both operands of every product get a gradient of the same cost
    assert backward == pytest.approx(2 * forward, rel=1e-12)

    def step() -> None:
        with torch.enable_grad():
            module(ids, every_position=True).sum().backward()

    assert forward + backward == pytest.approx(counted(step), rel=1e-12)
