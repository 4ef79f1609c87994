"""Measured kernels in the schemas of public tables, as rows of one family.

``NeuSight``: fp32 kernels of PyTorch on CUDA cores, a matrix product as M x N times N x K. ``AIConfigurator``: kernels
of serving frameworks. Latencies are milliseconds there and seconds here. What cannot be right is left out and counted:
not a positive number, measured on a throttled device, or faster than the physics of the device allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.operators.device import Columns, Device, device_of
from codesign.costmodels.operators.families import (
    FAMILIES,
    Shapes,
)
from codesign.costmodels.operators.formats import Format, format_of
from codesign.costmodels.operators.physics import least
from codesign.costmodels.operators.routing import skew_of
from codesign.costmodels.operators.spellings import OPERATORS, VECTOR_KINDS
from codesign.costmodels.operators.stacks import of_stacks, stack_named
from codesign.errors import DataError, UsageError
from codesign.quantity import Array
from codesign.targets import load_target

if TYPE_CHECKING:
    import polars as pl

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

UNDERCUT = 1.1
"""Rows faster than the least time divided by this are impossible: peaks are exceeded by a few per cent of boost."""


class Rows(msgspec.Struct, frozen=True, eq=False):
    """Measured operators of one family; columns of shape (n,).

    Attributes:
        family: Name in ``FAMILIES``.
        shapes: Its shape columns.
        devices: That ``device`` indexes.
        device: Position in ``devices``.
        formats: That ``form`` indexes.
        form: Position in ``formats``.
        stacks: Software stacks (framework, without its version), that ``stack`` indexes.
        stack: Position in ``stacks``.
        seconds: Measured latency.
        held_out: Rows that their source set apart for testing.
        quarantined: Reason -> rows left out.
        watts: Mean power of the device meanwhile; NaN where none was recorded, None where none is known of.
    """

    family: str
    shapes: Shapes
    devices: tuple[Device, ...]
    device: Indices
    formats: tuple[Format, ...]
    form: Indices
    stacks: tuple[str, ...]
    stack: Indices
    seconds: Array
    held_out: Mask
    quarantined: dict[str, int]
    watts: Array | None = None

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def columns(self) -> Columns:
        """Return the device, format and stack numbers of each row."""
        found = Columns.of(self.devices, self.device, self.formats, self.form)
        return msgspec.structs.replace(found, **of_stacks(self.stacks, self.stack))

    def take(self, chosen: Indices | Mask) -> Rows:
        """Return some of the rows, by mask or positions."""
        return self._cut(chosen)

    def part(self, begin: int, end: int) -> Rows:
        """Return the rows from ``begin`` to before ``end``, without copying them."""
        return self._cut(slice(begin, end))

    def _cut(self, chosen: Any) -> Rows:
        taken = {f: getattr(self, f)[chosen] for f in ("device", "form", "stack", "seconds", "held_out")}
        taken["watts"] = None if self.watts is None else self.watts[chosen]
        return msgspec.structs.replace(self, shapes={k: v[chosen] for k, v in self.shapes.items()}, **taken)


def of_pairs(rows: Rows) -> Iterator[tuple[str, str, Indices]]:
    """Yield device, format and positions of the rows of each pair of them."""
    pair = rows.device * len(rows.formats) + rows.form
    for number in np.unique(pair).tolist():
        device, form = divmod(number, len(rows.formats))
        yield rows.devices[device].id, rows.formats[form].name, np.flatnonzero(pair == number)


def sample(device: Indices, most: int, rng: np.random.Generator) -> Indices:
    """Return positions of at most ``most`` rows of each device."""
    found = []
    for number in np.unique(device).tolist():
        of_device = np.flatnonzero(device == number)
        found.append(of_device if len(of_device) <= most else rng.choice(of_device, most, replace=False))
    return np.sort(np.concatenate(found))


def joined(parts: Sequence[Rows]) -> Rows:
    """Return rows of one family that came apart, as one table."""
    first, *others = parts
    if not others:
        return first
    devices, device = _merged([(rows.devices, rows.device) for rows in parts], lambda one: one.id)
    formats, form = _merged([(rows.formats, rows.form) for rows in parts], lambda one: one.name)
    stacks, stack = _merged([(rows.stacks, rows.stack) for rows in parts], str)
    watts = [np.full(len(rows), np.nan) if rows.watts is None else rows.watts for rows in parts]
    quarantined = sum((Counter(rows.quarantined) for rows in parts), start=Counter[str]())
    return Rows(
        first.family, {name: np.concatenate([rows.shapes[name] for rows in parts]) for name in first.shapes},
        devices, device, formats, form, stacks, stack, np.concatenate([rows.seconds for rows in parts]),
        np.concatenate([rows.held_out for rows in parts]), dict(quarantined),
        None if all(rows.watts is None for rows in parts) else np.concatenate(watts),
    )  # fmt: skip


def _merged(
    parts: Sequence[tuple[Sequence[Any], Indices]], name: Callable[[Any], str]
) -> tuple[tuple[Any, ...], Indices]:
    """Return the distinct things of all parts, and the position of each row's among them."""
    things = {name(one): one for known, _ in parts for one in known}
    order = {key: at for at, key in enumerate(things)}
    return tuple(things.values()), np.concatenate([
        np.array([order[name(one)] for one in known], np.int64)[at] for known, at in parts
    ])  # fmt: skip


