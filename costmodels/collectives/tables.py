"""Measured collectives in the schemas of public tables, as series of one link, kind and number of devices.

AIConfigurator: NCCL's own tests, whose sizes count elements. Vidur: collectives timed within PyTorch, whose small
reductions carry host time. APEX+: NCCL's own tests in whole kibibytes (0 is half of one). Seconds and bytes here.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from codesign.errors import DataError
from codesign.quantity import Array
from codesign.targets import load_target

if TYPE_CHECKING:
    import polars as pl

KINDS = {"alltoall": "all_to_all", "send_recv": "send", "sendrecv": "send"}
"""Names of kinds in the tables that differ from ours."""

ELEMENT_BYTES = {"half": 2, "int8": 1}
APEX_TARGETS = {"H100-SXM-80GB": "h100-sxm", "V100-PCIE-16GB": "v100-pcie"}
VIDUR_TARGETS = {"a100_dgx": "a100-80gb-sxm"}
"""Clusters whose devices share one link; in the others bridges join cards in pairs, and which were timed is open."""

MOST_PER_NODE = 16
"""Devices that one node of the measured machines may hold."""


class Series(msgspec.Struct, frozen=True, eq=False):
    """Measured times of one collective over payloads.

    Attributes:
        source: Table it is from.
        target: Device.
        kind: Collective.
        participants: Devices.
        nodes: Nodes that they are spread over.
        dtype: Of the elements.
        library: Version of the collective library, where stated.
        sizes: Payloads, bytes, shape (n,).
        seconds: Measured, shape (n,).
    """

    source: str
    target: str
    kind: str
    participants: int
    nodes: int
    dtype: str
    library: str
    sizes: Array
    seconds: Array


class Tables(msgspec.Struct, frozen=True, eq=False):
    """All series, the best source of each kind first, and rows used and left out by table."""

    series: tuple[Series, ...]
    sources: dict[str, dict[str, int]]


def read_collectives(folder: Path) -> Tables:
    """Return the measured collectives in ``folder``.

    Raises:
        DataError: there is none, or a table lacks a column.
    """
    import polars as pl

    series: list[Series] = []
    sources: dict[str, dict[str, int]] = {}
    for name, prepare in (
        ("aiconfigurator/nccl.parquet", _aiconfigurator), ("apex/collectives.parquet", _apex),
        ("vidur/network.parquet", _vidur),
    ):  # fmt: skip
        if not (folder / name).exists():
            continue
        table = pl.read_parquet(folder / name)
        try:
            used, left = prepare(table)
        except pl.exceptions.ColumnNotFoundError as error:
            raise DataError(f"{name}: column {error} is missing", "expected the schema of its source") from None
        found = _series(name, used)
        kept = _without_copies(found)
        left["a copy of another series"] = sum(len(one.sizes) for one in found) - sum(len(one.sizes) for one in kept)
        series += kept
        rows = sum(len(one.sizes) for one in kept)
        sources[name] = {"rows": rows, **{reason: count for reason, count in left.items() if count}}
    if not series:
        raise DataError(
            f"{folder} holds no table of measured collectives", "expected aiconfigurator/nccl.parquet in it"
        )
    return Tables(tuple(series), sources)


def _aiconfigurator(table: pl.DataFrame) -> tuple[pl.DataFrame, Counter[str]]:
    import polars as pl

    names = {name: load_target(name).id for name in table["system"].cast(pl.Utf8).unique().to_list()}
    dtype = pl.col("nccl_dtype").cast(pl.Utf8)
    chosen = table.select(
        pl.col("system").cast(pl.Utf8).replace_strict(names).alias("target"),
        pl.col("op_name").cast(pl.Utf8).replace(KINDS).alias("kind"),
        pl.col("num_gpus").cast(pl.Int64).alias("participants"),
        pl.lit(1, pl.Int64).alias("nodes"),
        dtype.alias("dtype"),
        pl.col("framework").cast(pl.Utf8).alias("library"),
        (pl.col("message_size").cast(pl.Int64) * dtype.replace_strict(ELEMENT_BYTES, default=None)).alias("size"),
        (pl.col("latency_ms").cast(pl.Float64) * 1e-3).alias("seconds"),
    )
    return _usable(chosen, Counter())


def _apex(table: pl.DataFrame) -> tuple[pl.DataFrame, Counter[str]]:
    import polars as pl

    left = Counter({"sizes in the column of devices": table.filter(pl.col("num_gpus_per_node") > MOST_PER_NODE).height})
    chosen = table.filter(pl.col("num_gpus_per_node") <= MOST_PER_NODE).select(
        pl.col("gpu").replace_strict(APEX_TARGETS, default=None).alias("target"),
        pl.col("op").replace(KINDS).alias("kind"),
        (pl.col("num_nodes") * pl.col("num_gpus_per_node")).alias("participants"),
        pl.col("num_nodes").alias("nodes"),
        pl.col("dtype").alias("dtype"),
        pl.lit("").alias("library"),
        pl.when(pl.col("size_kb") == 0).then(512).otherwise(pl.col("size_kb") * 1024).alias("size"),
        (pl.col("time_us").cast(pl.Float64) * 1e-6).alias("seconds"),
    )
    return _usable(chosen, left)


def _vidur(table: pl.DataFrame) -> tuple[pl.DataFrame, Counter[str]]:
    import polars as pl

    known = pl.col("cluster").is_in(list(VIDUR_TARGETS))
    left = Counter({"bridges join some cards": table.filter(~known).height})
    chosen = table.filter(known).select(
        pl.col("cluster").replace(VIDUR_TARGETS).alias("target"),
        pl.col("collective").replace(KINDS).alias("kind"),
        pl.col("num_workers").alias("participants"),
        (pl.col("num_workers") // pl.col("devices_per_node")).alias("nodes"),
        pl.lit("half").alias("dtype"),
        pl.lit("").alias("library"),
        pl.col("size").cast(pl.Int64).alias("size"),
        (pl.col("median_ms") * 1e-3).alias("seconds"),
    )
    return _usable(chosen, left)


def _usable(table: pl.DataFrame, left: Counter[str]) -> tuple[pl.DataFrame, Counter[str]]:
    """Return the rows of known targets and dtypes with a positive time and payload; the others are counted."""
    import polars as pl

    known = pl.col("target").is_not_null() & pl.col("size").is_not_null()
    positive = (pl.col("seconds") > 0.0) & pl.col("seconds").is_finite() & (pl.col("size") > 0)
    left["unknown device or dtype"] += table.filter(~known).height
    left["not a positive number"] += table.filter(known & ~positive.fill_null(False)).height
    return table.filter(known & positive.fill_null(False)), left


def _series(source: str, table: pl.DataFrame) -> list[Series]:
    keys = ["target", "kind", "participants", "nodes", "dtype", "library"]
    found = []
    for part in table.sort([*keys, "size", "seconds"]).partition_by(keys, maintain_order=True):
        named = {key: part[key][0] for key in keys}
        sizes, seconds = part["size"].to_numpy().astype(np.float64), part["seconds"].to_numpy()
        found.append(Series(source=source, sizes=sizes, seconds=seconds, **named))
    return found


def _without_copies(series: list[Series]) -> list[Series]:
    """Return the series that do not repeat another's numbers of the same kind under another name."""
    seen: set[tuple[str, bytes, bytes]] = set()
    kept = []
    for one in series:
        key = (one.kind, one.sizes.tobytes(), one.seconds.tobytes())
        if key not in seen:
            kept.append(one)
        seen.add(key)
    return kept
