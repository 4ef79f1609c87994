"""Models: presets as data, workloads built from them without torch, plain-torch modules, capture of user modules."""

from codesign.models.catalog import list_models, load_model, preset_model
from codesign.models.model import ArchitectureModel, Model

__all__ = ["ArchitectureModel", "Model", "list_models", "load_model", "preset_model"]
