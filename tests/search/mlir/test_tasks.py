"""Data for people: splits that share no row, wrong files named, errors that mean what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.errors import DataError, UsageError
from codesign.search.mlir.tasks.digits import STEPS, batches, digits, network, training_digits
from codesign.search.mlir.tasks.quality import Judge, check_outputs, check_useful, wilson
from codesign.search.mlir.tasks.samples import Samples, Splits, checked, named_samples, read_samples, split
from codesign.search.mlir.tasks.task import Task


def samples(rows: int = 50) -> Samples:
    return checked(np.arange(2.0 * rows).reshape(rows, 2), np.arange(rows) % 3, "test")


def test_splits_share_no_row_and_leave_none_out() -> None:
    parts = split(samples(), seed=3)
    rows = [part.x[:, 0] for part in (parts.search, parts.selection, parts.report)]
    assert sorted(np.concatenate(rows).tolist()) == samples().x[:, 0].tolist()
    assert [len(row) for row in rows] == [20, 15, 15]
    assert rows[0].tolist() != sorted(rows[0].tolist())  # the order of a file gives nothing away


def test_report_data_are_kept_apart() -> None:
    report = checked(np.zeros((12, 2)), np.zeros(12, int), "report")
    parts = split(samples(), seed=0, report=report)
    assert parts.report is report
    assert len(parts.search) + len(parts.selection) == 50
    with pytest.raises(DataError, match=r"a row of x is float64\[3\]"):
        split(samples(), seed=0, report=checked(np.zeros((12, 3)), np.zeros(12, int), "report"))


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.zeros((20, 2)), np.zeros(19, int), "x has shape"),
        (np.zeros((20, 2)), np.full(20, np.nan), "20 values that are NaN"),
        (np.zeros((20, 2)), np.full(20, -1), "class number -1"),
        (np.zeros((20, 2)), np.zeros((20, 3), int), "whole numbers of shape"),
        (np.full((20, 2), "a"), np.zeros(20, int), "x has dtype"),
        (np.zeros((3, 2)), np.zeros(3, int), "3 rows"),
    ],
)
def test_wrong_data_say_what_is_wrong(x: Any, y: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        checked(x, y, "mine.npz")


def test_wrong_files_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_samples(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(DataError, match="cannot be read"):
        read_samples(tmp_path / "text.npz")
    np.savez(tmp_path / "half.npz", x=np.zeros((20, 2)), z=np.zeros(20))
    with pytest.raises(DataError, match="no y; it holds x, z"):
        read_samples(tmp_path / "half.npz")
    objects = np.array([{"a": 1}] * 20, dtype=object)
    np.savez(tmp_path / "objects.npz", x=objects, y=np.zeros(20, int))  # pickled: never loaded
    with pytest.raises(DataError, match="cannot be read"):
        read_samples(tmp_path / "objects.npz")


MINE = """
import numpy as np


def data():
    return np.ones((20, 2)), np.ones(20)


def bad():
    return 3


def broken():
    raise OSError("no disk")
"""


def test_samples_come_from_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    assert len(named_samples("py:mine.py:data")) == 20
    with pytest.raises(DataError, match="returned a int"):
        named_samples("py:mine.py:bad")
    with pytest.raises(UsageError, match="no disk"):
        named_samples("py:mine.py:broken")


def test_errors_of_classes_are_shares_of_wrong_answers() -> None:
    judge, y = Judge.of(samples()), samples().y
    right = np.eye(3)[y]
    assert judge.error(right, y).value == 0.0
    wrong = right.copy()
    wrong[:5] = np.eye(3)[(y[:5] + 1) % 3]
    found = judge.error(wrong, y)
    assert found.value == pytest.approx(5 / 50)
    assert found.low < 0.1 < found.high
    assert judge.trivial(y).value == pytest.approx(1 - 17 / 50)  # the most frequent class
    wrong[0, 0] = np.nan
    assert np.isnan(judge.error(wrong, y).value)


def test_errors_of_values_are_in_standard_deviations() -> None:
    y = np.linspace(-3.0, 5.0, 200)
    judge = Judge.of(Samples(np.zeros((200, 1)), y))
    assert judge.error(y[:, None], y).value == 0.0
    assert judge.trivial(y).value == pytest.approx(1.0)
    off = judge.error(y[:, None] + 0.5 * y.std(), y)
    assert off.value == pytest.approx(0.5)
    assert off.low <= off.value <= off.high


def test_one_value_everywhere_is_no_task() -> None:
    with pytest.raises(DataError, match="every y is the same"):
        Judge.of(Samples(np.zeros((20, 1)), np.ones(20)))


def test_wilson_intervals_cover() -> None:
    random = np.random.Generator(np.random.Philox(key=5))
    for share in (0.02, 0.3):
        found = [wilson(int(wrong), 200) for wrong in random.binomial(200, share, size=2000)]
        assert np.mean([one.low <= share <= one.high for one in found]) > 0.85
    assert wilson(0, 100).low == 0.0
    assert wilson(100, 100).high == 1.0


def test_outputs_that_cannot_be_answers_are_refused() -> None:
    check_outputs(np.zeros((50, 3)), samples(), "it")
    with pytest.raises(DataError, match="2 outputs a row, but y names class 2"):
        check_outputs(np.zeros((50, 2)), samples(), "it")
    with pytest.raises(DataError, match="one number a class"):
        check_outputs(np.zeros((50, 2, 3)), samples(), "it")
    with pytest.raises(DataError, match="no better than without its input"):
        check_useful(Judge.of(samples()), np.zeros((50, 3)), samples(), "it")
    with pytest.raises(DataError, match="expected 50 rows"):
        check_outputs(np.zeros((7, 3)), samples(), "it")
    values = Samples(np.zeros((50, 1)), np.linspace(0, 1, 50))
    with pytest.raises(DataError, match="4 outputs a row"):
        check_outputs(np.zeros((50, 4)), values, "it")


def test_a_task_survives_its_files(tmp_path: Path) -> None:
    rows = batches(50, 7, 8, seed=1)
    parts: Splits = split(samples(), 0)
    task = Task("training", Judge.of(samples()), parts, 16, samples(), rows)
    task.save(tmp_path)
    again = Task.load(tmp_path)
    assert again.fingerprint == task.fingerprint
    assert again.steps == 7
    assert np.array_equal(again.step_data(3)[0], task.step_data(3)[0])
    other = Task("training", Judge.of(samples()), split(samples(), 1), 16, samples(), rows)
    assert other.fingerprint != task.fingerprint


def test_batches_are_epochs() -> None:
    rows = batches(64, 9, 16, seed=0)
    assert rows.shape == (9, 16)
    assert sorted(rows[:4].ravel().tolist()) == list(range(64))
    assert rows[:4].tolist() != rows[4:8].tolist()
    assert np.array_equal(rows, batches(64, 9, 16, seed=0))


def test_the_digits_that_train_are_not_those_that_judge() -> None:
    judged, trained = digits(), training_digits()
    assert judged.x.shape[1:] == (1, 8, 8)
    assert len(judged) + len(trained) == 1797
    assert len(trained) < STEPS * 64
    seen = {row.tobytes() for row in trained.x}
    assert sum(row.tobytes() in seen for row in judged.x) <= 2  # the collection itself repeats hardly any image


def test_networks_of_one_seed_are_the_same() -> None:
    first, second, other = (network("digits-mlp", seed).state_dict() for seed in (0, 0, 1))
    assert all((first[name] == second[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)
    with pytest.raises(UsageError, match="did you mean digits-cnn"):
        network("digits-cmn")
