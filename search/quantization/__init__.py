"""Quantization search: bits of every layer, judged by simulated quantization on held-out data."""

from codesign.search.quantization.apply import apply_plan, quantizable_layers
from codesign.search.quantization.plan_file import load_plan, save_plan

__all__ = ["apply_plan", "load_plan", "quantizable_layers", "save_plan"]
