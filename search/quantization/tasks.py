"""The task of a model's name: the built-in ones, else a user's own module and data."""

from __future__ import annotations

from codesign.errors import UsageError, nearest
from codesign.search.quantization.task import Task

BUILT_IN = ("digits-mlp", "digits-cnn", "tiny-transformer")


def task_of(model: str, data: str = "", report_data: str = "") -> Task:
    """Return the task of a model.

    Args:
        model: A built-in task, ``py:package.module:factory`` or ``pt2:FILE``.
        data: What it is judged on; ``digits`` or nothing for the digits.
        report_data: Data for the reported quality only.

    Raises:
        UsageError: no such task, or data that it does not take.
        DataError: a data file is wrong.
    """
    if ":" in model:
        from codesign.search.quantization.user_task import user_task

        return user_task(model, data, report_data)
    if model not in BUILT_IN:
        raise UsageError(f"unknown model {model!r}", f"{nearest(model, BUILT_IN)}; your own: py:package.module:factory")
    if report_data:
        raise UsageError(f"{model} splits its own data", "leave --report-data out")
    if model == "tiny-transformer":
        from codesign.search.quantization.tiny_transformer import transformer_task

        return transformer_task(data)
    if data not in ("", "digits"):
        raise UsageError(f"{model} is judged on scikit-learn's digits", "leave --data out, or name a model by py:")
    from codesign.search.quantization.digits import digits_task

    return digits_task(model)
