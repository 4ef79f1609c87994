"""Case files: inputs of our models beside the values that they should give, as data.

A file is YAML: ``cases``, each with ``id``, ``kind``, ``inputs`` and, where known, ``expected`` with ``rel_tol`` or
``abs_tol``. A kind is a function of the inputs that lives beside the code it checks; ``kinds`` names where, so that
nothing is imported until a case asks for it. Units are in the names. ``published`` is shown and never decides;
``runnable: false`` is skipped. Files are read strictly, and the data they name lie beside them or below.

A kind has the signature ``(inputs, folder) -> values``; a value is a number, ``Unknown`` or None where it is not
known, a ``Quantity`` or a mapping with value, low, high, source, text, or a list of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from codesign.errors import CodesignError, DataError, EnvironmentLacks, printable
from codesign.quantity import Quantity
from codesign.registry import Registry
from codesign.strict_yaml import decode_yaml, read_text

SCHEMA = 1
DEFAULT_TOLERANCE = 1e-6
"""Relative, of a case that states none."""

MOST_CASES = 10_000
LONGEST_ID = 100
MISSING = "missing"
"""Stands for a value that a kind does not give."""

CARBON = "codesign.costmodels.carbon.cases"
HOMES = {
    "act_logic": f"{CARBON}.embodied:act_logic",
    "act_memory": f"{CARBON}.embodied:act_memory",
    "bom": f"{CARBON}.embodied:bom",
    "yields": f"{CARBON}.embodied:yields",
    "server_share": f"{CARBON}.embodied:server_share",
    "cluster_embodied": f"{CARBON}.embodied:cluster_embodied",
    "wafer_die": f"{CARBON}.silicon:wafer_die",
    "chiplets": f"{CARBON}.silicon:chiplets",
    "operational": f"{CARBON}.operation:operational",
    "sci": f"{CARBON}.operation:sci",
    "server_year": f"{CARBON}.operation:server_year",
    "metrics": f"{CARBON}.operation:metrics",
    "cci": f"{CARBON}.operation:cci",
    "mix_ci": f"{CARBON}.operation:mix_ci",
    "training": f"{CARBON}.operation:training",
    "cpu_log_power": f"{CARBON}.operation:cpu_log_power",
    "cpu_fallback": "codesign.costmodels.power_cases:cpu_fallback",
    "llm_power": "codesign.costmodels.power_cases:llm_power",
    "power_cap": "codesign.costmodels.power_cases:power_cap",
    "grid_mix": "codesign.targets.grids.cases:grid_mix",
    "respond": "codesign.search.demand_response.cases:respond",
    "shift_jobs": "codesign.search.demand_response.cases:shift_jobs",
    "zigzag": "codesign.search.mapping.sequence_cases:zigzag",
}
"""Kind -> module and function."""

Values = Mapping[str, Any]
Kind = Callable[[Mapping[str, Any], Path], Values]


class Unknown(msgspec.Struct, frozen=True):
    """A value that is not known, and why; null in the output."""

    reason: str


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One case as the file writes it; the module says what the fields mean."""

    id: str
    kind: str
    inputs: dict[str, Any]
    source: str = ""
    expected: dict[str, Any] = {}
    rel_tol: float | None = None
    abs_tol: float | None = None
    published: dict[str, Any] = {}
    note: str = ""
    runnable: bool = True


class CaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file."""

    cases: tuple[Case, ...]
    schema: int = SCHEMA


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One value beside what was expected.

    Attributes:
        name: ``total_g``, or ``rows[2].theta`` inside a list.
        expected: As the file states it.
        found: Ours; ``missing`` where the kind gives no such value.
        error: Relative difference; None where there is none between numbers.
        allowed: Largest accepted absolute difference; None where only equality passes.
        passed: Whether it is within the tolerance.
    """

    name: str
    expected: Any
    found: Any
    error: float | None
    allowed: float | None
    passed: bool


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one case.

    Attributes:
        id: Of the case.
        kind: Of the case.
        source: Of the case.
        status: ``ok`` or ``missed`` of compared cases, ``computed`` where nothing is expected, ``skipped``, ``failed``.
        values: Plain data, null where a value is not known; empty where none was computed.
        reasons: Name of a null value -> why.
        comparisons: One for each number, text or null that was expected.
        published: Numbers of the source by the name of a value.
        error: Why a case was skipped or failed.
        hint: What to do about it.
    """

    id: str
    kind: str
    source: str
    status: Literal["ok", "missed", "computed", "skipped", "failed"]
    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    comparisons: tuple[Comparison, ...] = ()
    published: dict[str, float] = {}
    error: str = ""
    hint: str = ""


@lru_cache(maxsize=1)
def kinds() -> Registry[Kind]:
    """Return the registry of kinds; other packages add theirs under the entry-point group ``codesign.cases``."""
    return Registry("kind of case", {name: _thunk(home) for name, home in HOMES.items()}, group="codesign.cases")


def _thunk(home: str) -> Callable[[], Kind]:
    def load() -> Kind:
        module, _, function = home.partition(":")
        try:
            found: Kind = getattr(import_module(module), function)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            raise EnvironmentLacks(f"cases of this kind are not available: {module} is not installed") from None
        return found

    return load


def read_cases(path: str | Path) -> tuple[Case, ...]:
    """Return the cases of a file.

    Raises:
        DataError: it cannot be read, holds an unknown key, no case, or two of one id.
    """
    name = str(path)
    written = decode_yaml(read_text(path), CaseFile, name)
    if written.schema != SCHEMA:
        raise DataError(f"{name}: schema: found {written.schema}, expected {SCHEMA}")
    if not 1 <= len(written.cases) <= MOST_CASES:
        raise DataError(f"{name}: found {len(written.cases):,} cases, expected 1 to {MOST_CASES:,}")
    seen: set[str] = set()
    for case in written.cases:
        if not 0 < len(case.id) <= LONGEST_ID:
            raise DataError(f"{name}: id {printable(case.id, 20)!r} has {len(case.id)} letters", f"1 to {LONGEST_ID}")
        if case.id in seen:
            raise DataError(f"{name}: two cases have the id {printable(case.id)!r}", "rename one")
        seen.add(case.id)
        for field, value in (("rel_tol", case.rel_tol), ("abs_tol", case.abs_tol)):
            if value is not None and not 0.0 <= value < math.inf:
                raise DataError(f"{name}: {case.id}: {field}: found {value}, expected 0 or above")
    return written.cases


def run_cases(path: str | Path) -> list[Outcome]:
    """Return the outcome of every case of a file; a case that fails does not stop the others.

    Raises:
        DataError: the file itself cannot be read.
    """
    return [run_case(case, Path(path).parent) for case in read_cases(path)]


def run_case(case: Case, folder: Path) -> Outcome:
    """Return the outcome of one case, whose files lie in ``folder`` or below."""
    about: dict[str, Any] = {"id": case.id, "kind": case.kind, "source": case.source}
    if not case.runnable:
        return Outcome(**about, status="skipped", error=case.note or "marked as not runnable")
    try:
        _check_finite(case.inputs, "inputs")
        _check_paths(case.inputs)
        function = kinds().get(case.kind)
        with np.errstate(all="ignore"):  # what overflows is refused below, by name
            given = function(case.inputs, folder)
        values = {name: plain(value) for name, value in given.items()}
        _check_finite(values, "values")
    except EnvironmentLacks as error:
        return Outcome(**about, status="skipped", error=error.message, hint=error.hint)
    except CodesignError as error:
        return Outcome(**about, status="failed", error=error.message, hint=error.hint)
    except ArithmeticError as error:
        return Outcome(**about, status="failed", error=f"inputs: {error}", hint="numbers too large or too small")
    comparisons = tuple(compare(case.expected, values, case.rel_tol, case.abs_tol))
    passed = all(comparison.passed for comparison in comparisons)
    return Outcome(
        **about,
        status=("ok" if passed else "missed") if comparisons else "computed",
        values=values,
        reasons={name: value.reason for name, value in given.items() if isinstance(value, Unknown)},
        comparisons=comparisons,
        published={name: float(v) for name, v in case.published.items() if name in values and _is_number(v)},
    )


def file_beside(folder: Path, name: str, field: str) -> Path:
    """Return the file that a case names: relative to ``folder`` and inside it, links followed.

    Raises:
        DataError: the path is absolute, leaves the folder, or names no regular file.
    """
    shown = printable(name, 100)
    if _leaves_the_folder(name):
        raise _outside(name, field)
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DataError(f"inputs: {field}: {shown!r} leads out of the folder of the case file", "copy the file there")
    if not path.is_file():
        raise DataError(f"inputs: {field}: there is no file {shown!r}", "paths are relative to the case file")
    return path


def _leaves_the_folder(name: str) -> bool:
    return "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts


def _outside(name: str, field: str) -> DataError:
    shown = printable(name, 100)
    return DataError(f"inputs: {field}: found {shown!r}, expected a path inside the folder of the case file")


def _check_paths(value: Any, field: str = "") -> None:
    """Refuse any text that would lead out of the folder, whatever the kind does with it."""
    if isinstance(value, str) and _leaves_the_folder(value):
        raise _outside(value, field)
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        _check_paths(entry, f"{field}.{key}" if field else str(key))


def plain(value: Any) -> Any:
    """Return a value of a kind as plain data: numbers, text, None, mappings and lists of them.

    Raises:
        DataError: it is of a type that has no place in a case.
    """
    if isinstance(value, Unknown):
        return None
    if isinstance(value, Quantity):
        return {"value": value.value, "low": value.low, "high": value.high, "source": value.source}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, Sequence):
        return [plain(entry) for entry in value]
    raise DataError(f"a value of type {type(value).__name__} has no place in a case")


def compare(
    expected: Any, found: Any, rel_tol: float | None = None, abs_tol: float | None = None, name: str = ""
) -> Iterator[Comparison]:
    """Yield a comparison for every number, text and null of ``expected``, lists and rows by their entries.

    A number passes within the larger of ``rel_tol`` of it and ``abs_tol``; without either, within 1e-6 of it.
    """
    if isinstance(expected, Mapping):
        inside = found if isinstance(found, Mapping) else {}
        for key, entry in expected.items():
            yield from compare(entry, inside.get(key, MISSING), rel_tol, abs_tol, f"{name}.{key}" if name else str(key))
    elif isinstance(expected, Sequence) and not isinstance(expected, str):
        given = found if isinstance(found, Sequence) and not isinstance(found, str) else ()
        if len(given) != len(expected):
            yield _equality(f"{name} (entries)", len(expected), len(given))
        for place, entry in enumerate(expected):
            ours = given[place] if place < len(given) else MISSING
            yield from compare(entry, ours, rel_tol, abs_tol, f"{name}[{place}]")
    else:
        ours = found["value"] if isinstance(found, Mapping) and "value" in found else found
        if _is_number(expected) and _is_number(ours):
            yield _difference(name, float(expected), float(ours), rel_tol, abs_tol)
        else:
            yield _equality(name, expected, ours)


def leaves(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of every number, text and null; a mapping with a value is one."""
    if isinstance(values, Mapping) and not (name and "value" in values):
        for key, entry in values.items():
            yield from leaves(entry, f"{name}.{key}" if name else str(key))
    elif isinstance(values, Sequence) and not isinstance(values, str):
        for place, entry in enumerate(values):
            yield from leaves(entry, f"{name}[{place}]")
    else:
        yield name, values


