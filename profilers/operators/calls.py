"""Operators of torch on tensors of given shapes, as models call them: weights cold, activations warm.

A model that runs finds the weights of a layer in memory, because those of all other layers passed the cache since, and
its activations where the operator before left them. So weights, cached keys and values and embedding tables are views
into a pool larger than the cache, the next one at every call; activations are one tensor, used again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codesign.errors import UsageError, nearest

Call = Callable[[int], Any]
"""Runs an operator once; the argument counts the calls."""

KINDS = {"fp32": "float32", "tf32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Dtype of an operator -> dtype of its tensors in torch."""

PERIOD = 1_000_003
"""Elements after which random values repeat: a prime, so that no two rows are alike."""

ALIGNED = 64
"""Views begin at multiples of so many elements."""

INDICES = 16
"""Sets of rows that lookups of a table take in turn."""


class Bench:
    """Where tensors come from: one device, one dtype."""

    def __init__(self, torch: Any, device: str, dtype: str, pool_bytes: int, seed: int = 0) -> None:
        """Fill the pool.

        Args:
            torch: The module.
            device: Torch device.
            dtype: A key of ``KINDS``.
            pool_bytes: Size of the pool, B.
            seed: Of all values.

        Raises:
            UsageError: an unknown dtype.
        """
        if dtype not in KINDS:
            raise UsageError(f"dtype {dtype!r} cannot be measured", nearest(dtype, KINDS))
        self.torch, self.device, self.kind = torch, device, getattr(torch, KINDS[dtype])
        self._generator = torch.Generator().manual_seed(seed)
        count = max(pool_bytes // self.kind.itemsize, PERIOD)
        block = (torch.rand(PERIOD, generator=self._generator) - 0.5).to(device=device, dtype=self.kind)
        self._pool = block.repeat(-(-count // PERIOD))[:count]

    def warm(self, *shape: int) -> Any:
        """Return one tensor of ``shape``."""
        count = 1
        for extent in shape:
            count *= extent
        return self._pool[:count].clone().view(shape) if count <= len(self._pool) else self._large(count).view(shape)

    def cold(self, *shape: int) -> Sequence[Any]:
        """Return tensors of ``shape`` to be taken in turn: as many as the pool has room for, one at least."""
        count = 1
        for extent in shape:
            count *= extent
        step = -(-count // ALIGNED) * ALIGNED
        if step > len(self._pool):
            return [self._large(count).view(shape)]
        return [self._pool[at : at + count].view(shape) for at in range(0, len(self._pool) - step + 1, step)]

    def rows(self, count: int, of: int) -> Sequence[Any]:
        """Return sets of ``count`` row numbers below ``of``."""
        integers = self.torch.randint
        return [integers(of, (count,), generator=self._generator).to(self.device) for _ in range(INDICES)]

    def _large(self, count: int) -> Any:
        return self._pool.repeat(-(-count // len(self._pool)))[:count]


def _gemm(b: Bench, s: Mapping[str, int]) -> Call:
    x, weights = b.warm(s["m"], s["k"]), b.cold(s["n"], s["k"])
    linear = b.torch.nn.functional.linear
    return lambda i: linear(x, weights[i % len(weights)])


def _bmm(b: Bench, s: Mapping[str, int]) -> Call:
    x, y = b.warm(s["B"], s["M"], s["N"]), b.warm(s["B"], s["N"], s["K"])
    return lambda i: b.torch.bmm(x, y)


def _conv(b: Bench, s: Mapping[str, int]) -> Call:
    x = b.warm(s["B"], s["Input_Channel"], s["Input_Size"], s["Input_Size"])
    weights = b.cold(s["Output_Channel"], s["Input_Channel"], s["Kernel_Size"], s["Kernel_Size"])
    convolve, stride, padding = b.torch.nn.functional.conv2d, s["Stride"], s["Padding"]
    return lambda i: convolve(x, weights[i % len(weights)], stride=stride, padding=padding)


def _prefill(b: Bench, s: Mapping[str, int]) -> Call:
    heads, shared = s["num_heads"], s["num_key_value_heads"] or s["num_heads"]
    q = b.warm(s["batch_size"], heads, s["isl"], s["head_dim"])
    k, v = (b.warm(s["batch_size"], shared, s["isl"], s["head_dim"]) for _ in "kv")
    attend = b.torch.nn.functional.scaled_dot_product_attention
    return lambda i: attend(q, k, v, is_causal=True, enable_gqa=shared != heads)


def _decode(b: Bench, s: Mapping[str, int]) -> Call:
    heads, shared = s["num_heads"], s["num_key_value_heads"] or s["num_heads"]
    q = b.warm(s["batch_size"], heads, 1, s["head_dim"])
    held = b.cold(2, s["batch_size"], shared, s["isl"], s["head_dim"])
    attend = b.torch.nn.functional.scaled_dot_product_attention

    def run(i: int) -> Any:
        k, v = held[i % len(held)]
        return attend(q, k, v, enable_gqa=shared != heads)

    return run


def _binary(name: str) -> Callable[[Bench, Mapping[str, int]], Call]:
    def build(b: Bench, s: Mapping[str, int]) -> Call:
        x, y = b.warm(s["B"], s["H"]), b.warm(s["B"], s["H"])
        function = getattr(b.torch, name)
        return lambda i: function(x, y)

    return build


def _unary(name: str, **options: Any) -> Callable[[Bench, Mapping[str, int]], Call]:
    def build(b: Bench, s: Mapping[str, int]) -> Call:
        x = b.warm(s["B"], s["H"])
        function = getattr(b.torch.nn.functional, name)
        return lambda i: function(x, **options)

    return build


def _layernorm(b: Bench, s: Mapping[str, int]) -> Call:
    x, weight, bias = b.warm(s["B"], s["H"]), b.warm(s["H"]), b.warm(s["H"])
    normalise = b.torch.nn.functional.layer_norm
    return lambda i: normalise(x, (s["H"],), weight, bias)


def _embedding(b: Bench, s: Mapping[str, int]) -> Call:
    table = b.cold(s["rows"], s["H"])
    chosen = b.rows(s["B"], s["rows"])
    look_up = b.torch.nn.functional.embedding
    return lambda i: look_up(chosen[i % INDICES], table[i % len(table)])


BUILDERS: dict[str, Callable[[Bench, Mapping[str, int]], Call]] = {
    "gemm": _gemm, "bmm": _bmm, "conv": _conv, "context_attention": _prefill, "generation_attention": _decode,
    "add": _binary("add"), "mul": _binary("mul"), "gelu": _unary("gelu"), "relu": _unary("relu"),
    "softmax": _unary("softmax", dim=-1), "layernorm": _layernorm, "embedding": _embedding,
}  # fmt: skip
"""Operator -> what builds its call. A ``bmm`` is B products of M x N and N x K; ``rows`` of an embedding are those of
its table."""


def build(bench: Bench, op: str, shape: Mapping[str, int]) -> Call:
    """Return what runs ``op`` on tensors of ``shape``.

    Raises:
        UsageError: an unknown operator, or a shape column that is missing.
    """
    builder = BUILDERS.get(op)
    if builder is None:
        raise UsageError(f"operator {op!r} cannot be measured", nearest(op, BUILDERS))
    try:
        return builder(bench, shape)
    except KeyError as error:
        raise UsageError(f"{op}: shape column {error} is missing", f"found {', '.join(shape)}") from None
