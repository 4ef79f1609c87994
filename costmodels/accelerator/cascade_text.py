"""Cascades in one line: ``mlp:P64D32M128N32`` (two products), ``attention:H12P1024M1024E64F64,passes=1``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from codesign.costmodels.accelerator.attention_cascades import AttentionShape, one_pass, three_pass, two_pass
from codesign.costmodels.accelerator.cascade import Cascade
from codesign.costmodels.accelerator.cascade_problem import CascadeProblem, from_cascade
from codesign.costmodels.accelerator.problem_text import Kind, read_integer, read_line
from codesign.errors import UsageError
from codesign.workload import Einsum, Role, Tensor, axes

WORD_BITS = 8
"""Bits of every element of a line that names none."""

TILE = 256
"""Keys of a tile of attention in two passes or one, where the line names none and they divide."""

OPERATIONS = {
    "GM": "max", "LM": "max", "RM": "max", "SN": "exp", "SLN": "exp", "PRM": "exp", "SD": "add", "SLD": "add",
    "SPD": "mac", "RD": "add", "SPNV": "mac", "RNV": "add", "SC": "divide", "A": "divide",
}  # fmt: skip
"""Einsum of attention -> operation of a compute unit; products are multiply-adds."""


def _mlp(given: Mapping[str, int]) -> CascadeProblem:
    def product(name: str, left: tuple[str, str], weights: tuple[str, str], made: tuple[str, str]) -> Einsum:
        used = dict.fromkeys([*left[1].split(), *weights[1].split()])
        inputs = (Tensor(left[0], axes(left[1])), Tensor(weights[0], axes(weights[1]), Role.WEIGHT))
        return Einsum(name, {rank: given[rank] for rank in used}, inputs, Tensor(made[0], axes(made[1])))

    up = product("up", ("X", "P D"), ("W1", "D M"), ("A", "P M"))
    down = product("down", ("A", "P M"), ("W2", "M N"), ("O", "P N"))
    return from_cascade(Cascade("mlp", (up, down)))


def _attention(given: Mapping[str, int]) -> CascadeProblem:
    keys, passes = given["M"], given.get("passes", 3)
    shape = AttentionShape(given.get("B", 1), given["H"], given["P"], keys, given["E"], given["F"])
    tile = given.get("tile", TILE if keys % TILE == 0 else keys)
    if passes not in (1, 2, 3):
        raise UsageError(f"attention in {passes} passes", "1, 2 or 3")
    made = three_pass(shape) if passes == 3 else (one_pass if passes == 1 else two_pass)(shape, tile)
    names = {einsum.name for einsum in made.einsums}
    operations = {name: operation for name, operation in OPERATIONS.items() if name in names}
    # the result is a product with values in three passes and two, a division in one
    return from_cascade(made, {**operations, **({"AV": "divide"} if passes == 1 else {})})


CASCADES: dict[str, Kind[Callable[[Mapping[str, int]], CascadeProblem]]] = {
    "mlp": Kind("PDMN", (), _mlp, "mlp:P64D32M128N32"),
    "attention": Kind("HPMEFb", ("passes", "tile"), _attention, "attention:H12P1024M1024E64F64,passes=1"),
}
"""Kind -> how it is written."""


def is_cascade_text(text: str) -> bool:
    """Say whether ``text`` is a cascade in one line."""
    return text.partition(":")[0] in CASCADES and not text.endswith((".yaml", ".yml"))


def parse_cascade(text: str) -> CascadeProblem:
    """Return the cascade that one line describes; all elements have ``bits=``, 8 where left out.

    Raises:
        UsageError: an unknown kind, size or option, a size that is missing, given twice or not a positive integer.
    """
    kind, given, bits = read_line(text, CASCADES)
    return with_bits(kind.build(given), WORD_BITS if bits is None else read_integer(bits, text, "bits"))


def with_bits(cascade: CascadeProblem, bits: int) -> CascadeProblem:
    """Return a cascade whose elements all have ``bits``."""
    problems = tuple(
        msgspec.structs.replace(
            problem,
            inputs=tuple(msgspec.structs.replace(view, bits=bits) for view in problem.inputs),
            output=msgspec.structs.replace(problem.output, bits=bits),
        )
        for problem in cascade.problems
    )
    return CascadeProblem(cascade.name, problems, cascade.tensors)
