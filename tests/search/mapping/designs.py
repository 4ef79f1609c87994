"""Tiny accelerators and problems for the tests of mapping searches: small enough to list every mapping."""

from __future__ import annotations

from codesign.costmodels.accelerator import Problem, conv2d, gemm
from codesign.targets.spatial import Architecture, ComputeUnit, Fanout, Node, Operation, Storage
from codesign.targets.target import Value

PICO = 1e-12


def energy(picojoules: float) -> Value:
    return Value(picojoules * PICO, "J")


def memory(name: str, cost: float, words: int | None = None, keeps: tuple[str, ...] = ()) -> Storage:
    """Return a memory of 8-bit words, each access one word."""
    return Storage(
        name=name, kind="sram", width_bits=8, word_bits=8, depth=words, read=energy(cost), write=energy(cost),
        update=energy(cost), keeps=keeps,
    )  # fmt: skip


def machine(*inner: Node, name: str = "tiny") -> Architecture:
    """Return a memory without limits, ``inner``, and one multiply-adder; 1 GHz."""
    unit = ComputeUnit(name="mac", operations={"mac": Operation(energy(1.0))})
    nodes = (memory("Main", 100.0), *inner, unit)
    return Architecture(id=name, name=name, nodes=nodes, clock=Value(1e9, "Hz"))


BUFFERED = machine(memory("Buffer", 5.0, words=12))
ARRAY = machine(memory("Buffer", 5.0, words=20), Fanout(name="Array", x=2, y=3))
PADS = machine(
    memory("Buffer", 5.0, words=24, keeps=("input", "output")),
    Fanout(name="Array", x=4),
    memory("Pad", 0.5, words=2, keeps=("weight",)),
)

PRODUCT: Problem = gemm(4, 2, 6, bits=(8, 8, 8))
WINDOW: Problem = conv2d(k=2, c=1, p=4, q=1, r=3, s=1, bits=(8, 8, 8))
