"""Architecture figures: the few numbers of a public document from which everything about a model follows.

One frozen struct per family, tagged by ``family`` in the preset files. Both the workload builders (no torch) and the
plain-torch modules read these structs, so a figure is written once. Lengths are counts of elements, never bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from codesign.errors import DataError

Count = Annotated[int, msgspec.Meta(ge=1, le=10**12)]
Some = Annotated[int, msgspec.Meta(ge=0, le=10**12)]

Activation = Literal["silu", "gelu", "relu"]
Kind = Literal["causal-lm", "encoder", "vision", "seq2seq", "diffusion", "recommender", "captured"]


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="family"):
    """Root of all families; ``family`` in a preset file chooses the subclass."""


class Experts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mixture of experts: ``per_token`` distinct experts of ``count`` run for each token.

    Attributes:
        count: Routed experts of one layer.
        per_token: Distinct routed experts per token.
        width: Hidden width of one expert.
        shared: Experts that every token visits, beside the routed ones; merged into one MLP of ``shared * width``.
        dense_layers: First layers that keep a dense MLP of ``mlp_width`` instead.
        scoring: Router score; ``sigmoid`` routers carry a correction bias per expert.
        groups: Expert groups of group-limited routing; 1 = none.
        kept_groups: Groups a token may choose from.
    """

    count: Count
    per_token: Count
    width: Count
    shared: Some = 0
    dense_layers: Some = 0
    scoring: Literal["softmax", "sigmoid"] = "softmax"
    groups: Count = 1
    kept_groups: Count = 1


