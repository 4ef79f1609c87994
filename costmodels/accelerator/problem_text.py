"""Problems in one line: ``gemm:1024x1024x1024``, ``conv:K64C64P56Q56R3S3,stride=2``.

A line is a kind, its sizes, and options after commas. Sizes are either in order (``MxNxK``) or named (``M64N64K64``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from codesign.costmodels.accelerator.problem import Problem, attention_scores, attention_values, conv2d, gemm
from codesign.errors import UsageError, nearest

Bits = tuple[int, int, int]
Built = TypeVar("Built")


class Kind(NamedTuple, Generic[Built]):
    """One kind of line: its sizes in order (lower case where it may be left out), options, builder, and an example."""

    sizes: str
    options: tuple[str, ...]
    build: Built
    example: str


def _gemm(given: Mapping[str, int], bits: Bits) -> Problem:
    return gemm(given["M"], given["N"], given["K"], bits=bits)


def _bmm(given: Mapping[str, int], bits: Bits) -> Problem:
    return gemm(given["M"], given["N"], given["K"], batch=given["B"], bits=bits, name="bmm")


def _conv(given: Mapping[str, int], bits: Bits) -> Problem:
    sizes = {name.lower(): value for name, value in given.items()}
    return conv2d(
        k=sizes["k"], c=sizes["c"], p=sizes["p"], q=sizes["q"], r=sizes["r"], s=sizes["s"], n=sizes.get("n", 1),
        stride=sizes.get("stride", 1), dilation=sizes.get("dilation", 1), groups=sizes.get("groups", 1), bits=bits,
    )  # fmt: skip


def _scores(given: Mapping[str, int], bits: Bits) -> Problem:
    return attention_scores(**{"b": 1, **{name.lower(): value for name, value in given.items()}}, bits=bits)


def _values(given: Mapping[str, int], bits: Bits) -> Problem:
    return attention_values(**{"b": 1, **{name.lower(): value for name, value in given.items()}}, bits=bits)


KINDS: dict[str, Kind[Callable[[Mapping[str, int], Bits], Problem]]] = {
    "gemm": Kind("MNK", (), _gemm, "gemm:1024x1024x1024"),
    "bmm": Kind("BMNK", (), _bmm, "bmm:12x1024x1024x64"),
    "conv": Kind("KCPQRSn", ("stride", "dilation", "groups"), _conv, "conv:K64C64P56Q56R3S3,stride=2"),
    "qk": Kind("HPMEb", (), _scores, "qk:H12P1024M1024E64"),
    "av": Kind("HPMFb", (), _values, "av:H12P1024M1024F64"),
}
"""Kind -> how it is written."""

_NAMED = re.compile(r"([A-Z])([0-9]{1,15})")


def is_problem_text(text: str) -> bool:
    """Say whether ``text`` is a problem in one line rather than a file."""
    return text.partition(":")[0] in KINDS and not text.endswith((".yaml", ".yml"))


def parse_problem(text: str) -> Problem:
    """Return the problem that one line describes.

    Raises:
        UsageError: an unknown kind, size or option, a size that is missing, given twice or not a positive integer.
    """
    kind, given, bits = read_line(text, KINDS)
    return kind.build(given, (8, 8, 16) if bits is None else _bits(bits, text))


def read_line(text: str, kinds: Mapping[str, Kind[Built]]) -> tuple[Kind[Built], dict[str, int], str | None]:
    """Return the kind of a line, its sizes and options by name, and what it says of bits, if anything.

    Raises:
        UsageError: an unknown kind, size or option, a size that is missing, given twice or not a positive integer.
    """
    name, colon, rest = text.partition(":")
    if name not in kinds or not colon:
        hint = f"{nearest(name, kinds)}; for example {next(iter(kinds.values())).example}"
        raise UsageError(f"problem {text[:80]!r}: unknown kind {name[:40]!r}", hint)
    kind, bits = kinds[name], None
    body, *options = rest.split(",")
    given = _sizes(body, kind.sizes, kind.example, text)
    for option in options:
        key, _, value = option.partition("=")
        if key not in (*kind.options, "bits"):
            raise UsageError(f"problem {text!r}: unknown option {key!r}", nearest(key, [*kind.options, "bits"]))
        if key == "bits":
            bits = value
        else:
            given[key] = read_integer(value, text, key)
    return kind, given, bits


def _sizes(body: str, sizes: str, example: str, text: str) -> dict[str, int]:
    """Return the sizes of a line: in order (``MxNxK``) or named; lower-case ``sizes`` may be left out.

    Raises:
        UsageError: a size that is unknown, missing, given twice or not a positive integer.
    """
    order = sizes.upper()
    if re.fullmatch(r"[0-9]+(x[0-9]+)*", body):
        numbers = body.split("x")
        needed = sum(letter.isupper() for letter in sizes)
        if not needed <= len(numbers) <= len(order):
            raise UsageError(f"problem {text!r}: found {len(numbers)} sizes, expected {needed}", f"as {example}")
        return {rank: read_integer(number, text, rank) for rank, number in zip(order, numbers, strict=False)}
    pairs = _NAMED.findall(body)
    if not pairs or "".join(rank + number for rank, number in pairs) != body:
        raise UsageError(f"problem {text!r}: sizes {body!r} cannot be read", f"write them as {example}")
    given: dict[str, int] = {}
    for rank, number in pairs:
        if rank not in order:
            raise UsageError(f"problem {text!r}: unknown rank {rank}", f"{example.partition(':')[0]} has {order}")
        if rank in given:
            raise UsageError(f"problem {text!r}: rank {rank} is given twice")
        given[rank] = read_integer(number, text, rank)
    missing = [rank for rank in sizes if rank.isupper() and rank not in given]
    if missing:
        raise UsageError(f"problem {text!r}: rank {missing[0]} has no extent", f"as {example}")
    return given


def _bits(value: str, text: str) -> Bits:
    parts = [read_integer(part, text, "bits") for part in value.split("/")]
    if len(parts) not in (1, 3):
        raise UsageError(f"problem {text!r}: bits={value}", "one number, or inputs/weights/outputs as 8/8/16")
    return (parts[0], parts[0], parts[0]) if len(parts) == 1 else (parts[0], parts[1], parts[2])


def read_integer(value: str, text: str, what: str) -> int:
    """Return a positive integer of a line.

    Raises:
        UsageError: it is none.
    """
    if not re.fullmatch(r"[0-9]{1,15}", value) or int(value) < 1:
        raise UsageError(f"problem {text[:80]!r}: {what}: found {value[:20]!r}, expected a positive integer")
    return int(value)
