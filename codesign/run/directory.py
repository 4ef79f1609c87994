"""A run directory: made once, never overwritten, loadable at any time.

Files are replaced atomically (written beside, then renamed); the journal is the exception and only grows.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from codesign.errors import DataError, UsageError, nearest
from codesign.run.journal import Journal, Lines, lacks, read_journal
from codesign.run.provenance import host_info, sanitise_argv, versions

if TYPE_CHECKING:
    import polars

SCHEMA_VERSION = 1
FILES = (
    "run.json",
    "journal.jsonl",
    "verification.jsonl",
    "overlay.yaml",
    "trials.parquet",
    "front.csv",
    "front.json",
    "plan.csv",
    "plan.yaml",
    "recipe.yaml",
    "mapping-*.yaml",
    "sensitivity.csv",
    "measured.json",
    "report.html",
    "profile.json",
    "analysis.json",
    "batch-*.trace",
    "footprint.json",
    "footprint.csv",
    "impact-framework.yaml",
)
"""What a run directory may hold, as patterns; ``--force`` removes these and nothing else."""
_DERIVED = "the derived files are missing: run `codesign report` on the directory, or resume it"


def write_file(path: Path, content: bytes | str) -> None:
    """Replace ``path`` atomically.

    Raises:
        EnvironmentLacks: the disk is full or the place is read-only.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    data = content.encode() if isinstance(content, str) else content
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise lacks(error, path) from None


def slug(text: str) -> str:
    """Return ``text`` as a short file name."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:60] or "run"


@dataclass
class Run:
    """A run directory. ``meta`` is ``run.json``; ``front`` is ``front.json``; ``trials()`` the kept rows."""

    path: Path
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def journal_path(self) -> Path:
        """The journal file."""
        return self.path / "journal.jsonl"

    @property
    def name(self) -> str:
        """The name of the directory."""
        return self.path.name

    @cached_property
    def front(self) -> dict[str, Any]:
        """The content of ``front.json``: ``columns`` of the front, hypervolume ``history``, ``details`` by id."""
        return _read_json(self.path / "front.json", _DERIVED)

    def trials(self) -> polars.DataFrame:
        """Return the kept rows of ``trials.parquet``."""
        import polars

        path = self.path / "trials.parquet"
        if not path.exists():
            raise DataError(f"{path} is missing", _DERIVED)
        try:
            return polars.read_parquet(path)
        except (polars.exceptions.PolarsError, OSError) as error:
            raise DataError(f"cannot read {path}: {error}", "derive it again with `codesign report`") from None

    def point(self, number: int) -> dict[str, Any]:
        """Return trial ``number`` as column -> value; looks at the front first, then at all kept rows."""
        columns = self.front["columns"]
        if number in columns["id"]:
            row = columns["id"].index(number)
            return {name: values[row] for name, values in columns.items()}
        rows = self.trials()
        found = rows.filter(rows["id"] == number).to_dicts()
        if not found:
            known = [str(i) for i in columns["id"]]
            raise UsageError(f"{self.path}#{number}: no such point", nearest(str(number), known) or "none are kept")
        row_dict: dict[str, Any] = found[0]
        return row_dict

    def journal(self) -> Lines:
        """Return the journal's records."""
        return read_journal(self.journal_path)

    def writer(self, *, sync_each: bool) -> Journal:
        """Open the journal for appending: one process at a time."""
        return Journal(self.journal_path, sync_each=sync_each)

    def save(self) -> None:
        """Write ``run.json``."""
        write_file(self.path / "run.json", msgspec.json.format(msgspec.json.encode(self.meta), indent=1))

    def update(self, **fields: Any) -> None:
        """Change fields of ``run.json`` and save it."""
        self.meta.update(fields)
        self.save()


