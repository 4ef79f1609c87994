"""Exported program files: real ones load, crafted ones are refused before anything in them runs."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codesign.errors import DataError
from codesign.models.program_file import load_exported


class Payload:
    """Unpickling it makes the directory ``executed`` where the test runs."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    file = tmp_path_factory.mktemp("program") / "program.pt2"
    batch = {"input": {0: torch.export.Dim("batch", min=2, max=64)}}
    exported = torch.export.export(torch.nn.Linear(8, 4), (torch.randn(3, 8),), dynamic_shapes=batch)
    torch.export.save(exported, file)
    return file


def rewritten(source: Path, file: Path, member: str, change: Callable[[bytes], bytes]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name.endswith(member) else content)
    return file


def replaced(old: str, new: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        assert old in content.decode(), "the crafted file must differ from the real one"
        return content.decode().replace(old, new).encode()

    return change


def pickled(_: bytes) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(((Payload(),), {}), buffer)
    return buffer.getvalue()


def guarded(content: bytes) -> bytes:
    document = json.loads(content)
    document["guards_code"] = ["__import__('os').mkdir('executed')"]
    return json.dumps(document).encode()


def test_a_program_with_a_free_batch_loads(program: Path, tmp_path: Path) -> None:
    same = rewritten(program, tmp_path / "same.pt2", "none", lambda content: content)
    assert {tuple(p.shape) for p in load_exported(same).parameters()} == {(4, 8), (4,)}


@pytest.mark.parametrize(
    ("member", "change", "message"),
    [
        ("data/sample_inputs/model.pt", pickled, "more than tensors"),
        ("model_weights_config.json", replaced('"use_pickle": false', '"use_pickle": true'), "pickled tensors"),
        ("model_weights_config.json", replaced('"weight_0"', '"opaque_obj_0"'), "names the object"),
        ("models/model.json", replaced("torch.ops.aten.linear.default", "torch.hub.load"), "it calls 'torch.hub.load'"),
        ("models/model.json", replaced("torch.ops.aten.linear.default", "_operator.call"), "it calls"),
        ("models/model.json", replaced("positive=True", "positive=exec(chr(49))"), "is no size"),
        ("models/model.json", replaced('"name": "input"', '"name": "input=exec(chr(49))"'), "no identifier"),
        ("models/model.json", guarded, "is no size"),
    ],
)
def test_crafted_programs_are_refused_unrun(
    program: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    member: str,
    change: Callable[[bytes], bytes],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = rewritten(program, tmp_path / "crafted.pt2", member, change)
    with pytest.raises(DataError, match=message):
        load_exported(file)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("extra", ["program/data/aotinductor/model/x.so", "program/DATA/weights/weight_0", "other/x"])
def test_further_members_are_refused(program: Path, tmp_path: Path, extra: str) -> None:
    file = rewritten(program, tmp_path / "crafted.pt2", "none", lambda content: content)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(extra, b"x")
    with pytest.raises(DataError, match="refused"):
        load_exported(file)
