"""Inputs of a captured module as the user states them: ``8x3x224x224``, ``1x128:int64``, ``ids=1x128:int64``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from inspect import BoundArguments, Parameter, signature
from math import prod
from typing import TYPE_CHECKING, Any

import msgspec

from codesign.errors import UsageError, nearest

if TYPE_CHECKING:
    import torch

DTYPES = {
    "float32": "float32", "fp32": "float32", "float16": "float16", "fp16": "float16", "bfloat16": "bfloat16",
    "bf16": "bfloat16", "float64": "float64", "fp64": "float64", "int64": "int64", "long": "int64", "int32": "int32",
    "int8": "int8", "uint8": "uint8", "bool": "bool",
}  # fmt: skip
"""Spelling -> torch name."""

LARGEST = 2**31
"""Elements of one input; more is taken for a slip of the keyboard."""


class InputShape(msgspec.Struct, frozen=True):
    """One input: its shape and torch dtype, and the keyword it is passed by (empty: by position)."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    name: str = ""

    def scaled(self, batch: int) -> InputShape:
        """Return the input with its leading dimension multiplied."""
        return msgspec.structs.replace(self, shape=(self.shape[0] * batch, *self.shape[1:]))

    def tensor(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return a tensor of this shape: normal floats, or zeros (safe as indices)."""
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        if not dtype.is_floating_point:
            return torch.zeros(self.shape, dtype=dtype)
        return torch.randn(self.shape, generator=generator).to(dtype)


def parse_inputs(texts: Sequence[str] | None) -> tuple[InputShape, ...]:
    """Return the inputs that ``texts`` state, each a comma list.

    Raises:
        UsageError: none, one that cannot be read, or two of one name.
    """
    parts = [part.strip() for text in texts or () for part in text.split(",") if part.strip()]
    if not parts:
        raise UsageError("a captured module needs the shapes of its inputs", "for example --input 8x3x224x224")
    inputs = tuple(map(_parse, parts))
    names = [stated.name for stated in inputs if stated.name]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"--input states {twice!r} twice", "state each input once")
    return inputs


def bound(inputs: Sequence[InputShape], forward: Callable[..., Any], source: str) -> BoundArguments:
    """Return ``inputs`` as the arguments of ``forward``.

    Raises:
        UsageError: it has no parameter of a name, or not as many.
    """
    form = signature(forward)
    known = form.parameters
    if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in known.values()):
        unknown = next((i.name for i in inputs if i.name and i.name not in known), None)
        if unknown is not None:
            raise UsageError(f"{source}: forward() has no parameter {unknown!r}", f"it takes {', '.join(known)}")
    try:
        return form.bind(*(i for i in inputs if not i.name), **{i.name: i for i in inputs if i.name})
    except TypeError as error:
        raise UsageError(
            f"{source}: the inputs do not fit forward({', '.join(known)}): {error}",
            "name its parameters: --input NAME=SHAPE",
        ) from None


def by_position(inputs: Sequence[InputShape], forward: Callable[..., Any], source: str) -> tuple[Any, ...]:
    """Return ``inputs`` in the order in which ``forward`` takes them, its defaults between them.

    Raises:
        UsageError: they do not fit, or it takes one by keyword only.
    """
    arguments = bound(inputs, forward, source)
    arguments.apply_defaults()
    keyword = next((name for name, value in arguments.kwargs.items() if isinstance(value, InputShape)), None)
    if keyword is not None:
        raise UsageError(
            f"{source}: forward() takes {keyword!r} by keyword only, a run gives inputs by position",
            "wrap the module in one whose forward() names it as a plain parameter",
        )
    return arguments.args


def _parse(text: str) -> InputShape:
    match = re.fullmatch(r"(?:([A-Za-z_]\w*)=)?([0-9x]+)(?::(\w+))?", text)
    if match is None or not re.fullmatch(r"[0-9]+(x[0-9]+)*", match.group(2)):
        raise UsageError(f"--input {text!r}: no shape", "for example 8x3x224x224, 1x128:int64 or ids=1x128:int64")
    name, dimensions, dtype = match.groups()
    if dtype is not None and dtype not in DTYPES:
        raise UsageError(f"--input {text!r}: unknown dtype {dtype!r}", nearest(dtype, DTYPES))
    shape = tuple(int(part[:12]) for part in dimensions.split("x"))
    if 0 in shape or prod(shape) > LARGEST:
        raise UsageError(f"--input {text!r}: {prod(shape):,} elements", f"expected 1 to {LARGEST:,}")
    return InputShape(shape, DTYPES[dtype or "float32"], name or "")
