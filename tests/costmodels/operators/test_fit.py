"""Fitting operators on tables whose truth is known: parameters, shape term, calibration, files, the command."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from codesign.costmodels.operators import fit, physics
from codesign.costmodels.operators.experts import EXPERTS
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.fit import calibrated, fit_family, predict, rows_of
from codesign.costmodels.operators.model_file import model_of, read_model, write_model
from codesign.costmodels.operators.most_probable import fit_parameters
from codesign.costmodels.operators.protocols import error, leave_one_out, spread_out
from codesign.costmodels.operators.tables import Rows, read_tables
from codesign.costmodels.operators.training import train
from codesign.costmodels.operators.trees import BLOCK, of_ensembles
from codesign.errors import DataError
from codesign.testing.synthetic_kernels import PARAMETERS, SYSTEMS, write_gemm_table

EXPERT = next(expert for expert in EXPERTS if expert.name == "gemm-16")
DEVICES = ("a100-80gb-sxm", "h100-sxm", "b200-sxm", "rtx-pro-6000-server")
SLOWER = np.log([1.5, 0.8, 0.85, 1.0, 1.0, 1.0, 1.0])


@pytest.fixture(scope="module", autouse=True)
def few_trees() -> Iterator[None]:
    """Fit a tenth of the trees on one thread: the truth is simple, and workers share the processors."""
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setattr(fit, "ITERATIONS", 25)
        yield


def table(folder: Path, **options: Any) -> Rows:
    rows = rows_of(EXPERT, read_tables(write_gemm_table(folder, **options)))
    assert rows is not None
    return rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    return table(tmp_path_factory.mktemp("kernels"), bend=0.3)


def of_device(rows: Rows, device: str) -> Rows:
    return rows.take(rows.device == [d.id for d in rows.devices].index(device))


def test_known_parameters_are_found_again(tmp_path: Path) -> None:
    found = fit_parameters(table(tmp_path, noise=0.02, count=1_500), physics.PRIOR, 1.0, 0.02)
    np.testing.assert_allclose(found[:3], PARAMETERS[:3], atol=0.05)  # floor, and the shares that always bind


def test_the_shape_term_learns_what_physics_does_not_know(rows: Rows) -> None:
    model = fit_family(EXPERT, rows.take(rows.device != 0))
    unseen = rows.take(rows.device == 0)
    physical = physics.seconds(model.parameters(unseen), FAMILIES["gemm"].work(unseen.shapes, unseen.columns),
                               unseen.columns)  # fmt: skip
    assert error(predict(model, unseen), unseen.seconds).mean < 0.6 * error(physical, unseen.seconds).mean


def test_equal_seeds_give_equal_models(rows: Rows) -> None:
    first, second = (fit_family(EXPERT, rows, seed=3) for _ in range(2))
    assert predict(first, rows).tolist() == predict(second, rows).tolist()


def test_a_few_measurements_move_a_slower_card_into_place(tmp_path: Path) -> None:
    rows = table(tmp_path, changes={"h100_sxm": SLOWER})
    mine = of_device(rows, "h100-sxm")
    model = fit_family(EXPERT, rows.take(rows.device != mine.device[0]))
    before = error(predict(model, mine), mine.seconds).mean
    chosen = mine.take(spread_out(mine.seconds, 16, np.random.default_rng(0)))
    after = error(predict(calibrated(model, chosen), mine), mine.seconds).mean
    assert before > 0.12
    assert after < 0.5 * before
    assert calibrated(model, chosen).change[0] > 0.15  # the floor rose


def test_one_measurement_that_agrees_changes_nothing(rows: Rows) -> None:
    model = fit_family(EXPERT, rows)
    one = rows.take(np.array([5]))
    exact = Rows(**{f: getattr(one, f) for f in one.__struct_fields__ if f != "seconds"}, seconds=predict(model, one))
    same = calibrated(model, exact)
    assert same.level == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(same.change, 0.0, atol=1e-5)


def test_each_device_left_out_has_an_interval_from_the_others(rows: Rows) -> None:
    found = leave_one_out(EXPERT, rows, DEVICES)
    assert [score.device for score in found] == list(DEVICES)
    assert all(score.model.mean < score.roofline.mean for score in found)
    assert all(0.75 <= (score.coverage or 0.0) <= 1.0 and (score.width or 0.0) > 1.0 for score in found)
    assert all(set(score.after) == {1, 4, 16, 32} for score in found)


def test_predictions_never_undercut_physics(rows: Rows) -> None:
    model = fit_family(EXPERT, rows)
    faster = calibrated(model, Rows(**{
        **{f: getattr(rows, f) for f in rows.__struct_fields__}, "seconds": rows.seconds * 1e-3,
    }).take(np.arange(40)))  # fmt: skip
    least = physics.least(FAMILIES["gemm"].work(rows.shapes, rows.columns), rows.columns)
    assert (predict(faster, rows) >= least / 1.1 * (1 - 1e-12)).all()


@pytest.mark.parametrize("count", [1, 7, BLOCK + 3])
def test_trees_as_arrays_are_those_of_scikit_learn(count: int) -> None:
    rng = np.random.default_rng(0)
    features, values = rng.normal(size=(600, 4)).astype(np.float32), rng.normal(size=600)
    fitted = [
        HistGradientBoostingRegressor(loss=loss, max_iter=20, early_stopping=False).fit(features, values)
        for loss in ("squared_error", "absolute_error")
    ]
    asked = rng.normal(size=(count, 4)).astype(np.float32)
    expected = np.mean([model.predict(asked) for model in fitted], axis=0)
    np.testing.assert_allclose(of_ensembles(fitted).predict(asked), expected, atol=1e-5)


def test_rows_that_cannot_be_right_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_gemm_table(tmp_path, count=50) / "aiconfigurator" / "gemm.parquet"
    given = pl.read_parquet(path)
    latency = given["latency_ms"].to_list()
    latency[:4] = [float("nan"), 0.0, -1.0, 1e-9]
    dtypes = ["fp8", *["bfloat16"] * (len(latency) - 2), "bfloat16"]
    dtypes[10] = "fp8"  # an A100 has none
    given.with_columns(latency_ms=pl.Series(latency), gemm_dtype=pl.Series(dtypes)).write_parquet(path)
    found = read_tables(tmp_path)["gemm"]
    assert found.quarantined == {
        "without a positive latency": 3, "of a dtype that the device lacks": 1, "faster than the device can be": 1,
    }  # fmt: skip
    assert len(found) == len(latency) - 5


def test_tables_without_a_column_or_none_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no table of measured kernels"):
        read_tables(tmp_path)
    path = write_gemm_table(tmp_path, count=5) / "aiconfigurator" / "gemm.parquet"
    pl.read_parquet(path).drop("n").write_parquet(path)
    with pytest.raises(DataError, match=r"gemm\.parquet: column .*n.* is missing"):
        read_tables(tmp_path)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory, rows: Rows) -> Path:
    path = tmp_path_factory.mktemp("model") / "operators.npz"
    write_model(path, model_of({"gemm-16": fit_family(EXPERT, rows)}, 0, {"gemm": {"rows": len(rows)}}))
    return path


def test_a_model_survives_its_file(model_file: Path, tmp_path: Path, rows: Rows) -> None:
    model = read_model(model_file)
    assert predict(model.families["gemm-16"], rows).tolist() == predict(fit_family(EXPERT, rows), rows).tolist()
    write_model(tmp_path / "again.npz", model)
    assert (tmp_path / "again.npz").read_bytes() == model_file.read_bytes()


def rewritten(source: Path, path: Path, **parts: bytes | None) -> Path:
    """Copy a model file with some parts replaced, or left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = parts.get(name.removesuffix(".npy").replace("/", "_").replace("-", "_"), old.read(name))
            if content is not None:
                new.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"card": None}, "has no card"),
        ({"gemm_16_pooled": None}, "is missing or wrong"),
        ({"gemm_16_trees_left": None}, "is missing or wrong"),
        ({"gemm_16_pooled": b"rubbish"}, "no operator model, or is damaged"),
    ],
)
def test_a_damaged_model_is_refused(model_file: Path, tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_model(rewritten(model_file, tmp_path / "bad.npz", **change))


def test_other_files_are_no_models(tmp_path: Path, model_file: Path) -> None:
    for name, content in (("text", b"hello"), ("empty", b""), ("cut", model_file.read_bytes()[:5_000])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="no operator model"):
            read_model(tmp_path / name)
    with pytest.raises(DataError, match="cannot read none"):
        read_model(tmp_path / "none")
    pickled = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "objects.npz", card=pickled)
    with pytest.raises(DataError, match="no operator model"):
        read_model(tmp_path / "objects.npz")