def _difference(name: str, expected: float, found: float, rel_tol: float | None, abs_tol: float | None) -> Comparison:
    if rel_tol is None and abs_tol is None:
        rel_tol = DEFAULT_TOLERANCE
    allowed = max((rel_tol or 0.0) * abs(expected), abs_tol or 0.0)
    difference = found - expected
    return Comparison(
        name=name, expected=expected, found=found, allowed=allowed, passed=abs(difference) <= allowed,
        error=difference / abs(expected) if expected else (0.0 if difference == 0.0 else None),
    )  # fmt: skip


def _equality(name: str, expected: Any, found: Any) -> Comparison:
    same = type(expected) is type(found) and expected == found
    return Comparison(name=name, expected=expected, found=found, error=None, allowed=None, passed=same)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_finite(value: Any, name: str) -> None:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            _check_finite(entry, f"{name}: {key}" if name in ("inputs", "values") else f"{name}.{key}")
    elif isinstance(value, list):
        for place, entry in enumerate(value):
            _check_finite(entry, f"{name}[{place}]")
    elif _is_number(value) and not abs(value) <= 1e300:
        hint = "numbers too large or too small" if name.startswith("values") else "expected a finite number"
        shown = f"{value:g}" if isinstance(value, float) else "an integer beyond all floats"
        raise DataError(f"{name}: found {shown}", hint)
