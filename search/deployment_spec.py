"""What a deployment search is asked: the spec that ``run.json`` stores, its defaults, and the names it accepts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from codesign.costmodels.api import check_structure_values
from codesign.costmodels.deployment import METRICS
from codesign.costmodels.impact import Site
from codesign.costmodels.merit_columns import MERITS
from codesign.costmodels.siting import check_site
from codesign.costmodels.structure import Load, Structure, check_serving
from codesign.errors import UsageError, nearest
from codesign.models.lengths import size
from codesign.models.precision import precision

BATCHES = (
    *range(1, 9), *range(10, 17, 2), *range(20, 33, 4), *range(40, 65, 8), *range(80, 129, 16), *range(160, 257, 32),
    *range(320, 513, 64), 640, 768, 896, 1024,
)  # fmt: skip
DEGREES = (1, 2, 4, 8)
STAGES = (1, 2, 4)
NODES = (1, 2, 4)
REPLICAS = (1, 2, 4, 8)

ALIASES = {
    "energy": "energy_per_token",
    "carbon": "carbon_per_million_tokens",
    "cost": "cost_per_million_tokens",
}
"""Short names of objectives; everything else goes by the metric's own name."""

COUNTS = ("tp", "pp", "ep", "nodes", "replicas", "batch", "power_limit")
"""Parameters that limits may name."""

COUNTED = ("batches", "degrees", "stages", "nodes", "replicas", "power_limits")

BATCHING = {
    "static": "static batching", "served": "static batching of a server", "continuous": "continuous batching",
    "in-step": "continuous batching in step",
}  # fmt: skip
SERVING_MODES = tuple(BATCHING)

Counts = tuple[Annotated[int, msgspec.Meta(ge=1, le=1_000_000)], ...]


Percents = tuple[Annotated[int, msgspec.Meta(ge=35, le=100)], ...]
"""Of a device's design power; what limits do was measured down to 38 to 40 % of it."""


class DeploymentSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a deployment search is asked; the whole of it is stored in ``run.json``."""

    model: str
    targets: tuple[str, ...]
    objectives: tuple[str, ...] = ("latency", "energy", "carbon", "cost")
    where: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    prompt: int = 1024
    generate: int = 256
    mode: str = "continuous"
    chunk: int | None = None
    rate: float | None = None
    execution: str = "auto"
    framework: str | None = None
    batches: Counts = BATCHES
    degrees: Counts = DEGREES
    stages: Counts = STAGES
    nodes: Counts = NODES
    replicas: Counts = REPLICAS
    power_limits: Percents = (100,)
    site: Site = Site()
    overlay: str | None = None


def deployment_spec(site: Mapping[str, Any] | None = None, **asked: Any) -> dict[str, Any]:
    """Return the spec of a deployment search from options, those not given (None) left at their defaults."""
    given = {name: value for name, value in asked.items() if value is not None}
    stated = {name: value for name, value in (site or {}).items() if value is not None}
    return {**given, "site": stated} if stated else given


def objective_names() -> dict[str, str]:
    """Return every accepted objective name with the metric it stands for."""
    return {**{name: name for name in (*METRICS, *MERITS)}, **ALIASES, "quality": "quality"}


def checked(asked: DeploymentSpec) -> DeploymentSpec:
    """Return the spec with its number lists sorted; absurd numbers and unknown names are refused before any work."""
    if not asked.targets:
        raise UsageError("no target given", "name at least one, for example --target h100-sxm")
    if asked.mode not in SERVING_MODES:
        raise UsageError(f"mode {asked.mode!r} of a deployment", nearest(asked.mode, SERVING_MODES))
    for dtype in asked.dtypes:
        precision(dtype)
    for name in ("prompt", "generate"):
        size(name, getattr(asked, name))
    if isinstance(asked.site.grid, bool) or not isinstance(asked.site.grid, int | float):
        raise UsageError(f"site.grid is {asked.site.grid!r}", "expected a number once looked up")
    check_site(asked.site)
    asked_structure = Structure(
        "", execution=asked.execution, mode=asked.mode, chunk=asked.chunk, framework=asked.framework
    )
    check_structure_values(asked_structure)
    check_serving(asked_structure, Load(1, asked.prompt, asked.generate, rate=asked.rate))
    if asked.rate is not None and not 0 < asked.rate < 1e9:
        raise UsageError(f"rate is {asked.rate:g} requests/s", "expected a positive rate")
    return msgspec.structs.replace(asked, **{name: tuple(sorted(set(getattr(asked, name)))) for name in COUNTED})
