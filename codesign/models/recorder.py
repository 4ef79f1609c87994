"""Recording what a module computes: its ATen operators with shapes, without running it on data.

A dispatch mode under fake tensors sees every operator after composite ones are taken apart. Each becomes one kernel
of the workload: products and convolutions as Einsums over their real ranks, attention as its three operators, gathers
as look-ups, everything else as elementwise work that reads its inputs and writes its outputs. Views cost nothing.
Tensors are told apart by storage, so data flow survives views and in-place operators.

FLOP: a multiply-add is 2; softmax, norms and other elementwise work count 1 per element of their largest tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from codesign.errors import UsageError
from codesign.workload.einsum import Axis, Compute, Einsum, Extent, Lookup, Role, Tensor, axes, vector
from codesign.workload.graph import Group

NAMES: dict[torch.dtype, str] = {
    torch.float64: "fp64", torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16", torch.int8: "int8",
}  # fmt: skip

GATHERS = {"embedding", "index_select", "gather", "index"}
OPAQUE = {"mkldnn_rnn_layer", "_cudnn_rnn", "miopen_rnn"}
OPAQUE_HINT = "write it with linear layers, matmul, convolution or scaled_dot_product_attention"
FREE = {"detach", "alias", "lift_fresh", "empty", "empty_like", "new_empty", "empty_strided", "sym_size", "resize_"}


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records groups in the order of execution; told parameters and buffers by storage -> name."""

    def __init__(self, parameters: dict[int, str], buffers: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights, self.buffers = parameters, buffers
        self.groups: list[Group] = []
        self._names: dict[int, str] = {**buffers, **parameters}
        self._kept: list[Any] = []  # storages must outlive the recording: their addresses are names
        self._count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operator and record it."""
        out = func(*args, **(kwargs or {}))
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        outputs = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        self._kept += [*inputs, *outputs]
        name = func.overloadpacket.__name__
        if name in FREE or not outputs or (not func._schema.is_mutable and self._is_view(inputs, outputs)):
            return out
        self._count += 1
        self.groups.append(self._group(f"{name}.{self._count}", name, func, inputs, outputs, args))
        return out

    def _is_view(self, inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> bool:
        held = {storage(t) for t in inputs}
        return all(storage(t) in held for t in outputs)

    # --- tensors ------------------------------------------------------------------------------------------------

    def _role(self, t: torch.Tensor) -> Role:
        if storage(t) in self.weights:
            return Role.WEIGHT
        if storage(t) in self.buffers:
            return Role.STATE
        return Role.ACTIVATION if t.is_floating_point() else Role.INDEX

    def _read(self, t: torch.Tensor, where: tuple[Axis, ...]) -> Tensor:
        key = storage(t)
        if key not in self._names:
            self._names[key] = f"input.{len(self._names)}"
        return Tensor(self._names[key], where, self._role(t), t.element_size() * 8)

    def _write(self, t: torch.Tensor, where: tuple[Axis, ...], name: str) -> Tensor:
        # an in-place operator makes a new version: one producer for each name
        self._names[storage(t)] = name
        return Tensor(name, where, Role.ACTIVATION, t.element_size() * 8)

    # --- operators ----------------------------------------------------------------------------------------------

    def _group(self, label: str, name: str, func: Any, inputs: Any, outputs: Any, args: Any) -> Group:
        maker: Callable[..., Group] | None = {
            "mm": self._product, "addmm": self._product, "bmm": self._product, "baddbmm": self._product,
            "convolution": self._convolution, "_convolution": self._convolution,
        }.get(name)  # fmt: skip
        if name in OPAQUE or (maker is None and "scaled_dot" not in name and func.overloadpacket in flop_registry):
            raise UsageError(f"operator {name} cannot be priced: its products are not visible", OPAQUE_HINT)
        if maker is not None:
            return maker(label, name, inputs, outputs, args)
        if "scaled_dot_product" in name:
            return self._attention(label, inputs, outputs)
        if name in GATHERS and len(inputs) >= 2:
            return self._gather(label, inputs, outputs)
        return self._elementwise(label, inputs, outputs)

    def _product(self, label: str, name: str, inputs: Any, outputs: Any, args: Any) -> Group:
        biased = name in ("addmm", "baddbmm")
        a, b = inputs[1:3] if biased else inputs[:2]
        batched = name in ("bmm", "baddbmm")
        ranks: dict[str, Extent] = {"m": a.shape[-2], "n": b.shape[-1], "k": a.shape[-1]}
        lead = "b " if batched else ""
        if batched:
            ranks["b"] = a.shape[0]
        read = (self._read(a, axes(f"{lead}m k")), self._read(b, axes(f"{lead}k n")))
        product = Compute("tensor", NAMES.get(a.dtype, "fp32"))
        if not biased:
            out = self._write(outputs[0], axes(f"{lead}m n"), label)
            return Group(label, (Einsum(label, ranks, read, out, product),), "gemm")
        inner = Tensor(f"{label}.product", axes(f"{lead}m n"), Role.ACTIVATION, outputs[0].element_size() * 8)
        bias = self._read(inputs[0], axes("n" if inputs[0].ndim == 1 else f"{lead}m n"))
        out = self._write(outputs[0], axes(f"{lead}m n"), label)
        plane = {rank: ranks[rank] for rank in f"{lead}m n".split()}
        add = Einsum(f"{label}.bias", plane, (inner, bias), out, vector(flops=1.0))
        return Group(label, (Einsum(label, ranks, read, inner, product), add), "gemm")

    def _convolution(self, label: str, name: str, inputs: Any, outputs: Any, args: Any) -> Group:
        x, w = inputs[:2]
        stride, padding, dilation, transposed, _, groups = args[3:9]
        spatial = x.ndim - 2
        # the side that the iteration space walks point by point: outputs, or inputs of a transposed convolution
        walked, spread = (x, outputs[0]) if transposed else (outputs[0], x)
        places, kernel = [f"p{i}" for i in range(spatial)], [f"r{i}" for i in range(spatial)]
        ranks: dict[str, Extent] = {"b": x.shape[0], "gr": groups}
        ranks |= {"ci": x.shape[1] // groups, "co": outputs[0].shape[1] // groups}
        ranks |= dict(zip(places, walked.shape[2:], strict=True)) | dict(zip(kernel, w.shape[2:], strict=True))
        step, pad, dilate = (_per_axis(values, spatial) for values in (stride, padding, dilation))
        windows = tuple(
            Axis(((p, s), (r, d)), -o, size)
            for p, r, s, o, d, size in zip(places, kernel, step, pad, dilate, spread.shape[2:], strict=True)
        )
        points = axes(" ".join(places))
        at_x = axes("b gr ci") + (points if transposed else windows)
        at_y = axes("b gr co") + (windows if transposed else points)
        read = (self._read(x, at_x), self._read(w, axes(f"gr co ci {' '.join(kernel)}")))
        ops: list[Any] = []
        product = Compute("tensor", NAMES.get(x.dtype, "fp32"))
        if len(inputs) > 2:
            inner = Tensor(f"{label}.product", at_y, Role.ACTIVATION, outputs[0].element_size() * 8)
            bias = self._read(inputs[2], axes("gr co"))
            ops.append(Einsum(label, ranks, read, inner, product))
            plane: dict[str, Extent] = {"b": x.shape[0], "gr": groups, "co": ranks["co"], **ranks}
            plane = {k: v for k, v in plane.items() if k != "ci" and (transposed or k not in kernel)}
            ops.append(Einsum(f"{label}.bias", plane, (inner, bias), self._write(outputs[0], at_y, label), vector()))
        else:
            ops.append(Einsum(label, ranks, read, self._write(outputs[0], at_y, label), product))
        return Group(label, tuple(ops), "conv")

    def _attention(self, label: str, inputs: Any, outputs: Any) -> Group:
        q, k, v = inputs[:3]
        heads = k.shape[1]  # of keys: each serves g heads of queries
        ranks: dict[str, Extent] = {"b": q.shape[0], "h": heads, "g": q.shape[1] // heads}
        ranks |= {"s": q.shape[-2], "c": k.shape[-2]}
        sizes: dict[str, Extent] = {**ranks, "d": q.shape[-1], "w": v.shape[-1]}
        compute = Compute("tensor", NAMES.get(q.dtype, "fp32"))
        wide = q.element_size() * 8
        scores, weights = (
            Tensor(f"{label}.{n}", axes("b h g s c"), Role.ACTIVATION, wide) for n in ("scores", "weights")
        )
        read = [self._read(t, axes(a)) for t, a in ((q, "b h g s d"), (k, "b h c d"), (v, "b h c w"))]
        out = self._write(outputs[0], axes("b h g s w"), label)
        ops = (
            Einsum(f"{label}.qk", {r: sizes[r] for r in "bhgscd"}, (read[0], read[1]), scores, compute),
            Einsum(f"{label}.softmax", ranks, (scores,), weights, vector(flops=5.0)),
            Einsum(f"{label}.pv", {r: sizes[r] for r in "bhgscw"}, (weights, read[2]), out, compute),
        )
        return Group(label, ops, "attention_prefill")

    def _gather(self, label: str, inputs: Any, outputs: Any) -> Group:
        table = inputs[0]
        row = max(1, prod(table.shape[1:]))
        rows = outputs[0].numel() / row
        ranks: dict[str, Extent] = {"v": table.shape[0], "d": row, "p": outputs[0].numel()}
        read, out = self._read(table, axes("v d")), self._write(outputs[0], axes("p"), label)
        return Group(label, (Lookup(label, ranks, read, rows, out),), "embedding")

    def _elementwise(self, label: str, inputs: Any, outputs: Any) -> Group:
        """Return work over the largest tensor; each distinct size is a rank, and the density leaves one pass of it."""
        sizes = dict.fromkeys(t.numel() for t in (*inputs, *outputs))
        ranks: dict[str, Extent] = {f"p{place}": size for place, size in enumerate(sizes)}
        rank = {size: f"p{place}" for place, size in enumerate(sizes)}
        whole = prod(sizes)
        density = max(sizes) / whole if whole else 1.0
        seen = dict.fromkeys(storage(t) for t in inputs)
        read = tuple(self._read(next(t for t in inputs if storage(t) == key), ()) for key in seen)
        read = tuple(
            Tensor(r.name, axes(rank[next(t for t in inputs if storage(t) == key).numel()]), r.role, r.bits)
            for r, key in zip(read, seen, strict=True)
        )
        ops = []
        for place, t in enumerate(outputs):
            name = label if place == 0 else f"{label}:{place}"
            out = self._write(t, axes(rank[t.numel()]), name)
            ops.append(Einsum(name, ranks, read, out, vector(flops=1.0 if place == 0 else 0.0), density))
        return Group(label, tuple(ops), "vector")


def storage(t: torch.Tensor) -> int:
    """Return what tells tensors apart: the storage they view."""
    return int(t.untyped_storage()._cdata)


def held_by(named: Iterable[tuple[str, torch.Tensor]]) -> dict[int, str]:
    """Return storage -> name of parameters or buffers, tied ones by their first name."""
    held: dict[int, str] = {}
    for name, t in named:
        held.setdefault(storage(t), name)
    return held


def _per_axis(values: Any, count: int) -> list[int]:
    given = [int(v) for v in values]
    return given if len(given) == count else given * count
