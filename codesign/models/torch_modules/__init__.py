"""Plain-torch modules of every preset family: our own code, random weights, no checkpoint is ever read.

Importing this package imports torch; ``codesign.models`` does so only when a module is asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

from codesign.models import figures as fig
from codesign.models.torch_modules.decoder import DecoderModel
from codesign.models.torch_modules.encoder import EncoderModel, VisionTransformerModel
from codesign.models.torch_modules.recommender import RecommenderModel
from codesign.models.torch_modules.resnet import ResNetModel
from codesign.models.torch_modules.speech import SpeechModel
from codesign.models.torch_modules.unet import UNetModel

CLASSES: dict[type[fig.Figures], Callable[..., nn.Module]] = {
    fig.Decoder: DecoderModel,
    fig.Encoder: EncoderModel,
    fig.VisionTransformer: VisionTransformerModel,
    fig.ResNet: ResNetModel,
    fig.SpeechTransformer: SpeechModel,
    fig.DiffusionUNet: UNetModel,
    fig.Recommender: RecommenderModel,
}

SPREAD = 0.02
"""Standard deviation of the random weights (GPT-2's initialisation)."""


PERIOD = 1_000_003
"""Elements after which random weights repeat: a prime, so that no two rows of a matrix are alike."""

STRIDE = 7919
"""How far the random numbers of one parameter start from those of the one before."""


def build(figures: fig.Figures, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Module:
    """Return the module of ``figures`` in evaluation mode, with random weights drawn from ``seed``.

    ``device="meta"`` allocates nothing, so full configurations can be counted and traced anywhere.
    """
    # built outside any fake mode, which batch norms cannot be built in; the storage below is then fake where one is on
    with unset_fake_temporarily(), torch.device("meta"):
        module = CLASSES[type(figures)](figures)
    module = materialised(module, device, dtype).eval()
    # fake tensors hold no numbers
    if device != "meta" and not isinstance(next(module.parameters()), FakeTensor):
        fill(module, torch.Generator(device=device).manual_seed(seed))
    return module


def materialised(module: nn.Module, device: str, dtype: torch.dtype) -> nn.Module:
    """Give every parameter and buffer of ``module`` its own empty storage; shared parameters stay shared.

    ``Module.to_empty`` would unshare tied weights, and fails while tensors are faked.
    """
    made: dict[int, torch.Tensor] = {}
    for part in module.modules():
        for held in (part._parameters, part._buffers):
            for name, old in held.items():
                if old is None:
                    continue
                if id(old) not in made:
                    empty = torch.empty(old.shape, device=device, dtype=dtype if old.is_floating_point() else old.dtype)
                    made[id(old)] = nn.Parameter(empty, old.requires_grad) if isinstance(old, nn.Parameter) else empty
                held[name] = made[id(old)]  # type: ignore[assignment]
    return module


def fill(module: nn.Module, generator: torch.Generator) -> None:
    """Fill every parameter and buffer: matrices at random, norms to one, biases and means to zero."""
    blocks: dict[torch.dtype, torch.Tensor] = {}
    with torch.no_grad():
        for number, (name, parameter) in enumerate(module.named_parameters()):
            if parameter.ndim < 2:
                parameter.fill_(0.0 if name.endswith(("bias", "correction")) else 1.0)
                continue
            if parameter.dtype not in blocks:
                block = torch.empty(PERIOD, device=parameter.device, dtype=parameter.dtype)
                blocks[parameter.dtype] = block.normal_(0.0, SPREAD, generator=generator)
            repeat(parameter, blocks[parameter.dtype].roll(STRIDE * number))
        for name, buffer in module.named_buffers():
            buffer.fill_(1.0 if name.endswith("running_var") else 0.0)
    if isinstance(module, SpeechModel):
        module.reset_fixed()


def repeat(parameter: torch.Tensor, block: torch.Tensor) -> None:
    """Fill ``parameter`` with ``block`` over and over: a billion random numbers would take half a minute."""
    flat = parameter.view(-1)
    for start in range(0, flat.numel(), block.numel()):
        part = flat[start : start + block.numel()]
        part.copy_(block[: part.numel()])


def inputs(
    figures: fig.Figures, batch: int, length: int, device: str = "cpu", seed: int = 0
) -> tuple[torch.Tensor, ...]:
    """Return inputs of one forward pass for ``batch`` samples and, where there is text, ``length`` tokens."""
    generator = torch.Generator(device="cpu").manual_seed(seed)

    def ids(limit: int, *shape: int) -> torch.Tensor:
        return torch.randint(limit, shape, generator=generator).to(device)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device)

    if isinstance(figures, fig.Decoder | fig.Encoder):
        return (ids(figures.vocabulary, batch, length),)
    if isinstance(figures, fig.VisionTransformer | fig.ResNet):
        return (noise(batch, figures.channels, figures.image, figures.image),)
    if isinstance(figures, fig.SpeechTransformer):
        return noise(batch, figures.mel_bins, figures.frames), ids(figures.vocabulary, batch, length)
    if isinstance(figures, fig.DiffusionUNet):
        text = noise(batch, figures.context_length, figures.context_width)
        return noise(batch, figures.channels, figures.sample, figures.sample), ids(1000, batch), text
    assert isinstance(figures, fig.Recommender)
    rows = torch.stack([ids(rows, batch, figures.lookups) for rows in figures.tables])
    return noise(batch, figures.dense_features), rows