def create_run(
    directory: Path | str | None,
    name: str,
    *,
    command: str,
    argv: Sequence[str] = (),
    force: bool = False,
    packages: Sequence[str] = ("numpy", "msgspec"),
    fields: Mapping[str, Any] | None = None,
) -> Run:
    """Make a run directory and write its ``run.json`` with status ``running``.

    Args:
        directory: where; None makes ``runs/<YYYYmmdd-HHMMSS>-<name>``.
        name: what runs, used for the directory's name.
        command: the command as typed after ``codesign``.
        argv: the command line; absolute paths are shortened.
        force: replace the files of an earlier run there.
        packages: packages whose versions decide the result.
        fields: further fields of ``run.json``.

    Raises:
        UsageError: the directory exists already, or holds other files than a run's.
        EnvironmentLacks: it cannot be made.
    """
    path = _make(Path(directory), command, force) if directory is not None else _make_named(name)
    meta: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "argv": sanitise_argv(argv),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "wall_s": 0.0,
        "status": "running",
        "versions": versions(packages),
        "host": host_info(),
        **(fields or {}),
    }
    run = Run(path, meta)
    run.save()
    return run


def _make_named(name: str) -> Path:
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug(name)}"
    for attempt in range(1000):
        path = Path("runs") / (stem if not attempt else f"{stem}-{attempt + 1}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            if not path.parent.is_dir():
                raise UsageError(f"{path.parent} is not a directory", "name one with --out") from None
        except OSError as error:
            raise lacks(error, path) from None
    raise UsageError(f"a thousand runs are named {stem}", "name a directory with --out")


def _make(path: Path, command: str, force: bool) -> Path:
    try:
        path.mkdir(parents=True)
        return path
    except FileExistsError:
        pass
    except OSError as error:
        raise lacks(error, path) from None
    refuse_taken(path, command, force)
    with Journal(path / "journal.jsonl", sync_each=False):  # refuses while another process writes there
        try:
            for name in FILES:
                for file in path.glob(name):
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise lacks(error, path) from None
    return path


def refuse_taken(path: Path, command: str, force: bool) -> None:
    """Refuse a place that exists and that ``command`` may not write to: before its work, not after.

    Raises:
        UsageError: it is no directory, holds something else than a run, or a run that ``force`` does not replace.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise UsageError(f"{path} exists and is not a directory", "name another with --out")
    has_journal = (path / "journal.jsonl").exists()
    is_run = has_journal or (path / "run.json").exists()
    if not is_run and _holds_files(path):
        raise UsageError(f"{path} exists and holds no run", "name another directory: --force replaces runs only")
    if not force:
        resumed = f"--resume {path} continues that run, " if has_journal and command.startswith("search") else ""
        forced = "--force replaces it" if is_run else "--force writes into it"
        raise UsageError(f"{path} exists already", f"{resumed}{forced}, or name another directory")


def _holds_files(path: Path) -> bool:
    try:
        return any(path.iterdir())
    except OSError as error:
        raise lacks(error, path) from None


def load_run(path: Path | str) -> Run:
    """Load a run directory (or the ``run.json`` in it).

    Raises:
        DataError: not a run directory, unreadable, or written by a newer schema.
    """
    place = Path(path)
    place = place.parent if place.name == "run.json" and place.is_file() else place
    if place.is_file():
        hint = f"it is a file; a trace is profiled first: codesign profile {path} --out DIRECTORY"
        raise DataError(f"{path} is not a run directory", hint)
    if not place.is_dir():
        known = [str(p.parent) for p in sorted(place.parent.glob("*/run.json"))] if place.parent.is_dir() else []
        raise DataError(f"{path} is not a run directory", nearest(str(place), known) if known else "no such directory")
    meta = _read_json(place / "run.json", "`codesign search` or `codesign profile` makes a run directory")
    version = meta.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{place / 'run.json'}: schema_version is {version!r}, expected {SCHEMA_VERSION}",
            "a newer codesign wrote it: update",
        )
    return Run(place, meta)


def _read_json(path: Path, hint: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        raise DataError(f"{path} is missing", hint) from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", hint) from None
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: {error}", "expected a JSON object; restore the file or run again") from None