class Latent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Latent attention: keys and values are projections of one cached vector of ``kv_rank + rope_size`` per token.

    Attributes:
        query_rank: Width of the compressed query.
        kv_rank: Width of the cached latent.
        rope_size: Rotary part of a head, one key shared by all heads.
        plain_size: Non-rotary part of a query or key head.
        value_size: Size of a value head.
    """

    query_rank: Count
    kv_rank: Count
    rope_size: Count
    plain_size: Count
    value_size: Count


class Decoder(Figures, frozen=True, tag="decoder"):
    """Causal language model: gpt2, llama, qwen3, mixtral and deepseek are settings of these figures.

    Attributes:
        layers: Decoder layers.
        width: Residual stream.
        heads: Query heads.
        kv_heads: Key and value heads (grouped-query attention when fewer than ``heads``).
        head_size: Elements of one head.
        mlp_width: Hidden width of the dense MLP.
        vocabulary: Rows of the embedding.
        context: Longest sequence the checkpoint supports.
        norm: Kind of normalisation; ``layer`` carries a bias.
        gated: Whether the MLP is down(activation(gate(x)) * up(x)).
        rope_base: Base of the rotary embedding; None means a learned table of ``context`` positions.
        query_key_norm: RMS norm on each query and key head.
        attention_bias: Bias on the query, key and value projections.
        output_bias: Bias on the output projection of attention; None = as ``attention_bias``.
        mlp_bias: Bias on the MLP projections.
        tied: Whether the head reuses the embedding.
    """

    layers: Count
    width: Count
    heads: Count
    kv_heads: Count
    head_size: Count
    mlp_width: Count
    vocabulary: Count
    context: Count
    norm: Literal["rms", "layer"] = "rms"
    gated: bool = True
    activation: Activation = "silu"
    rope_base: Annotated[float, msgspec.Meta(gt=1.0)] | None = 10000.0
    query_key_norm: bool = False
    attention_bias: bool = False
    output_bias: bool | None = None
    mlp_bias: bool = False
    tied: bool = False
    experts: Experts | None = None
    latent: Latent | None = None

    @property
    def biased_output(self) -> bool:
        """Return whether the output projection of attention has a bias."""
        return self.attention_bias if self.output_bias is None else self.output_bias


class Encoder(Figures, frozen=True, tag="encoder"):
    """Bidirectional text encoder with post-norm layers (BERT), with pooler, without a task head."""

    layers: Count
    width: Count
    heads: Count
    mlp_width: Count
    vocabulary: Count
    positions: Count
    segments: Count = 2
    pooler: bool = True


class VisionTransformer(Figures, frozen=True, tag="vision-transformer"):
    """Pre-norm vision transformer: patches, a class token, learned positions and a linear classifier."""

    layers: Count
    width: Count
    heads: Count
    mlp_width: Count
    image: Count
    patch: Count
    channels: Count = 3
    classes: Count = 1000

    @property
    def tokens(self) -> int:
        """Return the sequence length: patches and the class token."""
        return (self.image // self.patch) ** 2 + 1


class ResNet(Figures, frozen=True, tag="resnet"):
    """Residual convolutional network; with ``bottleneck`` the stride sits on the 3x3 convolution (v1.5).

    Attributes:
        depths: Residual units of each stage.
        widths: Inner channels of each stage; a bottleneck unit puts out four times as many.
    """

    depths: tuple[Count, ...]
    widths: tuple[Count, ...]
    bottleneck: bool
    stem: Count = 64
    image: Count = 224
    channels: Count = 3
    classes: Count = 1000

    @property
    def expansion(self) -> int:
        """Return output channels per inner channel."""
        return 4 if self.bottleneck else 1


class SpeechTransformer(Figures, frozen=True, tag="speech-transformer"):
    """Encoder-decoder for speech (Whisper): two convolutions on the mel spectrogram, then two transformers.

    Attributes:
        mel_bins: Channels of the spectrogram.
        frames: Spectrogram frames of one window; the second convolution halves them.
        text_context: Longest text sequence.
    """

    encoder_layers: Count
    decoder_layers: Count
    width: Count
    heads: Count
    mlp_width: Count
    vocabulary: Count
    mel_bins: Count
    frames: Count
    text_context: Count

    @property
    def audio_context(self) -> int:
        """Return encoder positions per window."""
        return self.frames // 2


class DiffusionUNet(Figures, frozen=True, tag="diffusion-unet"):
    """Latent diffusion U-Net with cross attention (Stable Diffusion 1.x).

    Attributes:
        sample: Side of the square latent.
        channels: Channels of the latent, in and out.
        widths: Channels of each level, from full to lowest resolution.
        attention: Whether the units of each level carry a transformer.
        units: Residual units per level going down; going up has one more.
        context_width: Width of the text embedding.
        context_length: Text tokens.
        norm_groups: Groups of every group norm.
        steps: Denoising steps of one image.
    """

    sample: Count
    channels: Count
    widths: tuple[Count, ...]
    attention: tuple[bool, ...]
    units: Count
    heads: Count
    context_width: Count
    context_length: Count
    norm_groups: Count = 32
    steps: Count = 50

    @property
    def time_width(self) -> int:
        """Return the width of the time embedding."""
        return 4 * self.widths[0]


class Recommender(Figures, frozen=True, tag="recommender"):
    """DLRM: embedding bags, a bottom MLP on dense features, pairwise dot interaction, a top MLP.

    Attributes:
        dense_features: Inputs of the bottom MLP.
        bottom: Output widths of the bottom MLP; the last equals ``embedding_size``.
        top: Output widths of the top MLP.
        tables: Rows of each embedding table.
        lookups: Rows summed per table and sample.
    """

    dense_features: Count
    bottom: tuple[Count, ...]
    top: tuple[Count, ...]
    tables: tuple[Count, ...]
    embedding_size: Count
    lookups: Count = 1

    @property
    def interaction_width(self) -> int:
        """Return inputs of the top MLP: the dense vector and every distinct pair of vectors."""
        vectors = len(self.tables) + 1
        return self.embedding_size + vectors * (vectors - 1) // 2


AnyFigures = Decoder | Encoder | VisionTransformer | ResNet | SpeechTransformer | DiffusionUNet | Recommender


def check(figures: AnyFigures, where: str) -> None:
    """Refuse figures that contradict each other; ``where`` names the file."""
    wrong: list[str] = []
    if isinstance(figures, Decoder):
        if figures.heads % figures.kv_heads:
            wrong.append(f"heads {figures.heads} is no multiple of kv_heads {figures.kv_heads}")
        e, m = figures.experts, figures.latent
        if e is not None and e.per_token > e.count:
            wrong.append(f"experts.per_token {e.per_token} exceeds experts.count {e.count}")
        if e is not None and (e.dense_layers > figures.layers or e.count % e.groups):
            wrong.append("experts.dense_layers must not exceed layers, and experts.count must be a multiple of groups")
        if m is not None and figures.head_size != m.plain_size + m.rope_size:
            wrong.append(f"head_size {figures.head_size} is not latent.plain_size + latent.rope_size")
    if isinstance(figures, Encoder | VisionTransformer | SpeechTransformer) and figures.width % figures.heads:
        wrong.append(f"width {figures.width} is no multiple of heads {figures.heads}")
    if isinstance(figures, VisionTransformer) and figures.image % figures.patch:
        wrong.append(f"image {figures.image} is no multiple of patch {figures.patch}")
    if isinstance(figures, ResNet) and len(figures.depths) != len(figures.widths):
        wrong.append("depths and widths differ in length")
    if isinstance(figures, DiffusionUNet) and len(figures.widths) != len(figures.attention):
        wrong.append("widths and attention differ in length")
    if isinstance(figures, Recommender) and figures.bottom[-1] != figures.embedding_size:
        wrong.append(f"bottom ends in {figures.bottom[-1]}, not in embedding_size {figures.embedding_size}")
    if wrong:
        raise DataError(f"{where}: {'; '.join(wrong)}", "correct the architecture figures")


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published count of parameters and where it stands."""

    count: float
    source: str
    note: str = ""


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of ``codesign/models/presets``.

    Attributes:
        title: Name as its authors write it.
        kind: What it is used for.
        source: Public document that states the architecture figures.
        parameters: Published parameter count, by which ours is checked.
        active_parameters: Published count of parameters used per token, for mixtures of experts.
        checkpoint: Name under which serving engines find the weights (Hugging Face); empty if none.
        checkpoint_dtype: Dtype of the published weights.
        figures: The architecture.
    """

    title: str
    kind: Kind
    source: str
    parameters: Published
    checkpoint_dtype: Literal["fp32", "fp16", "bf16", "fp8"]
    figures: AnyFigures
    checkpoint: str = ""
    active_parameters: Published | None = None