def possible(rows: Rows, wrong: Sequence[tuple[str, Mask]] = ()) -> Rows:
    """Return the rows that can be right; the others are counted by reason in ``quarantined``.

    Args:
        rows: Measured.
        wrong: Further reasons, and the masks of rows they hold for.
    """
    quarantined = Counter(rows.quarantined)
    finite = np.ones(len(rows), bool)
    for values in rows.shapes.values():
        finite &= np.isfinite(values)
    keep: Mask = np.ones(len(rows), bool)
    for reason, mask in (
        ("without a positive latency", ~(np.isfinite(rows.seconds) & (rows.seconds > 0.0))),
        ("without its shape", ~finite), ("of a dtype that the device lacks", ~_supported(rows)), *wrong,
    ):  # fmt: skip
        quarantined[reason] += int((keep & mask).sum())
        keep &= ~mask
    rows = rows.take(keep)
    on = rows.columns
    impossible = rows.seconds < least(FAMILIES[rows.family].work(rows.shapes, on), on) / UNDERCUT
    quarantined["faster than the device can be"] += int(impossible.sum())
    return msgspec.structs.replace(
        rows.take(~impossible), quarantined={reason: count for reason, count in quarantined.items() if count}
    )


def read_tables(folder: Path) -> dict[str, Rows]:
    """Return the rows of the tables in ``folder``, by family; fp32 products and those of tensor cores apart.

    Raises:
        DataError: a table is missing a column, or there is none.
    """
    import polars as pl

    found: dict[str, Rows] = {}
    for path, readers in (
        ("neusight/ops.parquet", _NEUSIGHT), ("aiconfigurator/gemm.parquet", {"gemm": _serving_gemm}),
        ("aiconfigurator/context_attention.parquet", {"prefill": _prefill}),
        ("aiconfigurator/generation_attention.parquet", {"decode": _decode}),
        ("aiconfigurator/moe.parquet", {"moe": _moe}),
    ):  # fmt: skip
        if (folder / path).exists():
            table = pl.read_parquet(folder / path)
            for name, reader in readers.items():
                try:
                    found[name] = reader(table)
                except pl.exceptions.ColumnNotFoundError as error:
                    raise DataError(f"{path}: column {error} is missing", "expected the schema of its source") from None
    for name, rows in read_csv_tables(folder).items():
        found[name] = joined([found[name], rows]) if name in found else rows
    if not found:
        raise DataError(
            f"{folder} holds no table of measured kernels", "expected neusight/, aiconfigurator/ or CSV files"
        )
    return found


