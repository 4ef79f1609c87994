"""Validation topic ``accelerator-forms``: closed forms and tables against published figures and runs of other tools.

Figures are facts of their sources. SCALE-Sim took 743 s for the product that the form gives at once: that run time is
quoted, not measured here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.accelerator.attention_cascades import AttentionShape, one_pass, three_pass, two_pass
from codesign.costmodels.accelerator.cascade import pass_count
from codesign.costmodels.accelerator.fusemax import (
    FLAT_BUFFER,
    ONE_PASS,
    AttentionRun,
    Granularity,
    Machine,
    flat_attention,
    flat_traffic,
    one_pass_attention,
    unfused_attention,
)
from codesign.costmodels.accelerator.linear_layers import linear_layers
from codesign.costmodels.accelerator.sram import Sram, sram
from codesign.costmodels.accelerator.systolic import Dataflow, Gemm, im2col, systolic
from codesign.quantity import Array
from codesign.validation import Check

TOPIC = "accelerator-forms"
SCALESIM = "scalesim 3.0.0, own run on a 32 x 32 array"
FUSEMAX = "FuseMax, MICRO 2024, artifact"

LENGTHS = 2.0 ** np.arange(10, 21, 2)
"""Sequences of the published runs, 1K to 1M."""


class PublishedModel(NamedTuple):
    """An encoder of the FuseMax runs: heads, width, width of the feed-forward part."""

    heads: int
    width: int
    feed_forward: int


MODELS = {"BERT": PublishedModel(12, 768, 3072), "T5": PublishedModel(8, 512, 2048)}

SECONDS = {"binding": 0.002013140425531915, "arch": 0.005987131914893616, "cascade": 0.015333855319148937}
"""Published latency of the attention of BERT at 1K, batch 64, by design."""

LONG_SECONDS = {"binding": 1891.8274331234043, "arch": 6277.962834791489, "cascade": 15859.609373412768}
"""The same at 1M."""

LONG_BYTES = {"binding": 6803228196864.0, "arch": 6803228196864.0, "cascade": 26594437496832.0}

SRAM_PJ = ((8, 45, 6.05, 7.41), (128, 45, 37.5, 24.2), (128, 32, 16.5, 12.1), (2048, 32, 59.1, 50.5))
"""KB, nm, read and write of CACTI at 64 bits."""


def checks() -> Iterator[Check]:
    """Yield every check of the topic."""
    yield from _systolic()
    yield from _passes()
    yield from _attention()
    yield from _ratios()
    yield from _memories()


def _check(name: str, expected: float, found: Any, tolerance: float, source: str, unit: str = "") -> Check:
    return Check(
        topic=TOPIC, name=name, expected=float(expected), found=float(found), tolerance=tolerance, unit=unit,
        source=source,
    )  # fmt: skip


def _systolic() -> Iterator[Check]:
    conv, square = im2col(56, 56, 64, 64, 3, 3), Gemm(1024, 1024, 1024)
    cases: tuple[tuple[str, Gemm, Dataflow, float, float], ...] = (
        ("ws, resnet-18 conv2_1", conv, "ws", 116_279.0, 0.9709061825437095),
        ("ws, 1024 x 1024 x 1024", square, "ws", 1_144_831.0, 0.915922088063653),
        ("os, resnet-18 conv2_1", conv, "os", 125_047.0, 0.9028285364702872),
    )
    for name, gemm, dataflow, cycles, utilisation in cases:
        run = systolic(32, 32, gemm, dataflow, "scalesim-compat")
        yield _check(f"systolic {name}: cycles", cycles, run.cycles, 0.0, SCALESIM)
        yield _check(f"systolic {name}: utilisation", utilisation, run.utilisation, 1e-12, SCALESIM)


def _passes() -> Iterator[Check]:
    shape = AttentionShape(1, 1, 256, 1024)
    for expected, cascade in ((3, three_pass(shape)), (2, two_pass(shape)), (1, one_pass(shape))):
        yield _check(f"{cascade.name}: passes over keys", expected, pass_count(cascade, "m"), 0.0, FUSEMAX)


def _attention() -> Iterator[Check]:
    for design in ONE_PASS:
        run = one_pass_attention(AttentionShape(64, 12, LENGTHS[[0, -1]], LENGTHS[[0, -1]]), design=design)
        for length, expected, found in zip(("1K", "1M"), (SECONDS, LONG_SECONDS), run.seconds, strict=True):
            yield _check(f"BERT {length}, {design}: attention", expected[design], found, 1e-9, FUSEMAX, "s")
        yield _check(f"BERT 1M, {design}: traffic", LONG_BYTES[design], run.traffic_bytes[1], 1e-9, FUSEMAX, "B")
    bert = AttentionShape(64, 12, 1024, 1024)
    utilisation = one_pass_attention(bert).array_utilisation
    yield _check("BERT 1K, binding: use of 2D array", 0.8896103896103895, utilisation, 1e-9, FUSEMAX)
    plain = unfused_attention(bert)
    yield _check("BERT 1K, unfused: attention", 0.02182357659574468, plain.seconds, 1e-9, FUSEMAX, "s")
    yield _check("BERT 1K, unfused: traffic", 6845104128.0, plain.traffic_bytes, 1e-9, FUSEMAX, "B")
    linear = linear_layers(64 * 1024, *MODELS["T5"][1:])
    yield _check("T5 1K, linear layers", 0.003485895578457447, linear.seconds, 1e-9, FUSEMAX, "s")


def published_flat(shape: AttentionShape) -> AttentionRun:
    """Return FLAT at the granularity that its own search took for the published lengths, 1K to 1M."""
    length = np.asarray(shape.queries, np.float64)
    queries = np.select([length <= 2.0**12, length == 2.0**16], [length, 256.0], 1024.0)
    machine = Machine(buffer_bytes=FLAT_BUFFER)
    return flat_attention(shape, flat_traffic(shape, Granularity(queries, length <= 2.0**16), machine), machine)


def _ratios() -> Iterator[Check]:
    """Yield the headline ratios over two models and six lengths: means of ratios, as the paper takes them."""
    over_flat: list[Array] = []
    over_unfused: list[Array] = []
    with_linear: list[Array] = []
    for model in MODELS.values():
        shape = AttentionShape(64, model.heads, LENGTHS, LENGTHS)
        ours, flat = one_pass_attention(shape).seconds, published_flat(shape).seconds
        linear = linear_layers(64 * LENGTHS, model.width, model.feed_forward).seconds
        over_flat.append(flat / ours)
        over_unfused.append(unfused_attention(shape).seconds / ours)
        with_linear.append((flat + linear) / (ours + linear))
    source = f"{FUSEMAX}, 12 published rows"
    speedup = np.concatenate(over_flat)
    yield _check("attention over FLAT, mean", 7.6301, speedup.mean(), 1e-5, source)
    yield _check("attention over FLAT, geometric", 7.5974, np.exp(np.log(speedup).mean()), 1e-5, source)
    yield _check("attention over unfused, mean", 11.4117, np.concatenate(over_unfused).mean(), 1e-5, source)
    yield _check("with linear layers over FLAT, mean", 6.1772, np.concatenate(with_linear).mean(), 1e-5, source)


def _memories() -> Iterator[Check]:
    source = "CACTI, own runs; tolerance: the worst of the fit"
    for kb, node, read, write in SRAM_PJ:
        found = sram(Sram(kb * 1024, node_nm=node))
        name = f"SRAM {kb:,} KB, {node} nm"
        yield _check(f"{name}: read", read * 1e-12, found.read_joules.value, 0.32, source, "J")
        yield _check(f"{name}: write", write * 1e-12, found.write_joules.value, 0.15, source, "J")
