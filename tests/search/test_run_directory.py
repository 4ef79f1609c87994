"""Run directories: never overwritten, one writer, torn lines dropped, full and read-only disks reported."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codesign.errors import DataError, EnvironmentLacks, UsageError
from codesign.run import Journal, create_run, load_run, read_journal, sanitise_argv
from codesign.run.directory import write_file


def test_a_directory_is_never_overwritten(tmp_path: Path) -> None:
    place = tmp_path / "run"
    run = create_run(place, "x", command="search")
    with run.writer(sync_each=False) as journal:
        journal.append({"kind": "start"})
    with pytest.raises(UsageError, match=r"exists already.*--resume.*--force"):
        create_run(place, "x", command="search")
    (place / "notes.txt").write_text("mine")
    create_run(place, "x", command="search", force=True)
    assert not (place / "journal.jsonl").exists() or not (place / "journal.jsonl").read_bytes()
    assert (place / "notes.txt").read_text() == "mine"


def test_only_a_search_is_told_of_resuming_one(tmp_path: Path) -> None:
    profiled, searched = (create_run(tmp_path / name, "x", command=name) for name in ("profile", "search"))
    with searched.writer(sync_each=False) as journal:
        journal.append({"kind": "start"})
    for run, command, resumable in (
        (profiled, "profile", False), (searched, "profile", False), (profiled, "search", False),
        (searched, "search deployment", True),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=r"exists already.*--force replaces it") as caught:
            create_run(run.path, "x", command=command)
        assert ("--resume" in caught.value.hint) == resumable


def test_an_existing_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        create_run(tmp_path, "x", command="search")
    (tmp_path / "file").write_text("x")
    for force in (False, True):
        with pytest.raises(UsageError, match=r"holds no run.*name another directory"):
            create_run(tmp_path, "x", command="search", force=force)
    with pytest.raises(UsageError, match="not a directory"):
        create_run(tmp_path / "file", "x", command="search", force=True)


def test_named_directories_do_not_clash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (create_run(None, "My Model/8b", command="search") for _ in range(2))
    assert first.path != second.path
    assert first.path.parent == Path("runs")
    assert first.name.endswith("-my-model-8b") or first.name.endswith("-my-model-8b-2")


def test_run_json_holds_no_host_name_and_no_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["/usr/local/bin/codesign", "search", "--output", str(tmp_path / "out"), "--data=/srv/secret/d.csv", "a/b"]
    run = create_run("out", "x", command="search", argv=argv)
    assert run.meta["argv"] == ["codesign", "search", "--output", "out", "--data=d.csv", "a/b"]
    text = (run.path / "run.json").read_text()
    assert str(tmp_path) not in text
    assert socket.gethostname() not in json.dumps({k: v for k, v in run.meta["host"].items() if k != "processor"})
    assert set(run.meta["host"]) == {"processor", "cores", "gpu"}
    assert load_run(run.path).meta == run.meta


def test_argv_keeps_addresses_and_constraints() -> None:
    assert sanitise_argv(["codesign", "ttft <= 0.5 s", "http://a.b/c", "x/y"])[1:] == [
        "ttft <= 0.5 s",
        "http://a.b/c",
        "x/y",
    ]


def test_a_torn_last_line_is_dropped_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, sync_each=True) as journal:
        journal.append({"n": 1})
        journal.append({"n": 2})
    whole = path.read_bytes()
    for cut in range(len(whole) - 8, len(whole)):  # a kill at any byte of the last line
        path.write_bytes(whole[:cut])
        lines = read_journal(path)
        assert lines.records == [{"n": 1}]
        assert ("torn" in lines.torn) == (cut > len(whole) - 8)
    with Journal(path, sync_each=True) as journal:
        assert "dropped a torn last line" in journal.dropped
        journal.append({"n": 3})
    assert read_journal(path).records == [{"n": 1}, {"n": 3}]


def test_damage_in_the_middle_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"a":1}\n{"b":\n{"c":3}\n')
    with pytest.raises(DataError, match="line 2"):
        read_journal(path)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", "x", command="search")
    code = (
        "import sys; from codesign.run import load_run\n"
        "with load_run(sys.argv[1]).writer(sync_each=False): print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(UsageError, match="another process"):
            run.writer(sync_each=False)
        with pytest.raises(UsageError, match="another process"):
            create_run(run.path, "x", command="search", force=True)
        other.kill()  # the kernel releases the lock however the owner ends
        other.wait()
        with run.writer(sync_each=False) as journal:
            journal.append({})


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_environment_error(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").symlink_to("/dev/full")
    with pytest.raises(EnvironmentLacks, match=r"cannot write .*journal.jsonl: No space left"):
        Journal(tmp_path / "journal.jsonl", sync_each=False).append({"a": 1})


def test_a_full_disk_while_writing_a_derived_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentLacks, match=r"front.json: No space left"):
        write_file(tmp_path / "front.json", "{}")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_place_is_an_environment_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(EnvironmentLacks, match="Read-only file system"):
        create_run(tmp_path / "deep" / "run", "x", command="search")


def test_load_run_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a run directory"):
        load_run(tmp_path / "none")
    with pytest.raises(DataError, match=r"run.json is missing.*`codesign profile` makes a run directory"):
        load_run(tmp_path)
    (tmp_path / "trace.json").write_text("[]")
    with pytest.raises(DataError, match=r"trace.json is not a run directory.*profiled first: codesign profile"):
        load_run(tmp_path / "trace.json")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DataError, match=r"run.json"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text('{"schema_version": 99}')
    with pytest.raises(DataError, match="schema_version is 99"):
        load_run(tmp_path)


def test_a_line_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.write
    calls = []

    def half(file: Any, data: Any) -> Any:
        calls.append(len(data))
        if len(calls) == 2:
            return original(file, bytes(data)[:5])
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(file, data)

    with Journal(tmp_path / "journal.jsonl", sync_each=False) as journal:
        monkeypatch.setattr("codesign.run.journal.os.write", half)
        journal.append({"n": 1})
        with pytest.raises(EnvironmentLacks, match="No space left"):
            journal.append({"n": 2})
        journal.append({"n": 3})
    assert read_journal(tmp_path / "journal.jsonl").records == [{"n": 1}, {"n": 3}]
