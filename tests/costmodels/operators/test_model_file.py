"""Model files of others: whatever is wrong with one, it is refused in a sentence, and no room is made for bombs."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels import array_archive
from codesign.costmodels.operators.experts import EXPERTS
from codesign.costmodels.operators.family_model import FamilyModel
from codesign.costmodels.operators.fit import predict, predict_quickly
from codesign.costmodels.operators.model_file import VERSION, model_of, read_model, write_model
from codesign.costmodels.operators.network import Network
from codesign.costmodels.operators.trees import Trees
from codesign.errors import DataError
from codesign.targets import load_target
from codesign.testing.cost_models import operators

EXPERT = next(expert for expert in EXPERTS if expert.name == "gemm-16")
INPUTS, RISING, HIDDEN = 18, 9, 4

Parts = dict[str, bytes]


def family(seed: int = 0) -> FamilyModel:
    """Return a small model of made-up numbers: two trees of three nodes, and a network."""
    rng = np.random.default_rng(seed)
    pooled = np.log([3e-6, 0.8, 0.85, 3.0, 0.5, 2.0, 0.3])
    trees = Trees(
        np.array([0, 0, 0, 1, 0, 0], np.int16),
        np.array([1.0, np.inf, np.inf, 2.0, np.inf, np.inf], np.float32),
        np.array([1, 1, 2, 4, 4, 5], np.int32),
        np.array([2, 1, 2, 5, 4, 5], np.int32),
        rng.normal(size=6).astype(np.float32),
        np.array([0, 3], np.int32),
        1,
        0.1,
    )
    low = np.full(INPUTS, -8.0)
    weights = (rng.random(shape) for shape in (RISING, (INPUTS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 1)))
    network = Network(low, -low, *weights, *(rng.normal(size=size) for size in (HIDDEN, HIDDEN, 1)))
    own = {"h100-sxm bf16": np.full(8, 0.1), "a100-80gb-sxm bf16": np.full(8, -0.1)}
    return FamilyModel(EXPERT, pooled, {("bf16", "vllm"): pooled + 0.1}, trees, ("h100-sxm",), ("hopper",), 0.1,
                       own=own, network=network, distilled=0.2)  # fmt: skip


def test_the_share_of_the_shape_term_elsewhere_is_that_of_the_expert(tmp_path: Path) -> None:
    for expert in EXPERTS:
        if len(expert.prior) == 7:
            known = msgspec.structs.replace(family(), expert=expert, trust=0.123)
            write_model(tmp_path / "m.npz", model_of({expert.name: known}, 0, {"gemm": {"rows": 1}}))
            assert read_model(tmp_path / "m.npz").families[expert.name].trust == expert.carried
    assert {expert.carried for expert in EXPERTS if len(expert.prior) == 7} == {0.75, 1.0}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "m.npz"
    write_model(path, model_of({"gemm-16": family()}, 0, {"gemm": {"rows": 1}}))
    return path.read_bytes()


def parts(content: bytes) -> Parts:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}


def packed(values: Any, dtype: Any = None) -> bytes:
    part = io.BytesIO()
    np.lib.format.write_array(part, np.asarray(values, dtype), allow_pickle=True)
    return part.getvalue()


def unpacked(part: bytes) -> Any:
    return np.lib.format.read_array(io.BytesIO(part))


def written(path: Path, found: Parts) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in found.items():
            archive.writestr(f"{name}.npy", part)
    return path


def card(found: Parts, **change: Any) -> bytes:
    given_ = json.loads(unpacked(found["card"]).tobytes())
    expert = {name: value for name, value in change.items() if name in given_["experts"]["gemm-16"]}
    given_["experts"]["gemm-16"] |= expert
    given_ |= {name: value for name, value in change.items() if name not in expert}
    return packed(np.frombuffer(json.dumps(given_).encode(), np.uint8))


def test_it_comes_back_as_it_was(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.npz").write_bytes(content)
    model = read_model(tmp_path / "m.npz")
    rows = operators("gemm", (load_target("h100-sxm"),), 50)
    for one in (predict, predict_quickly):
        np.testing.assert_array_equal(one(model.families["gemm-16"], rows), one(family(), rows))
    write_model(tmp_path / "again.npz", model)
    assert (tmp_path / "again.npz").read_bytes() == content
    quick = read_model(tmp_path / "m.npz", trees=False).families["gemm-16"]
    np.testing.assert_array_equal(predict_quickly(quick, rows), predict_quickly(family(), rows))


Change = Callable[[Parts], Parts]


def replaced(name: str, change: Callable[[Any], Any]) -> Change:
    return lambda found: {**found, name: packed(change(unpacked(found[name])))}


def with_value(index: Any, value: float) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array = array.copy()
        array[index] = value
        return array

    return change


NODES = "gemm-16/trees"
WRONG: dict[str, tuple[Change, str]] = {
    "another version": (lambda f: {**f, "card": card(f, codesign_operators=VERSION + 1)}, f"version {VERSION + 1}"),
    "an older version": (lambda f: {**f, "card": card(f, codesign_operators=0)}, "has version 0"),
    "an unknown field": (lambda f: {**f, "card": card(f, code="import os")}, "card of bad.npz is wrong"),
    "a card that is no JSON": (lambda f: {**f, "card": packed(np.frombuffer(b"{,}", np.uint8))}, "card of"),
    "a card of numbers": (lambda f: {**f, "card": packed([1.0])}, "has no card"),
    "an expert that there is none of": (
        lambda f: {**f, "card": packed(np.frombuffer(
            unpacked(f["card"]).tobytes().replace(b'"gemm-16":', b'"gemm-17":'), np.uint8))}, "gemm-17",
    ),
    "parameters too few": (replaced("gemm-16/pooled", lambda a: a[:-1]), "gemm-16/groups"),
    "groups of another width": (replaced("gemm-16/groups", lambda a: np.append(a, a, axis=1)), "gemm-16/groups"),
    "changes too many": (replaced("gemm-16/own", lambda a: np.append(a, a, axis=0)), "gemm-16/own"),
    "a network too short": (replaced("gemm-16/network", lambda a: a[1:]), "network"),
    "a node beyond the last": (replaced(f"{NODES}/left", with_value(0, 99)), f"{NODES}/left"),
    "a node before the first": (replaced(f"{NODES}/root", with_value(0, -1)), f"{NODES}/root"),
    "trees of another length": (replaced(f"{NODES}/value", lambda a: a[:-1]), NODES),
    "no end of levels": (lambda f: {**f, "card": card(f, depth=10**9)}, NODES),
    "a leaf that is no number": (replaced(f"{NODES}/value", with_value(1, np.nan)), NODES),
    "a parameter that is no number": (replaced("gemm-16/pooled", with_value(0, np.nan)), "not finite"),
    "a weight that is infinite": (replaced("gemm-16/network", with_value(40, np.inf)), "not finite"),
    "an object": (lambda f: {**f, "gemm-16/pooled": packed([{"a": 1}], object)}, "no operator model"),
    "not an array": (lambda f: {**f, "gemm-16/pooled": b"\x93NUMPY"}, "no operator model"),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(WRONG))
def test_what_is_wrong_is_named(what: str, tmp_path: Path, content: bytes) -> None:
    change, says = WRONG[what]
    with pytest.raises(DataError) as caught:
        read_model(written(tmp_path / "bad.npz", change(parts(content))))
    assert says in str(caught.value)
    assert "bad.npz" in caught.value.message
    assert caught.value.hint
    assert str(tmp_path) not in str(caught.value)


@given(share=st.floats(0.0, 0.999))
@settings(max_examples=40)
def test_what_is_cut_is_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    path = tmp_path_factory.mktemp("cut") / "cut.npz"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"cut\.npz is no operator model"):
        read_model(path)


@given(at=st.floats(0.0, 0.999), value=st.integers(0, 255))
@settings(max_examples=60)
def test_a_changed_byte_is_refused_or_changes_nothing(
    content: bytes, tmp_path_factory: pytest.TempPathFactory, at: float, value: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "flip.npz"
    damaged = bytearray(content)
    damaged[int(at * len(content))] = value
    path.write_bytes(damaged)
    try:
        found = read_model(path)
    except DataError:
        return
    np.testing.assert_array_equal(found.families["gemm-16"].pooled, family().pooled)


def test_a_bomb_is_not_unpacked(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_archive, "LARGEST", 1 << 20)
    bomb = written(tmp_path / "bomb.npz", {**parts(content), "gemm-16/filler": packed(np.zeros(1 << 18))})
    assert bomb.stat().st_size < 50_000
    with pytest.raises(DataError, match="unpacks to more than 1 MiB"):
        read_model(bomb)


def test_no_room_is_made_for_what_is_only_claimed(tmp_path: Path, content: bytes) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    with pytest.raises(DataError, match="is no plain array"):
        read_model(written(tmp_path / "claim.npz", {**parts(content), "gemm-16/pooled": header.getvalue()}))