def read_csv_tables(folder: Path) -> dict[str, Rows]:
    """Return the rows of CSV files in ``folder`` with ``op, device, latency_ms`` and shape columns, by table.

    ``dtype`` is fp32 where there is no such column. Other files are not looked at.
    """
    import polars as pl

    from codesign.costmodels.operators.asked import Asked

    parts: dict[str, list[Rows]] = {}
    for path in sorted(folder.glob("*.csv")):
        frame = pl.read_csv(path, infer_schema=False)
        if not {"op", "device", "latency_ms"} <= set(frame.columns):
            continue
        frame = frame if "dtype" in frame.columns else frame.with_columns(dtype=pl.lit("fp32"))
        seconds = frame["latency_ms"].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy() * 1e-3
        for group in Asked(frame, path.name).groups():
            rows = possible(msgspec.structs.replace(group.rows, seconds=seconds[group.at]))
            single = np.isin(rows.form, [at for at, form in enumerate(rows.formats) if form.name == "fp32"])
            apart = single & (group.family in ("gemm", "convolution", "vector"))
            for name, mask in ((f"{group.family}-fp32", apart), (group.family, ~apart)):
                if mask.any():
                    parts.setdefault(name, []).append(rows.take(mask))
                    rows = msgspec.structs.replace(rows, quarantined={})  # counted once
    return {name: joined(rows) for name, rows in parts.items()}


def _rows(
    family: str, table: pl.DataFrame, shapes: dict[str, Array], device: str, form: str, stack: Any, held_out: Any = None
) -> Rows:
    """Return ``table`` as rows, without what cannot be right.

    Args:
        family: Name in ``FAMILIES``.
        table: With ``latency_ms``.
        shapes: Columns of the family.
        device: Column of the device's name.
        form: Column of the format's name, or a format's name.
        stack: Expression of the software stack.
        held_out: Mask of rows for testing.
    """
    import polars as pl

    names = table[device].cast(pl.Utf8)
    targets = {name: load_target(name) for name in names.unique().to_list()}
    devices = tuple(device_of(targets[name]) for name in sorted(targets))
    of_device = names.replace_strict(sorted(targets), list(range(len(targets))), return_dtype=pl.Int64).to_numpy()
    given = table[form].cast(pl.Utf8) if form in table.columns else pl.Series([form] * len(table))
    spelt = sorted(given.unique().to_list())
    formats = tuple(format_of(name) for name in spelt)
    of_form = given.replace_strict(spelt, list(range(len(spelt))), return_dtype=pl.Int64).to_numpy()
    stacked = table.with_columns(stack.cast(pl.Utf8).alias("stack"))["stack"]
    stacks = sorted(stacked.unique().to_list())
    of_stack = stacked.replace_strict(stacks, list(range(len(stacks))), return_dtype=pl.Int64).to_numpy()
    rows = Rows(
        family, shapes, devices, of_device, formats, of_form, tuple(stacks), of_stack,
        table["latency_ms"].cast(pl.Float64).to_numpy() * 1e-3,
        np.zeros(len(table), bool) if held_out is None else held_out, {}, _watts(table),
    )  # fmt: skip
    throttled = "throttled" in table.columns
    wrong = [("measured on a throttled device", table["throttled"].to_numpy().astype(bool))] if throttled else []
    return possible(rows, wrong)


