"""A model: architecture figures turned into workloads, torch modules and example inputs.

``Model`` is what the rest of the product knows; ``ArchitectureModel`` serves presets and configuration files, captured
modules serve the same attributes with kind ``captured``. Torch is imported only by ``module`` and ``example_inputs``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from codesign.errors import UsageError, nearest
from codesign.models import decoder, encoder, recommender, resnet, speech, unet
from codesign.models import figures as fig
from codesign.models.lengths import DEFAULTS, Lengths, check_context, lengths
from codesign.models.precision import Precision, bits_of, plain_dtype, precision
from codesign.models.shorten import shortened
from codesign.workload.differentiate import differentiate
from codesign.workload.einsum import Extent, Role, op_ranks
from codesign.workload.graph import Workload

if TYPE_CHECKING:
    import torch

MODES = ("inference", "training")


class Model(Protocol):
    """What every form of model offers."""

    @property
    def name(self) -> str:
        """Short name."""

    @property
    def source(self) -> str:
        """What the user wrote to get it."""

    @property
    def kind(self) -> str:
        """One of causal-lm, encoder, vision, seq2seq, diffusion, recommender, captured."""

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes an inference run takes, with their defaults."""

    @property
    def parameters(self) -> int:
        """Number of stored parameters; tied ones count once."""

    @property
    def active_parameters(self) -> float:
        """Parameters one token reads; fewer than stored in a mixture of experts."""

    @property
    def checkpoint_dtype(self) -> str:
        """Dtype of the published weights."""

    @property
    def checkpoint(self) -> str:
        """Name of the published weights as serving engines take it; empty where there is none."""

    @property
    def phases(self) -> tuple[str, ...]:
        """Names of the phases of an inference run."""

    @property
    def experts(self) -> fig.Experts | None:
        """Mixture-of-experts figures, if any."""

    @property
    def heads(self) -> tuple[int, int] | None:
        """Query heads of a layer, and heads of keys and values, which tensor parallelism splits; None without any."""

    def describe(self) -> dict[str, Any]:
        """Return everything the model is made of as plain data."""

    def workload(self, *args: Any, **sizes: Any) -> Workload:
        """Return what a run computes (sizes as ``sizes`` names them, ``mode``, ``dtype``, ``kv_dtype``)."""

    def kv_bytes_per_token(self, bits: float | None = None) -> float:
        """Return bytes of cache per token of one sequence, over all layers."""

    def module(
        self, layers: int | None = None, device: str = "cpu", dtype: str | None = None, seed: int = 0
    ) -> torch.nn.Module:
        """Return a torch module with random weights."""

    def example_inputs(
        self,
        batch: int = 1,
        prompt: int | None = None,
        device: str = "cpu",
        seed: int = 0,
        layers: int | None = None,
        dtype: str | None = None,
    ) -> tuple[Any, ...]:
        """Return inputs of one forward pass of the module."""


Build = Callable[[str, Any, Lengths, Precision], Workload]


class Family(msgspec.Struct, frozen=True):
    """How a family of figures becomes workloads, and which sizes a run of it takes (with defaults)."""

    inference: Build
    training: Build
    sizes: Mapping[str, int]
    training_sizes: Mapping[str, int]


def _derived(build: Build) -> Build:
    """Return the training step of a family whose inference is one forward phase."""
    return lambda name, figures, run, p: differentiate(build(name, figures, run, p))


def _only(*names: str, **other: int) -> dict[str, int]:
    return {**{name: DEFAULTS[name] for name in names}, **other}


FAMILIES: dict[type[fig.Figures], Family] = {
    fig.Decoder: Family(
        decoder.inference, decoder.training, _only("batch", "prompt", "generate", "context"), _only("batch", "prompt")
    ),
    fig.Encoder: Family(encoder.bert, _derived(encoder.bert), _only("batch", prompt=128), _only("batch", prompt=128)),
    fig.VisionTransformer: Family(encoder.vit, _derived(encoder.vit), _only("batch"), _only("batch")),
    fig.ResNet: Family(resnet.resnet, _derived(resnet.resnet), _only("batch"), _only("batch")),
    fig.SpeechTransformer: Family(
        speech.inference, speech.training, _only("batch", "generate", prompt=4), _only("batch", prompt=128)
    ),
    fig.DiffusionUNet: Family(unet.denoise, unet.training, _only("batch", steps=50), _only("batch")),
    fig.Recommender: Family(recommender.dlrm, _derived(recommender.dlrm), _only("batch"), _only("batch")),
}


class ArchitectureModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model known by its architecture figures.

    Attributes:
        name: Short name.
        source: What the user wrote: a preset's name or ``hf:PATH``.
        preset: Figures, published counts and their sources.
    """

    name: str
    source: str
    preset: fig.Preset

    @property
    def kind(self) -> str:
        """Return what the model is used for."""
        return self.preset.kind

    @property
    def figures(self) -> fig.AnyFigures:
        """Return the architecture figures."""
        return self.preset.figures

    @property
    def checkpoint_dtype(self) -> str:
        """Return the dtype of the published weights."""
        return self.preset.checkpoint_dtype

    @property
    def checkpoint(self) -> str:
        """Return the name of the published weights as serving engines take it; empty where there is none."""
        return self.preset.checkpoint

    @property
    def phases(self) -> tuple[str, ...]:
        """Return the names of the phases of an inference run."""
        return tuple(phase.name for phase in self._smallest().phases)

    @property
    def experts(self) -> fig.Experts | None:
        """Return the mixture-of-experts figures, if any."""
        return self.figures.experts if isinstance(self.figures, fig.Decoder) else None

    @property
    def heads(self) -> tuple[int, int] | None:
        """Return the query heads of a layer, and its heads of keys and values; latent attention shares none."""
        if isinstance(self.figures, fig.Decoder) and self.figures.latent is None:
            return self.figures.heads, self.figures.kv_heads
        if isinstance(self.figures, fig.Decoder | fig.Encoder | fig.VisionTransformer | fig.SpeechTransformer):
            return self.figures.heads, self.figures.heads
        return None

    def describe(self) -> dict[str, Any]:
        """Return everything the model is made of as plain data: figures, counts, published counts, sources."""
        stated: dict[str, Any] = msgspec.to_builtins(self.preset)
        counted = {
            "parameters": self.parameters,
            "active_parameters": self.active_parameters,
            "kv_bytes_per_token": self.kv_bytes_per_token(),
            "published_parameters": stated["parameters"],
            "published_active_parameters": stated["active_parameters"],
        }
        return {"name": self.name, **stated, **counted, "phases": list(self.phases), "longest_sequence": self.longest}

    @property
    def sizes(self) -> dict[str, int]:
        """Return the sizes an inference run takes, with their defaults."""
        known = dict(FAMILIES[type(self.figures)].sizes)
        if isinstance(self.figures, fig.DiffusionUNet):
            known["steps"] = self.figures.steps
        return known

    @property
    def parameters(self) -> int:
        """Return the number of stored parameters; tied ones count once."""
        return int(self._smallest().elements(Role.WEIGHT))

    @property
    def active_parameters(self) -> float:
        """Return the parameters one token reads: of the routed experts only its own; tables looked up count whole."""
        seen: dict[str, Any] = {}
        for phase in self._smallest().phases:
            for block, group in phase.groups():
                for t, op, _ in group.memory_views():
                    if t.role is Role.WEIGHT:
                        seen.setdefault(t.name, t.elements(op_ranks(op)) * t.touched * block.repeat)
        return float(sum(seen.values()))

    def _smallest(self) -> Workload:
        ones: dict[str, Any] = {name: 1 for name in self.sizes if name != "context"}
        return self.workload(**ones)

    def workload(
        self,
        batch: Extent | None = None,
        prompt: Extent | None = None,
        generate: Extent | None = None,
        context: Extent | None = None,
        steps: Extent | None = None,
        mode: str = "inference",
        dtype: str | None = None,
        kv_dtype: str | None = None,
    ) -> Workload:
        """Return what a run computes; sizes may be arrays that broadcast over design points.

        Args:
            batch: Sequences, images or samples at once.
            prompt: New tokens of each sequence.
            generate: Output tokens of each sequence, the first of which the prefill samples.
            context: Tokens of each sequence already cached.
            steps: Denoising steps of each image.
            mode: ``inference`` or ``training`` (forward, backward, optimizer).
            dtype: Storage and compute dtype of the layers' matrices; default the checkpoint's.
            kv_dtype: Storage dtype of the cache; default the plain dtype beside ``dtype``.
        """
        if mode not in MODES:
            raise UsageError(f"mode {mode!r} is unknown", nearest(mode, MODES))
        family = FAMILIES[type(self.figures)]
        accepted = self.sizes if mode == "inference" else dict(family.training_sizes)
        given = {"batch": batch, "prompt": prompt, "generate": generate, "context": context, "steps": steps}
        run = lengths(f"{mode} of {self.name}", accepted, given)
        limit = self.longest
        if limit is not None:
            check_context(self.name, limit, run, mode)
        numbers = precision(dtype or self.checkpoint_dtype, kv_dtype)
        build = family.inference if mode == "inference" else family.training
        return build(self.name, self.figures, run, numbers)

    @property
    def longest(self) -> int | None:
        """Return the longest sequence the model supports, in tokens; None without text."""
        f = self.figures
        if isinstance(f, fig.Decoder):
            return f.context
        if isinstance(f, fig.Encoder):
            return f.positions
        return f.text_context if isinstance(f, fig.SpeechTransformer) else None

    def kv_bytes_per_token(self, bits: float | None = None) -> float:
        """Return bytes of cache per token of one sequence over all layers.

        ``bits`` is the storage of an element; default that of the checkpoint's plain dtype.
        """
        width = bits if bits is not None else bits_of(plain_dtype(self.checkpoint_dtype))
        f = self.figures
        if isinstance(f, fig.Decoder) and f.latent is not None:
            return f.layers * (f.latent.kv_rank + f.latent.rope_size) * width / 8
        if isinstance(f, fig.Decoder):
            return 2 * f.layers * f.kv_heads * f.head_size * width / 8
        return 2 * f.decoder_layers * f.width * width / 8 if isinstance(f, fig.SpeechTransformer) else 0.0

    def module(
        self, layers: int | None = None, device: str = "cpu", dtype: str | None = None, seed: int = 0
    ) -> torch.nn.Module:
        """Return a torch module of the architecture with random weights, in evaluation mode.

        Args:
            layers: Shorten to so many layers (see ``shortened``); None builds all of them.
            device: Torch device; ``meta`` allocates nothing.
            dtype: fp32, fp16 or bf16; default the checkpoint's, bf16 for quantised ones.
            seed: Seed of the random weights.
        """
        import torch

        from codesign.models.torch_modules import build

        known = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "fp64": torch.float64}
        chosen = dtype or (self.checkpoint_dtype if self.checkpoint_dtype in known else "bf16")
        if chosen not in known:
            raise UsageError(f"dtype {chosen!r} is none a torch module runs in", nearest(chosen, known))
        return build(shortened(self.name, self.figures, layers), device, known[chosen], seed)

    def example_inputs(
        self,
        batch: int = 1,
        prompt: int | None = None,
        device: str = "cpu",
        seed: int = 0,
        layers: int | None = None,
        dtype: str | None = None,
    ) -> tuple[Any, ...]:
        """Return inputs of one forward pass of ``module`` built with the same ``layers`` and ``dtype``."""
        import torch

        from codesign.models.torch_modules import inputs

        known = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "fp64": torch.float64}
        chosen = known.get(dtype or self.checkpoint_dtype, torch.bfloat16)
        length = prompt if prompt is not None else self.sizes.get("prompt", 1)
        made = inputs(shortened(self.name, self.figures, layers), batch, length, device, seed)
        return tuple(t.to(chosen) if t.is_floating_point() else t for t in made)
