"""Four top-level folders install as ``codesign.*`` and as nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("profilers", "costmodels", "search", "targets")
DATA = {".yaml", ".json", ".html", ".css", ".js", ".npz"}


def python(code: str) -> str:
    """Run ``code`` away from the checkout, so that only what is installed is importable."""
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_top_level_name_is_taken() -> None:
    code = f"import importlib.util as u, json; print(json.dumps([n for n in {FOLDERS!r} if u.find_spec(n)]))"
    assert json.loads(python(code)) == []


def packages() -> list[str]:
    found = ["codesign"]
    for top in ("codesign", *FOLDERS):
        for init in sorted((ROOT / top).rglob("__init__.py")):
            inside = init.parent.relative_to(ROOT).parts
            if inside == ("codesign",) or (inside[0] == "codesign" and inside[1] in FOLDERS):
                continue
            found.append(".".join(inside if inside[0] == "codesign" else ("codesign", *inside)))
    return found


def test_every_package_is_installed() -> None:
    code = f"import importlib.util as u, json; print(json.dumps([n for n in {packages()!r} if u.find_spec(n) is None]))"
    assert json.loads(python(code)) == []


def test_no_package_is_forgotten_by_setup() -> None:
    code = (
        "import json, setuptools\n"
        "setuptools.setup = lambda **given: print(json.dumps(given['packages']))\n"
        "exec(open('setup.py').read())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(json.loads(done.stdout)) == sorted(packages())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel from a copy of the tracked files and return the names in it."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout: cannot tell the product's files from others")
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = ROOT / name, copy / name
        if source.is_symlink() or not source.is_file():
            continue  # the links serve static tools only: the wheel must not need them
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "-w",
        str(out),
        ".",
    ]
    done = subprocess.run(
        command, cwd=copy, capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(out)}
    )
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built).namelist()


def test_the_wheel_holds_only_codesign(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"codesign"}
    assert "codesign/py.typed" in wheel
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_the_wheel_holds_every_module_and_data_file(wheel: list[str]) -> None:
    expected = set()
    for top in ("codesign", *FOLDERS):
        for path in (ROOT / top).rglob("*"):
            inside = path.relative_to(ROOT).parts
            through_link = inside[0] == "codesign" and len(inside) > 1 and inside[1] in FOLDERS
            if through_link or "__pycache__" in inside or not path.is_file() or path.suffix not in {".py", *DATA}:
                continue
            expected.add("/".join(inside if inside[0] == "codesign" else ("codesign", *inside)))
    assert sorted(expected - set(wheel)) == []


def test_constraints_pin_every_direct_dependency() -> None:
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    names = {re.split(r"[<>=!\[ ]", requirement)[0].lower() for requirement in wanted}
    assert names <= pinned
    assert "torch==2.13.0" in lines
    assert not {"torchvision", "timm"} & pinned
    assert not [name for name in pinned if name.startswith(("nvidia-", "cuda"))]
