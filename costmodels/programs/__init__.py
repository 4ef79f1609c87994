"""Learned cost of whole programs: from their operations with shapes to runtime, FLOPs, bytes, memory."""

from __future__ import annotations

from codesign.costmodels.programs.model import Prediction, ProgramModel, load_program_model, write_program_model
from codesign.costmodels.programs.tokens import Token
from codesign.costmodels.programs.training import Column, ProgramTable, fit_program_model

__all__ = [
    "Column",
    "Prediction",
    "ProgramModel",
    "ProgramTable",
    "Token",
    "fit_program_model",
    "load_program_model",
    "write_program_model",
]
