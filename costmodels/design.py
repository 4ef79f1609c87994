"""One entry for every model: language models are priced as deployments, everything else as single runs."""

from __future__ import annotations

from codesign.costmodels.deployment import Priced, price
from codesign.costmodels.impact import Site
from codesign.costmodels.single_pass import price_pass
from codesign.costmodels.structure import Load, Structure
from codesign.models import Model
from codesign.targets import Target


def generates(model: Model) -> bool:
    """Return whether the model has prefill and decode phases."""
    return model.kind == "causal-lm"


def price_design(model: Model, target: Target, structure: Structure, load: Load, site: Site | None = None) -> Priced:
    """Price every point of ``load`` for one structure of ``model`` on ``target``."""
    served = generates(model) and structure.mode != "training"
    return (price if served else price_pass)(model, target, structure, load, site)
