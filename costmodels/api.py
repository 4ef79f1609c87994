"""The public calls of the cost models: names in, estimates out.

``estimate`` prices deployments of language models, and single passes of everything else, under one set of
names. Every argument that is a number may be an array over designs.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.deployment import Priced
from codesign.costmodels.design import generates, price_design
from codesign.costmodels.explain import Exclude, Explanation
from codesign.costmodels.explain import explain as explain_design
from codesign.costmodels.impact import Site
from codesign.costmodels.merit_columns import with_merits
from codesign.costmodels.siting import check_site, site_at
from codesign.costmodels.structure import Load, Structure, check_serving
from codesign.errors import UsageError, nearest
from codesign.models import Model, load_model
from codesign.targets import Target, load_target

STRUCTURAL = tuple(field.name for field in msgspec.structs.fields(Structure))
NUMERIC = tuple(field.name for field in msgspec.structs.fields(Load))
PLACES = ("grid", "pue", "lifetime_years", "utilisation")
"""Options that state a site."""

SERVING = ("framework", "chunk", "gather", "concurrency", "rounds")
"""Options that mean nothing where no tokens are served."""

EXECUTIONS = ("auto", "eager", "compiled", "graph")
MODES = ("static", "served", "continuous", "in-step", "training")
LARGEST_DEGREE = 4096
LARGEST_COUNT = 1_000_000_000
"""Replicas, or requests/s: above it an input is taken for a mistake."""


def estimate(model: str | Model, target: str | Target, *, overlay: str | None = None, **options: Any) -> Priced:
    """Return the priced designs of ``model`` on ``target``.

    Args:
        model: a preset, ``py:``, ``pt2:`` or ``hf:`` source, or a loaded model.
        target: an id, a path of a YAML file, or a loaded target.
        overlay: path of a calibration overlay of the target.
        **options: ``dtype, tp, pp, ep, nodes, execution, mode, chunk`` (tokens), ``kv_dtype, framework`` (one of
            ``FRAMEWORKS``; structure); ``batch, prompt, generate, replicas, rate`` (requests/s), ``concurrency,
            rounds, gather`` (iterations), ``power_limit`` (W; numbers or arrays); ``grid, pue, lifetime_years,
            utilisation`` (site; ``grid`` takes what ``codesign.targets.grids.load_grid`` takes), or a whole ``site``.

    Raises:
        UsageError: unknown name or absurd value; the message names the nearest known.
    """
    loaded, machine = _loaded(model, target, overlay)
    structure, load, site = split(loaded, options)
    return with_merits(price_design(loaded, machine, structure, load, site))


def explain(
    model: str | Model,
    target: str | Target,
    *,
    overlay: str | None = None,
    exclude: Exclude | None = None,
    **options: Any,
) -> Explanation:
    """Explain one design: binding resources, next bottlenecks, elasticities, neighbours.

    Arguments are those of ``estimate``; ``exclude`` says which stated limit an estimate violates, or nothing.
    """
    loaded, machine = _loaded(model, target, overlay)
    structure, load, site = split(loaded, options)
    return explain_design(loaded, machine, structure, load, site, exclude)


def _loaded(model: str | Model, target: str | Target, overlay: str | None) -> tuple[Model, Target]:
    loaded = load_model(model) if isinstance(model, str) else model
    machine = load_target(target, overlay=overlay) if isinstance(target, str) else target
    return loaded, machine


def split(model: Model, options: dict[str, Any]) -> tuple[Structure, Load, Site]:
    """Sort ``options`` into structure, load and site, checked."""
    known = {*STRUCTURAL, *NUMERIC, *PLACES, "site"}
    for name in options:
        if name not in known:
            raise UsageError(f"unknown option {name!r}", nearest(name, known))
    given = {name: value for name, value in options.items() if value is not None}
    structure = Structure(**{"dtype": model.checkpoint_dtype, **{k: given[k] for k in STRUCTURAL if k in given}})
    check_structure_values(structure)
    defaults = (
        {"batch": 1, "prompt": 1024, "generate": 256}
        if generates(model)
        else {"batch": 1, "prompt": None, "generate": None}
    )
    load = Load(**{**defaults, **{k: given[k] for k in NUMERIC if k in given}})
    site = given["site"] if "site" in given else site_at({k: given[k] for k in PLACES if k in given})
    check_load(load)
    check_site(site)
    served = generates(model) and structure.mode != "training"
    for name in () if served else SERVING:
        if name in given:
            raise UsageError(f"{name} is of models that serve tokens", "leave it out")
    if served:
        check_serving(structure, load)
    return structure, load, site


def check_load(load: Load) -> None:
    """Refuse impossible outputs, replicas and arrival rates; prompt and batch are the model's to check."""
    for name, value, least, expected in (
        ("generate", load.generate, 1.0, f"give whole numbers from 1 to {LARGEST_COUNT:,}"),
        ("gather", load.gather, 0.0, f"expected iterations from 0 to {LARGEST_COUNT:,}"),
        ("concurrency", load.concurrency, 1.0, f"expected requests from 1 to {LARGEST_COUNT:,}"),
        ("rounds", load.rounds, 1.0, f"expected requests of a client from 1 to {LARGEST_COUNT:,}"),
        ("replicas", load.replicas, 1.0, f"expected 1 to {LARGEST_COUNT:,}"),
        ("rate", load.rate, np.nextafter(0.0, 1.0), f"expected requests/s above 0, at most {LARGEST_COUNT:,}"),
    ):
        if value is None:
            continue
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
        wrong = ~((numbers >= least) & (numbers <= LARGEST_COUNT))
        if wrong.any():
            raise UsageError(f"{name} is {numbers[wrong][0]:g}", expected)


def check_structure_values(structure: Structure) -> None:
    """Refuse degrees below one or absurd, and unknown modes."""
    for name in ("tp", "pp", "ep", "nodes"):
        value = getattr(structure, name)
        if not 1 <= value <= LARGEST_DEGREE:
            raise UsageError(f"{name} is {value}", f"expected a whole number from 1 to {LARGEST_DEGREE}")
    if structure.execution not in EXECUTIONS:
        raise UsageError(f"unknown execution {structure.execution!r}", nearest(structure.execution, EXECUTIONS))
    if structure.mode not in MODES:
        raise UsageError(f"unknown mode {structure.mode!r}", nearest(structure.mode, MODES))
    if structure.chunk is not None and not 1 <= structure.chunk <= LARGEST_COUNT:
        raise UsageError(f"chunk is {structure.chunk}", f"expected a budget of 1 to {LARGEST_COUNT:,} tokens")
