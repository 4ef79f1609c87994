"""Plain-torch modules of every preset family: our own code, random weights, no checkpoint is ever read.

Importing this package imports torch; ``codesign.models`` does so only when a module is asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

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


def build(figures: fig.Figures, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Module:
    """Return the module of ``figures`` in evaluation mode, with random weights drawn from ``seed``.

    ``device="meta"`` allocates nothing, so full configurations can be counted and traced anywhere.
    """
    with torch.device("meta"):
        module = CLASSES[type(figures)](figures)
    module = module.to(dtype).eval()
    if device == "meta":
        return module
    module = module.to_empty(device=device)
    generator = torch.Generator(device=device).manual_seed(seed)
    fill(module, generator)
    return module


def fill(module: nn.Module, generator: torch.Generator) -> None:
    """Fill every parameter and buffer: matrices at random, norms to one, biases and means to zero."""
    if hasattr(module, "tie"):
        module.tie()  # to_empty gives shared parameters storages of their own
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, SPREAD, generator=generator)
            else:
                parameter.fill_(0.0 if name.endswith(("bias", "correction")) else 1.0)
        for name, buffer in module.named_buffers():
            buffer.fill_(1.0 if name.endswith("running_var") else 0.0)
    if hasattr(module, "reset_fixed"):
        module.reset_fixed()


def inputs(figures: fig.Figures, batch: int, length: int, device: str = "cpu", seed: int = 0) -> tuple[torch.Tensor, ...]:
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
