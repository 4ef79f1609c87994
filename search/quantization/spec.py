"""What a quantization search is asked: the spec that ``run.json`` stores, and the names it accepts."""

from __future__ import annotations

import re

import msgspec

from codesign.costmodels.impact import Site
from codesign.costmodels.siting import check_site
from codesign.errors import UsageError
from codesign.workload.quantization import WIDTHS, Granularity

SEEDINGS = ("sensitivity", "none")

LARGEST_GROUP = 4096


class QuantizationSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quantization search.

    Attributes:
        model: ``digits-mlp``, ``digits-cnn``, ``tiny-transformer``, ``py:package.module:factory`` or ``pt2:FILE``.
        target: What latency, energy, memory and carbon are priced on.
        data: ``.npz`` file of x and y; of tiny-transformer a text or a folder of texts.
        report_data: ``.npz`` file that only the reported quality sees; else a part of ``data``.
        objectives: What to minimise: ``quality`` (of classes the loss, else the measure), ``loss``, the measure itself
            (``error``, ``perplexity``, ``mse``), memory, latency, energy, carbon, cost.
        where: Limits.
        weights: Bits to consider for weights; 32 (the original) always is.
        activations: Bits to consider for input activations; 32 always is.
        granularities: Weights that share a scale: channel, tensor, group32 (any size).
        zero_points: Whether weights may have zero points.
        kv: Bits to consider for a cache.
        batch: Samples of a priced run.
        seeding: ``sensitivity``: the search starts from plans along the sensitivity of single layers; or ``none``.
        site: Grid, PUE and life of the hardware.
        overlay: Calibration overlay of the target.
    """

    model: str
    target: str
    data: str = ""
    report_data: str = ""
    objectives: tuple[str, ...] = ("quality", "memory", "latency", "energy")
    where: tuple[str, ...] = ()
    weights: tuple[int, ...] = WIDTHS
    activations: tuple[int, ...] = WIDTHS
    granularities: tuple[str, ...] = ("channel", "tensor", "group32")
    zero_points: bool = True
    kv: tuple[int, ...] = WIDTHS
    batch: int = 1
    seeding: str = "sensitivity"
    site: Site = Site()
    overlay: str | None = None


def checked(asked: QuantizationSpec) -> QuantizationSpec:
    """Return the spec with its widths sorted, 32 among them; absurd values are refused before any work.

    Raises:
        UsageError: naming the field, found and expected.
    """
    if not asked.target:
        raise UsageError("no target given", "for example --target xeon-8480; codesign targets lists them")
    for name in ("weights", "activations", "kv"):
        for bits in getattr(asked, name):
            if bits not in WIDTHS:
                raise UsageError(f"{name}: {bits} bits", f"expected among {', '.join(map(str, WIDTHS))}")
    if not asked.granularities:
        raise UsageError("no granularity given", "expected channel, tensor or group32 (any size)")
    for text in asked.granularities:
        granularity_of(text)
    if asked.seeding not in SEEDINGS:
        raise UsageError(f"seeding {asked.seeding!r}", f"expected {' or '.join(SEEDINGS)}")
    if not 1 <= asked.batch <= 1_000_000:
        raise UsageError(f"batch is {asked.batch}", "expected a whole number from 1")
    check_site(asked.site)
    widths = {
        name: tuple(sorted({32, *getattr(asked, name)}, reverse=True)) for name in ("weights", "activations", "kv")
    }
    return msgspec.structs.replace(asked, **widths, granularities=tuple(dict.fromkeys(asked.granularities)))


def granularity_of(text: str) -> tuple[Granularity, int]:
    """Return (granularity, group size) of a name such as ``channel`` or ``group32``."""
    if text == "channel":
        return "channel", 0
    if text == "tensor":
        return "tensor", 0
    match = re.fullmatch(r"group(\d{1,5})", text)
    if match is None or not 1 <= int(match[1]) <= LARGEST_GROUP:
        raise UsageError(f"granularity {text!r}", f"expected channel, tensor or group1 to group{LARGEST_GROUP}")
    return "group", int(match[1])
