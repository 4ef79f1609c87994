"""A user's own module and data as a task: ``py:package.module:factory`` and ``.npz`` files of ``x`` and ``y``.

The factory returns the trained module. Whole numbers in ``y`` are classes, or next tokens where ``y`` has as many axes
as a row of logits; other numbers are judged by their squared error.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.errors import CodesignError, DataError, UsageError
from codesign.models.capture import captured_copies, load_factory, load_program
from codesign.models.input_shapes import InputShape
from codesign.search.quantization.apply import cached_layers
from codesign.search.quantization.task import Measure, Split, Task

if TYPE_CHECKING:
    import torch

SHARES = {"calibration": 0.2, "search": 0.4, "selection": 0.2, "report": 0.2}
"""How one file is split; with a report file its share goes to the search."""

LEAST = 10
"""Samples of a split below which a quality says nothing."""

KINDS = ("float32", "float64", "int64", "int32", "uint8")


def user_task(model: str, data: str, report_data: str) -> Task:
    """Return the task of a user's module.

    Raises:
        UsageError: the module cannot be made, or does not take the data.
        DataError: a data file is wrong: which array, found, expected.
    """
    if not data:
        raise UsageError(f"{model} needs data to be judged on", "--data FILE.npz with arrays x and y")
    x, y = read_arrays(data)
    splits = divided(x, y, SHARES if not report_data else _without_report())
    if report_data:
        more_x, more_y = read_arrays(report_data)
        for name, ours, theirs in (("x", x, more_x), ("y", y, more_y)):
            if ours.shape[1:] != theirs.shape[1:] or ours.dtype != theirs.dtype:
                raise DataError(
                    f"{report_data}: {name} has rows {theirs.shape[1:]} of {theirs.dtype}",
                    f"expected rows {ours.shape[1:]} of {ours.dtype}, as in {data}",
                )
        splits["report"] = Split(_tensor(more_x), _tensor(more_y))
    for name, split in splits.items():
        if len(split.y) < LEAST:
            raise DataError(f"{data}: {len(split.y)} samples for the split {name}", f"expected at least {LEAST}")
    shape = InputShape((1, *x.shape[1:]), str(splits["search"].x.dtype).removeprefix("torch."))
    prefix, _, rest = model.partition(":")
    if prefix not in ("py", "pt2"):
        raise UsageError(f"{model!r} is no model that can be quantised here", "digits-mlp, digits-cnn, tiny-transformer"
                         " or py:package.module:factory")  # fmt: skip
    stated = ["x".join(map(str, shape.shape)) + f":{shape.dtype}"]
    captured = load_factory(rest, stated) if prefix == "py" else load_program(rest, stated)
    module = captured.module()
    measure = _measure(module, splits["calibration"], data)
    return Task(
        name=captured.name, module=module, splits=splits, measure=measure, priced=captured_copies(captured, module),
        functional_unit="sample", kv_layers=cached_layers(module) if measure == "perplexity" else (),
        notes=(f"data: {Path(data).name}" + (f", report: {Path(report_data).name}" if report_data else ""),),
    )  # fmt: skip


def read_arrays(path: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return x and y of an ``.npz`` file; nothing in it is unpickled.

    Raises:
        DataError: no such file, no archive, an array is missing, or of a shape or type that is no data.
    """
    place = Path(path)
    if not place.is_file():
        raise DataError(f"{path}: no such file", "numpy.savez writes one: numpy.savez(path, x=x, y=y)")
    try:
        with np.load(place, allow_pickle=False) as archive:
            missing = [name for name in ("x", "y") if name not in archive.files]
            if missing:
                raise DataError(f"{path}: no array {missing[0]!r}; found {', '.join(archive.files) or 'none'}",
                                "expected arrays x and y")  # fmt: skip
            x, y = archive["x"], archive["y"]
    except CodesignError:
        raise
    except (OSError, ValueError, zipfile.BadZipFile, TypeError) as error:
        raise DataError(f"{path}: no .npz file of plain numbers: {error}", "numpy.savez(path, x=x, y=y)") from None
    for name, array in (("x", x), ("y", y)):
        if array.dtype.name not in KINDS:
            raise DataError(f"{path}: {name} is of {array.dtype}", f"expected {', '.join(KINDS)}")
        if not array.ndim:
            raise DataError(f"{path}: {name} is one number", "expected one row a sample")
        if not np.isfinite(array).all():
            raise DataError(f"{path}: {name} holds numbers that are not finite", "remove or replace them")
    if len(x) != len(y):
        raise DataError(f"{path}: x has {len(x)} samples, y {len(y)}", "expected as many")
    return x, y


def divided(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], shares: dict[str, float]) -> dict[str, Split]:
    """Return the samples in disjoint splits, shuffled by a fixed permutation."""
    order = np.random.Generator(np.random.Philox(key=0)).permutation(len(x))
    ends = np.round(np.cumsum(list(shares.values())) * len(x)).astype(int)
    parts = np.split(order, ends[:-1])
    return {name: Split(_tensor(x[part]), _tensor(y[part])) for name, part in zip(shares, parts, strict=True)}


def _without_report() -> dict[str, float]:
    return {"calibration": 0.2, "search": 0.5, "selection": 0.3}


def _tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    import torch

    wanted = np.float32 if array.dtype.kind == "f" else np.int64
    return torch.from_numpy(np.ascontiguousarray(array.astype(wanted)))


def _measure(module: torch.nn.Module, split: Split, data: str) -> Measure:
    """Return how the module is judged; runs it on one sample.

    Raises:
        UsageError: it does not take ``x``, or its answers do not fit ``y``.
    """
    import torch

    x, y = split.x[:2], split.y[:2]
    try:
        with torch.inference_mode():
            answers = module(x)
    except Exception as error:  # a user's module may raise anything
        text = (str(error).strip().splitlines() or [""])[0][:200]
        raise UsageError(
            f"the model does not take x of {data}, rows {tuple(x.shape[1:])} of {x.dtype}: {type(error).__name__}: "
            f"{text}", "check the shape and type of x",
        ) from None  # fmt: skip
    if not isinstance(answers, torch.Tensor) or len(answers) != len(x):
        kind = f"{tuple(answers.shape)}" if isinstance(answers, torch.Tensor) else type(answers).__name__
        raise UsageError(f"the model answers {kind} for {len(x)} samples", "expected one tensor, a row for each sample")
    if not y.is_floating_point() and answers.shape[:-1] == y.shape:
        if int(split.y.min()) < 0 or int(split.y.max()) >= answers.shape[-1]:
            raise DataError(
                f"{data}: y holds {int(split.y.min())} to {int(split.y.max())}",
                f"expected classes 0 to {answers.shape[-1] - 1}, as many as the model answers",
            )
        return "error" if y.ndim == 1 else "perplexity"
    if y.is_floating_point() and answers.numel() == y.numel():
        return "mse"
    raise UsageError(
        f"the model answers {tuple(answers.shape)}, y of {data} has {tuple(y.shape)} of {y.dtype}",
        "expected classes (N,), next tokens (N, T), or numbers shaped as the answers",
    )