def test_the_command_fits_scores_and_writes(run_codesign: Any, tmp_path: Path) -> None:
    write_gemm_table(tmp_path / "kernels", count=60)
    done = run_codesign("costmodels", "fit", "--data", "kernels", "--out", "operators.npz",
                        env={"COLUMNS": "80", "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert done.rc == 0, done.stderr
    assert "Mean error on a device that was left out" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert all(device in done.stdout for device in DEVICES)
    assert read_model(tmp_path / "operators.npz").card.experts.keys() == {"gemm-16"}
    again = run_codesign("costmodels", "fit", "--data", "kernels", "--out", "operators.npz")
    assert (again.rc, "exists already" in again.stderr) == (2, True)
    printed = run_codesign("costmodels", "fit", "--data", "kernels", "--no-score", "--json",
                           env={"OMP_NUM_THREADS": "1"})  # fmt: skip
    assert json.loads(printed.stdout)["results"]["card"]["sources"]["gemm"] == {"rows": 240}
    for data, says in (("nowhere", "no folder"), (".", "holds no table")):
        wrong = run_codesign("costmodels", "fit", "--data", data)
        assert (wrong.rc, says in wrong.stderr) == (2, True), wrong.stderr


def test_vendors_of_few_devices_are_not_mixed_in(tmp_path: Path) -> None:
    path = write_gemm_table(tmp_path, count=60) / "aiconfigurator" / "gemm.parquet"
    given = pl.read_parquet(path)
    other = given.head(60).with_columns(system=pl.lit("b60"), latency_ms=pl.col("latency_ms") * 20.0)
    pl.concat([given, other]).write_parquet(path)
    card = train(tmp_path, score=False).model.card
    assert card.sources["gemm"] == {"rows": 240, "of a vendor with fewer than 3 devices": 60}
    assert set(card.experts["gemm-16"].devices) == set(DEVICES)
    assert len(SYSTEMS) == len(DEVICES)
