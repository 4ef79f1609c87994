"""Measuring single operators of torch on this machine: what calibrates the operator models."""

from codesign.profilers.operators.request import Answer, Operator, Request, Timing
from codesign.profilers.operators.small_models import SMALL_PASSES, Pass, PassTiming
from codesign.profilers.operators.worker import measure_operators

__all__ = ["SMALL_PASSES", "Answer", "Operator", "Pass", "PassTiming", "Request", "Timing", "measure_operators"]