def _watts(table: pl.DataFrame) -> Array | None:
    """Return the recorded power of each row, W, NaN where it is none; None where the table has no such column."""
    import polars as pl

    if "power_w" not in table.columns:
        return None
    watts = table["power_w"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(watts > 0.0, watts, np.nan)


def _supported(rows: Rows) -> Mask:
    """Return the mask of rows whose device has the dtype that they compute in."""
    known = np.zeros((len(rows.devices), len(rows.formats)), bool)
    for d, device in enumerate(rows.devices):
        for f, form in enumerate(rows.formats):
            try:
                device.peak(form)
            except UsageError:
                continue
            known[d, f] = True
    return np.asarray(known[rows.device, rows.form], bool)


def _numbers(table: pl.DataFrame, operator: str) -> dict[str, Array]:
    """Return the shape columns of an operator as floats."""
    import polars as pl

    columns = OPERATORS[operator].columns
    return {ours: table[theirs].cast(pl.Float64).to_numpy() for ours, theirs in columns.items()}


def _neusight_products(table: pl.DataFrame) -> Rows:
    import polars as pl

    table = table.filter(pl.col("op").is_in(["bmm", "linear"]))
    return _rows(
        "gemm",
        table,
        _numbers(table, "linear"),
        "device",
        "fp32",
        pl.lit("pytorch"),
        (table["split"] == "test").to_numpy(),
    )


def _neusight_vectors(table: pl.DataFrame) -> Rows:
    import polars as pl

    table = table.filter(pl.col("op").is_in(list(VECTOR_KINDS)))
    kind = table["op"].cast(pl.Utf8).replace_strict(VECTOR_KINDS, return_dtype=pl.Float64).to_numpy()
    shapes = {**_numbers(table, "add"), "kind": kind}
    return _rows("vector", table, shapes, "device", "fp32", pl.lit("pytorch"), (table["split"] == "test").to_numpy())


def _neusight_convolutions(table: pl.DataFrame) -> Rows:
    import polars as pl

    table = table.filter(pl.col("op") == "conv")
    return _rows("convolution", table, _numbers(table, "conv"), "device", "fp32", pl.lit("pytorch"))


_NEUSIGHT = {
    "gemm-fp32": _neusight_products, "vector-fp32": _neusight_vectors, "convolution-fp32": _neusight_convolutions,
}  # fmt: skip


def _framework() -> Any:
    import polars as pl

    return pl.col("framework").cast(pl.Utf8).str.split("/").list.first()


def _kernels() -> Any:
    """Return the expression of the stack where sorts of kernels are told apart."""
    import polars as pl

    pair = pl.struct(pl.col("framework").cast(pl.Utf8), pl.col("kernel_source").cast(pl.Utf8))
    return pair.map_elements(
        lambda row: stack_named(row["framework"] or "", row["kernel_source"] or ""), return_dtype=pl.Utf8
    )


def _serving_gemm(table: pl.DataFrame) -> Rows:
    import polars as pl

    # these rows hold host time: 57 to 165 us at least, where the kernels of another framework take 5
    slow = (pl.col("gemm_dtype").cast(pl.Utf8) == "fp8_block") & (_framework() == "vllm")
    table = table.filter(~slow)
    shapes = {**_numbers(table, "gemm"), "batch": np.ones(len(table))}
    return _rows("gemm", table, shapes, "system", "gemm_dtype", _framework())


def _attention(table: pl.DataFrame, operator: str) -> dict[str, Array]:
    import polars as pl

    shapes = _numbers(table, operator)
    shapes |= {name: np.nan_to_num(shapes[name]) for name in ("window", "cached")}  # empty where there is none
    shapes["kv_heads"] = np.where(shapes["kv_heads"] > 0.0, shapes["kv_heads"], shapes["heads"])
    cache = table["kv_cache_dtype"].cast(pl.Utf8)
    sizes = {name: format_of(name).weight for name in cache.unique().to_list()}
    shapes["kv_bytes"] = cache.replace_strict(sizes, return_dtype=pl.Float64).to_numpy()
    return shapes


def _prefill(table: pl.DataFrame) -> Rows:
    return _rows("prefill", table, _attention(table, "prefill"), "system", "attn_dtype", _kernels())


def _decode(table: pl.DataFrame) -> Rows:
    import polars as pl

    shapes = _attention(table, "decode")
    shapes["cached"] = shapes["cached"] + table["step"].cast(pl.Float64).fill_null(0.0).to_numpy()
    return _rows("decode", table, shapes, "system", "attn_dtype", _framework())


def _moe(table: pl.DataFrame) -> Rows:
    import polars as pl

    shapes = _numbers(table, "moe")
    names = table["distribution"].cast(pl.Utf8).fill_null("")
    skews = {name: skew_of(name) for name in names.unique().to_list()}
    shapes["skew"] = names.replace_strict(skews, return_dtype=pl.Float64).to_numpy()
    return _rows("moe", table, shapes, "system", "moe_dtype", _kernels())
