"""Constraints as text: units are checked, unknown metrics name the nearest, violations are relative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codesign.errors import CodesignError, UsageError
from codesign.search.constraints import Constraint, parse_where, violations

UNITS = {"ttft": "s", "tpot": "s", "memory": "B", "throughput": "1/s", "devices": ""}


@pytest.mark.parametrize(
    ("text", "metric", "op", "limit"),
    [
        ("ttft <= 0.5 s", "ttft", "<=", 0.5),
        ("tpot<=50 ms", "tpot", "<=", 0.05),
        ("memory < 80 GB", "memory", "<", 80e9),
        ("devices >= 2", "devices", ">=", 2.0),
        ("devices = 2", "devices", "==", 2.0),
    ],
)
def test_parse(text: Any, metric: Any, op: Any, limit: Any) -> None:
    found = parse_where(text, UNITS)
    assert (found.metric, found.op) == (metric, op)
    assert found.limit == pytest.approx(limit)
    assert found.text == text


@pytest.mark.parametrize("text", ["ttft", "ttft <= ", "<= 3 s", "ttft <= banana", "ttft <= 5 B", "tttf <= 1 s", ""])
def test_refused(text: Any) -> None:
    with pytest.raises(CodesignError):
        parse_where(text, UNITS)


def test_nearest_metric() -> None:
    with pytest.raises(UsageError, match="did you mean ttft"):
        parse_where("ttfft <= 1 s", UNITS)


def test_violations_are_relative_and_strictness_counts() -> None:
    values = np.array([0.4, 0.5, 1.0, np.nan])
    upper = Constraint("", "x", "<=", 0.5)
    assert upper.violation(values).tolist() == [pytest.approx(-0.2), 0.0, 1.0, np.inf]
    assert (Constraint("", "x", "<", 0.5).violation(values) > 0).tolist() == [False, True, True, True]
    assert (Constraint("", "x", ">=", 0.5).violation(values) > 0).tolist() == [True, False, False, True]
    assert (Constraint("", "x", ">", 0.5).violation(values) > 0).tolist() == [True, True, False, True]
    assert (Constraint("", "x", "==", 0.5).violation(values) > 0).tolist() == [True, False, True, True]
    assert (Constraint("", "x", "<=", 0.0).violation(np.array([-1.0, 0.0, 2.0]))).tolist() == [-1.0, 0.0, 2.0]
    assert violations([upper], {"x": values}, 4).shape == (4, 1)
