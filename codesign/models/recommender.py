"""DLRM as a workload: embedding bags as lookups, dot interaction, two MLPs (arXiv:1906.00091).

All tables are looked up by one kernel (table-batched embedding bags). The interaction computes the full product of the
vectors, as the reference does, and keeps the pairs below the diagonal. Ranks: b samples, i and j vectors, k embedding
size; each MLP layer has its own in and out.
"""

from __future__ import annotations

from codesign.models.figures import Recommender
from codesign.models.kernels import Kernels
from codesign.models.lengths import Lengths
from codesign.models.precision import Precision
from codesign.workload.einsum import Op, Role, Tensor, tensor, vector
from codesign.workload.graph import Block, Group, Phase, Workload


def dlrm(name: str, figures: Recommender, run: Lengths, precision: Precision) -> Workload:
    """Return the forward pass over ``run.batch`` samples."""
    vectors = len(figures.tables) + 1
    sizes = {"b": run.batch, "k": figures.embedding_size, "i": vectors, "j": vectors}
    bottom, dense = _mlp(Kernels("bottom", sizes, precision), figures.dense_features, figures.bottom, "relu")
    interact = _interaction(Kernels("interaction", sizes, precision), figures, dense)
    top, _ = _mlp(Kernels("top", sizes, precision), figures.interaction_width, figures.top, "sigmoid")
    parts = (
        Block("bottom", bottom),
        Block("embedding", (_embedding(Kernels("embedding", sizes, precision), figures),)),
        Block("interaction", interact),
        Block("top", top),
    )
    return Workload(name, (Phase("forward", parts),), {"sample": run.batch})


def _mlp(kernels: Kernels, inputs: int, widths: tuple[int, ...], last: str) -> tuple[tuple[Group, ...], Tensor]:
    groups = []
    source = kernels.activation("input", "b in")
    for index, width in enumerate(widths):
        k = kernels.resized(**{"in": inputs, "out": width})
        activation = last if index + 1 == len(widths) else "relu"
        ops, result = k.project(source, f"layer{index}", "in", "out", keep="b", bias=True, activation=activation)
        groups.append(Group(f"layer{index}", tuple(ops), "gemm"))
        # the next layer reads the result under its own rank name
        source = k.activation(f"layer{index}", "b in")
        inputs = width
    return tuple(groups), result


def _embedding(kernels: Kernels, figures: Recommender) -> Group:
    ops: list[Op] = []
    for index, rows in enumerate(figures.tables):
        k = kernels.resized(rows=rows)
        # tables stay at the plain precision: they are looked up, not multiplied
        table = k.weight(f"table{index}", "rows k", plain=True)
        ops.append(k.lookup(f"table{index}", table, k.sizes["b"] * figures.lookups, k.activation(f"bag{index}", "b k")))
    return Group("embedding", tuple(ops), "vector")


def _interaction(kernels: Kernels, figures: Recommender, dense: Tensor) -> tuple[Group, ...]:
    k = kernels.resized(**{"in": figures.interaction_width})
    tables, top = Kernels("embedding", k.sizes, k.precision), Kernels("top", k.sizes, k.precision)
    bags = tuple(tables.activation(f"bag{index}", "b k") for index in range(len(figures.tables)))
    first = tensor(dense.name, "b k", Role.ACTIVATION, k.precision.activation_bits)
    stacked = k.activation("vectors", "b i k")
    gather = k.einsum("stack", (first, *bags), stacked, vector(flops=0.0))
    products = k.activation("products", "b i j")
    multiply = k.einsum("products", (stacked, k.activation("vectors", "b j k")), products, k.precision.product)
    # the dense vector and the pairs below the diagonal, copied side by side
    chosen = k.einsum("pairs", (k.activation("products", "b in"),), top.activation("input", "b in"), vector(flops=0.0))
    return (
        Group("stack", (gather,), "vector"),
        Group("interaction", (multiply,), "gemm"),
        Group("pairs", (chosen,), "vector"),
    )
