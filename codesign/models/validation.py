"""Validation topic ``models``: parameter counts of the presets against the published figures."""

from __future__ import annotations

from collections.abc import Iterator

from codesign.models.catalog import list_models, preset_model
from codesign.validation import Check

TOLERANCE = 0.005


def checks() -> Iterator[Check]:
    """Yield one check per preset and published count."""
    for name in list_models():
        model = preset_model(name)
        published = model.preset.parameters
        yield Check(
            topic="models", name=f"{name}: parameters", expected=float(published.count), found=float(model.parameters),
            tolerance=TOLERANCE, source=published.source,
        )  # fmt: skip
        active = model.preset.active_parameters
        if active is not None:
            yield Check(
                topic="models", name=f"{name}: parameters per token", expected=float(active.count),
                found=float(model.active_parameters), tolerance=0.03, source=active.source,
            )  # fmt: skip
