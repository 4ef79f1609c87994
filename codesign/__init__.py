"""Hardware-software co-design and cost modelling: measure, calibrate, search, verify.

The stable names of the package, imported when first used. Every command of the ``codesign`` program is a thin
call of one of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codesign.costmodels.api import estimate as estimate
    from codesign.costmodels.api import explain as explain
    from codesign.models import load_model as load_model
    from codesign.profilers import analyse as analyse
    from codesign.profilers import profile as profile
    from codesign.profilers import read_trace as read_trace
    from codesign.quantity import Quantity as Quantity
    from codesign.report import write_report as write_report
    from codesign.run import load_run as load_run
    from codesign.search.api import run_search as run_search
    from codesign.search.quantization import apply_plan as apply_plan
    from codesign.search.quantization import load_plan as load_plan
    from codesign.targets import detect as detect
    from codesign.targets import load_target as load_target
    from codesign.targets.grids import load_grid as load_grid
    from codesign.workload import Mesh as Mesh
    from codesign.workload import Workload as Workload
    from codesign.workload import shard as shard
    from codesign.workload.edits import retype as retype
    from codesign.workload.quantization import LayerScheme as LayerScheme
    from codesign.workload.quantization import QuantizationPlan as QuantizationPlan
    from codesign.workload.quantization import quantize as quantize

__version__ = "0.1.0"

_HOMES = {
    "LayerScheme": "codesign.workload.quantization",
    "Mesh": "codesign.workload",
    "QuantizationPlan": "codesign.workload.quantization",
    "Quantity": "codesign.quantity",
    "Workload": "codesign.workload",
    "apply_plan": "codesign.search.quantization",
    "analyse": "codesign.profilers",
    "detect": "codesign.targets",
    "estimate": "codesign.costmodels.api",
    "explain": "codesign.costmodels.api",
    "load_grid": "codesign.targets.grids",
    "load_model": "codesign.models",
    "load_plan": "codesign.search.quantization",
    "load_run": "codesign.run",
    "load_target": "codesign.targets",
    "profile": "codesign.profilers",
    "quantize": "codesign.workload.quantization",
    "read_trace": "codesign.profilers",
    "retype": "codesign.workload.edits",
    "run_search": "codesign.search.api",
    "shard": "codesign.workload",
    "write_report": "codesign.report",
}

__all__ = [*sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'codesign' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
