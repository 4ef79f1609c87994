"""Files that are no proxy, and files that were made to do harm: refused, in words."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.costmodels import array_archive
from codesign.errors import DataError
from codesign.search.parameters import Integer
from codesign.search.proxy import Column, Table, fit_proxy, load_proxy, write_proxy
from codesign.search.space import BoxSpace

Parts = dict[str, Any]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    space = BoxSpace([Integer("a", 1, 100), Integer("b", 1, 3)])
    points = space.enumerate(0, 300)
    values = 1.0 + points[:, 0] * points[:, 1] ** 2
    path = tmp_path_factory.mktemp("proxy") / "p.npz"
    write_proxy(path, fit_proxy(Table(space, points, (Column("cost", "s", values),))))
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def written(path: Path, found: Parts) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in found.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(array), allow_pickle=True)
            archive.writestr(f"{name}.npy", content.getvalue())
    return path


def card(found: Parts, **change: Any) -> Any:
    """Return the card with fields of its own, or of its one target, changed."""
    told = json.loads(found["card"].tobytes())
    for name, value in change.items():
        (told["targets"][0] if name in told["targets"][0] else told)[name] = value
    return np.frombuffer(json.dumps(told).encode(), np.uint8)


def at(name: str, change: Callable[[Any], Any]) -> Callable[[Parts], Parts]:
    return lambda found: {**found, name: change(found[name])}


def with_card(**change: Any) -> Callable[[Parts], Parts]:
    return lambda found: {**found, "card": card(found, **change)}


def first(value: Any) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array = array.copy()
        array.flat[0] = value
        return array

    return change


HOSTILE: dict[str, tuple[Callable[[Parts], Parts], str]] = {
    "objects": (at("0/weights", lambda a: np.array([print, None], object)), "is no plain array"),
    "no card": (lambda f: {k: v for k, v in f.items() if k != "card"}, "has no card"),
    "a card of floats": (at("card", lambda a: a.astype(np.float64)), "has no card"),
    "a card of words": (at("card", lambda a: np.frombuffer(b"hello", np.uint8)), "card of bad.npz is wrong"),
    "a newer version": (with_card(codesign_proxy=99), "has version 99, this program reads 1"),
    "an unknown field": (with_card(code="import os"), "unknown field `code`"),
    "no such kind": (with_card(parameters=[{"kind": "eval", "name": "a"}]), "card of bad.npz is wrong"),
    "no range": (with_card(parameters=[{"kind": "integer", "name": "a", "low": 3, "high": 1}]), "are no range"),
    "other parameters": (with_card(parameters=[{"kind": "integer", "name": "a", "low": 1, "high": 3}]), "0/weights"),
    "no trees": (lambda f: {k: v for k, v in f.items() if k != "0/trees/left"}, "array '0/trees/left' is missing"),
    "a child that is not there": (at("0/trees/left", first(10**6)), "0/trees/left"),
    "a child before the first": (at("0/trees/right", first(-1)), "0/trees/right"),
    "a column that is not there": (at("0/trees/feature", first(7)), "0/trees/feature"),
    "a column before the first": (at("0/trees/feature", first(-1)), "0/trees/feature"),
    "a value that is none": (at("0/trees/value", first(np.nan)), "0/trees"),
    "a threshold that is none": (at("0/trees/threshold", first(np.nan)), "0/trees"),
    "a weight without end": (at("0/weights", first(np.inf)), "0/weights"),
    "children of another type": (at("0/trees/left", lambda a: a.astype(np.float64)), "0/trees/left"),
    "a matrix": (at("0/trees/value", lambda a: a[:, None]), "0/trees/value"),
    "a short array": (at("0/trees/value", lambda a: a[:-1]), "0/trees"),
    "too many trees": (at("0/trees/root", lambda a: np.zeros(5000, np.int32)), "0/trees"),
    "endless depth": (with_card(depth=10**9), "0/trees"),
    "no spread": (with_card(spread=0.0), "0/spread"),
    "a negative interval": (with_card(half=-1.0), "0/spread"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused(parts: Parts, tmp_path: Path, name: str) -> None:
    change, says = HOSTILE[name]
    with pytest.raises(DataError, match=r"bad\.npz|is no plain array") as refused:
        load_proxy(written(tmp_path / "bad.npz", change(parts)))
    assert says in str(refused.value)


def test_the_untouched_parts_are_read(parts: Parts, tmp_path: Path) -> None:
    assert load_proxy(written(tmp_path / "good.npz", parts)).card.targets[0].name == "cost"


def test_a_bomb_is_not_unpacked(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_archive, "LARGEST", 1 << 20)
    with pytest.raises(DataError, match="unpacks to more than 1 MiB"):
        load_proxy(written(tmp_path / "bomb.npz", {**parts, "filler": np.zeros(1 << 18)}))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04cos\nsystem\n", b"x" * 4096])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "no.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"no\.npz is no proxy, or is damaged"):
        load_proxy(tmp_path / "no.npz")


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read gone\.npz: no such file"):
        load_proxy(tmp_path / "gone.npz")
    with pytest.raises(DataError, match="cannot read"):
        load_proxy(tmp_path)
