"""Measuring single operators of torch on this machine: what calibrates the operator models."""

from codesign.profilers.operators.request import Answer, Operator, Request, Timing
from codesign.profilers.operators.worker import measure_operators

__all__ = ["Answer", "Operator", "Request", "Timing", "measure_operators"]
