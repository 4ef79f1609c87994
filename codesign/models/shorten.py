"""Shorter versions of a model for profiling and checks: fewer layers, the same layers."""

from __future__ import annotations

import msgspec

from codesign.errors import UsageError
from codesign.models import figures as fig

ROWS_PER_LAYER = 10_000
"""Rows that each embedding table of a recommender keeps per layer asked for (it has no layers to drop)."""


def shortened(figures: fig.AnyFigures, layers: int | None) -> fig.AnyFigures:
    """Return ``figures`` with at most ``layers`` layers; None leaves them as they are.

    A mixture of experts keeps at least one sparse layer; a residual network keeps at most ``layers`` units per stage, a
    U-Net per level; speech keeps as many in encoder and decoder; a recommender's tables keep 10,000 rows per layer.
    """
    if layers is None:
        return figures
    if layers < 1:
        raise UsageError(f"layers is {layers}", "give a whole number from 1")
    if isinstance(figures, fig.Decoder):
        kept = min(layers, figures.layers)
        experts = figures.experts
        if experts is not None:
            experts = msgspec.structs.replace(experts, dense_layers=min(experts.dense_layers, kept - 1))
        return msgspec.structs.replace(figures, layers=kept, experts=experts)
    if isinstance(figures, fig.Encoder | fig.VisionTransformer):
        return msgspec.structs.replace(figures, layers=min(layers, figures.layers))
    if isinstance(figures, fig.ResNet):
        return msgspec.structs.replace(figures, depths=tuple(min(layers, depth) for depth in figures.depths))
    if isinstance(figures, fig.SpeechTransformer):
        encoder, decoder = min(layers, figures.encoder_layers), min(layers, figures.decoder_layers)
        return msgspec.structs.replace(figures, encoder_layers=encoder, decoder_layers=decoder)
    if isinstance(figures, fig.DiffusionUNet):
        return msgspec.structs.replace(figures, units=min(layers, figures.units))
    rows = tuple(min(ROWS_PER_LAYER * layers, rows) for rows in figures.tables)
    return msgspec.structs.replace(figures, tables=rows)
