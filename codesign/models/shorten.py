"""Shorter versions of a model for profiling and checks: fewer layers, the same layers."""

from __future__ import annotations

import msgspec

from codesign.errors import UsageError
from codesign.models import figures as fig

ROWS_PER_LAYER = 10_000
"""Rows that each embedding table of a recommender keeps per layer asked for (it has no layers to drop)."""


def depth(figures: fig.AnyFigures) -> tuple[int, str]:
    """Return the most layers that ``shortened`` can keep, and what they are."""
    if isinstance(figures, fig.ResNet):
        return max(figures.depths), "units in its longest stage"
    if isinstance(figures, fig.SpeechTransformer):
        return max(figures.encoder_layers, figures.decoder_layers), "layers in encoder or decoder"
    if isinstance(figures, fig.DiffusionUNet):
        return figures.units, "units in a level"
    if isinstance(figures, fig.Recommender):
        return -(-max(figures.tables) // ROWS_PER_LAYER), f"times {ROWS_PER_LAYER:,} rows in its largest table"
    return figures.layers, "layers"


def shortened(name: str, figures: fig.AnyFigures, layers: int | None) -> fig.AnyFigures:
    """Return ``figures`` with ``layers`` layers; None leaves them as they are.

    A mixture of experts keeps at least one sparse layer; a residual network keeps at most ``layers`` units per stage, a
    U-Net per level; speech keeps as many in encoder and decoder; a recommender's tables keep 10,000 rows per layer.

    Raises:
        UsageError: the model called ``name`` has fewer.
    """
    if layers is None:
        return figures
    if layers < 1:
        raise UsageError(f"layers is {layers}", "give a whole number from 1")
    most, what = depth(figures)
    if layers > most:
        raise UsageError(f"{name} has {most:,} {what}, --layers asks for {layers:,}", "leave it out for all of them")
    if isinstance(figures, fig.Decoder):
        experts = figures.experts
        if experts is not None:
            experts = msgspec.structs.replace(experts, dense_layers=min(experts.dense_layers, layers - 1))
        return msgspec.structs.replace(figures, layers=layers, experts=experts)
    if isinstance(figures, fig.Encoder | fig.VisionTransformer):
        return msgspec.structs.replace(figures, layers=layers)
    if isinstance(figures, fig.ResNet):
        return msgspec.structs.replace(figures, depths=tuple(min(layers, units) for units in figures.depths))
    if isinstance(figures, fig.SpeechTransformer):
        encoder, decoder = min(layers, figures.encoder_layers), min(layers, figures.decoder_layers)
        return msgspec.structs.replace(figures, encoder_layers=encoder, decoder_layers=decoder)
    if isinstance(figures, fig.DiffusionUNet):
        return msgspec.structs.replace(figures, units=layers)
    rows = tuple(min(ROWS_PER_LAYER * layers, rows) for rows in figures.tables)
    return msgspec.structs.replace(figures, tables=rows)
