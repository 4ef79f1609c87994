"""The three designs of the comparison with ZigZag, with the costs of its hardware files, and its spatial mappings.

Energies are pJ per access of a row as wide as the port. DRAM words are 8 bits for every tensor: final outputs leave
the chip at the precision of the operands, as in ZigZag's workloads (O_final: 8).

References:
    [1] ZigZag (zigzag-dse 3.9.1), hardware files ``tpu_like`` and ``eyeriss_like``; Gemmini-like: an assumed file of
        the same form.
"""

from __future__ import annotations

from codesign.targets.spatial import Architecture, ComputeUnit, Fanout, Operation, Parallel, Storage
from codesign.targets.target import Value

PICO = 1e-12

PROBLEMS = {"conv2_1": "conv:K64C64P56Q56R3S3", "gemm1024": "gemm:1024x1024x1024", "bert_qk": "bmm:12x1024x1024x64"}


def memory(
    name: str, bits: int | None, width: int, read: float, write: float, keeps: tuple[str, ...] = (),
    **limits: float | int,
) -> Storage:  # fmt: skip
    """Return a memory of ``bits`` in rows of ``width`` bits."""
    depth = None if bits is None else max(1, bits // width)
    kind = "sram" if bits else "dram"
    return Storage(
        name=name, kind=kind, width_bits=width, depth=depth, read=Value(read * PICO, "J"),
        write=Value(write * PICO, "J"), update=Value(write * PICO, "J"), keeps=keeps, **limits,
    )  # fmt: skip


def dram(width: int, read: float, write: float) -> Storage:
    return memory("dram", None, width, read, write, word_bits=8, shared_bandwidth=width / 8)


def unit(picojoules: float) -> ComputeUnit:
    return ComputeUnit(name="mac", operations={"mac": Operation(Value(picojoules * PICO, "J"))})


TPU = Architecture(id="tpu_like", name="TPU-like, 32 x 32", nodes=(
    dram(64, 700, 750),
    memory("sram", 2**24, 2048, 416.16, 378.4, ("input", "output"), read_bandwidth=256, write_bandwidth=256),
    Fanout(name="array", x=32, y=32),
    Parallel(members=(
        memory("weight_rf", 1024, 8, 0.095, 0.095, ("weight",), read_bandwidth=1, write_bandwidth=1),
        memory("output_rf", 16, 16, 0.021, 0.021, ("output",), read_bandwidth=4, write_bandwidth=4),
    )),
    unit(0.04),
))  # fmt: skip

EYERISS = Architecture(id="eyeriss_like", name="Eyeriss-like, 14 x 12", nodes=(
    dram(64, 1000, 1000),
    memory("sram_1m", 2**23, 384, 100, 130, ("input", "output"), shared_bandwidth=48),
    Parallel(members=(
        memory("weight_sram", 2**19, 128, 20, 25, ("weight",), read_bandwidth=16, write_bandwidth=16),
        memory("output_sram", 2**16, 128, 10, 15, ("output",), shared_bandwidth=16),
    )),
    Fanout(name="array", x=14, y=12),
    Parallel(members=(
        memory("input_rf", 512, 8, 1.0, 1.5, ("input",), read_bandwidth=1, write_bandwidth=1),
        memory("weight_rf", 512, 8, 1.0, 1.5, ("weight",), read_bandwidth=1, write_bandwidth=1),
        memory("output_rf", 128, 16, 1.5, 2.0, ("output",), read_bandwidth=3, write_bandwidth=3),
    )),
    unit(0.5),
))  # fmt: skip

GEMMINI = Architecture(id="gemmini_like", name="Gemmini-like, 16 x 16", nodes=(
    dram(128, 640, 640),
    Parallel(members=(
        memory("scratchpad", 2**21, 256, 20, 24, ("input", "weight"), read_bandwidth=32, write_bandwidth=32),
        memory("accumulator", 2**19, 512, 12, 14, ("output",), read_bandwidth=64, write_bandwidth=64),
    )),
    Fanout(name="array", x=16, y=16),
    memory("weight_register", 8, 8, 0.01, 0.01, ("weight",), read_bandwidth=1, write_bandwidth=1),
    unit(0.2),
))  # fmt: skip

DESIGNS = {design.id: design for design in (TPU, EYERISS, GEMMINI)}
