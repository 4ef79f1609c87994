"""Energy of 1-pass attention on a 2D and a 1D array: operations, registers, buffer and DRAM, each times its action.

Counts follow the Einsums of FuseMax [1]_, section V: for each score ``E + F`` multiply-adds, a maximum, ``exp(x -
max)`` as a subtraction and six multiply-adds, and an addition; for each query and tile of keys the corrections on the
lanes; a division of each result. A multiply-add on the 2D array reads one register, what stays in the element. The
buffer is read for every tile of keys and queries, and takes in what DRAM delivers and what the arrays pass on. All
fields broadcast. Leakage is not counted. Joules, bits.

The published totals of the designs ``binding`` and ``arch`` come out within 1 %, which is taken as evidence for the
counts; those of designs on FLAT's elements are a quarter above what these counts give, for reasons not known.

.. [1] Nayak et al., FuseMax: leveraging extended Einsums to optimize attention accelerator design, MICRO 2024, and the
   energy tables of its artifact.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from codesign.costmodels.accelerator.attention_cascades import AttentionShape
from codesign.costmodels.accelerator.bands import Band, band
from codesign.costmodels.accelerator.energy_tables import action_energy, tables
from codesign.costmodels.accelerator.extents import ceil_ratio, whole
from codesign.costmodels.accelerator.fusemax import PUBLISHED, AttentionRun, Machine
from codesign.costmodels.carbon.domains import positive
from codesign.quantity import Array

EXPONENTIAL_STEPS = 6.0
"""Multiply-adds of an exponential."""

ROW_BITS = 4096.0
"""Bits of a row of the published buffer."""


REGISTER_JOULES = 0.653431e-12
"""Read of a 16-bit register of an element of the 2D array at 45 nm: energy table of the artifact."""


class Actions(NamedTuple):
    """Energy of one action each, J: operations, a register read, and a bit of the buffer and of DRAM."""

    mac: Band
    add: Band
    maximum: Band
    divide: Band
    register: Band
    buffer_read: Band
    buffer_write: Band
    memory: Band


class Counts(NamedTuple):
    """How often attention takes each action; bits of the buffer and of DRAM."""

    mac: Array
    add: Array
    maximum: Array
    divide: Array
    register: Array
    buffer_read: Array
    buffer_write: Array
    memory: Array


def published_actions(memory: str = "hbm2") -> Actions:
    """Return the energies of the artifact at 45 nm, with DRAM of the table."""
    names = ("fusemax_mac", "fusemax_add", "fusemax_max", "divide_fp")
    rows = (action_energy(f"fusemax_l3_16mib_{way}").times(1.0 / ROW_BITS) for way in ("read", "write"))
    register = band(REGISTER_JOULES, *tables().spread)
    return Actions._make([*map(action_energy, names), register, *rows, action_energy(memory)])


def attention_counts(shape: AttentionShape, traffic_bytes: Any, machine: Machine = PUBLISHED) -> Counts:
    """Return how often 1-pass attention takes each action.

    Args:
        shape: Extents of the layer.
        traffic_bytes: To and from DRAM.
        machine: The accelerator.

    Raises:
        UsageError: an extent is no whole number.
    """
    b, h, p, m, e, f = (whole(name, value) for name, value in zip(AttentionShape._fields, shape, strict=True))
    rows, columns = whole("rows", machine.rows), whole("columns", machine.columns)
    bits = 8.0 * positive("word_bytes", machine.word_bytes)
    scores, results = b * h * p * m, b * h * p * f
    corrections = b * h * p * ceil_ratio(m, rows)
    tiles = b * h * ceil_ratio(p, columns) * ceil_ratio(m, rows)
    moved = 8.0 * positive("traffic_bytes", traffic_bytes)
    # a tile reads its queries, keys and values; its products, sums and maxima go to the lanes through the buffer
    read = tiles * (columns * e + rows * (e + f))
    passed = corrections * (f + 2.0)
    return Counts(
        mac=scores * (e + f + EXPONENTIAL_STEPS) + corrections * (EXPONENTIAL_STEPS + 1.0 + f),
        add=scores * 2.0 + corrections * (2.0 + f),
        maximum=scores + corrections,
        divide=results,
        register=scores * (e + f),
        buffer_read=bits * (read + passed + results),
        buffer_write=moved + bits * passed,
        memory=moved,
    )


def attention_energy(
    shape: AttentionShape, run: AttentionRun, machine: Machine = PUBLISHED, actions: Actions | None = None
) -> Band:
    """Return the energy of 1-pass attention (designs ``binding`` and ``arch``), J: low, value, high.

    Args:
        shape: Extents of the layer.
        run: What ``one_pass_attention`` gives for it.
        machine: The accelerator.
        actions: Energies; those of the artifact where None.

    Raises:
        UsageError: an extent is no whole number.
    """
    parts = energy_parts(attention_counts(shape, run.traffic_bytes, machine), actions or published_actions())
    first, *rest = parts.values()
    for part in rest:
        first = first.plus(part)
    return first


def energy_parts(counts: Counts, actions: Actions) -> dict[str, Band]:
    """Return action -> J."""
    return {name: action.times(count) for name, action, count in zip(Actions._fields, actions, counts, strict=True)}
