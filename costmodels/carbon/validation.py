"""Validation topic ``carbon``: the worked examples, through the path that evaluates anybody's case file.

``worked_examples.yaml`` holds closed forms and published examples of ACT, SCI, ECO-CHIP and others with what a correct
implementation gives. Those that need data that is not shipped are skipped, visibly.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

from codesign.cases import Case, Comparison, Outcome, read_cases, run_case
from codesign.errors import DataError
from codesign.validation import Check, Skip

FILE = "worked_examples.yaml"
TOPIC = "carbon"
DATA_SUFFIXES = (".csv", ".csv.gz")


def checks() -> Iterator[Check | Skip]:
    """Yield every check of the topic.

    Raises:
        DataError: an example that should be computed cannot be.
    """
    with as_file(files("codesign.costmodels.carbon").joinpath(FILE)) as path:
        for case in read_cases(path):
            yield from _of_case(case, path.parent)


def _of_case(case: Case, folder: Path) -> Iterator[Check | Skip]:
    if missing := _missing(case, folder):
        yield Skip(topic=TOPIC, name=case.id, reason=f"{missing} is not shipped")
        return
    outcome = run_case(case, folder)
    if outcome.status == "failed":
        raise DataError(f"{FILE}: {case.id}: {outcome.error}", outcome.hint)
    if outcome.status == "skipped":
        yield Skip(topic=TOPIC, name=case.id, reason=outcome.error)
    for comparison in outcome.comparisons:
        yield _check(outcome, comparison)


def _missing(case: Case, folder: Path) -> str:
    """Return the first data file that a case names and that is not here."""
    named = [value for value in case.inputs.values() if isinstance(value, str) and value.endswith(DATA_SUFFIXES)]
    return next((name for name in named if not (folder / name).is_file()), "") if case.runnable else ""


def _check(outcome: Outcome, compared: Comparison) -> Check:
    name = f"{outcome.id} {compared.name}"
    if compared.allowed is None:  # null or text: 1 where they are equal
        return Check(
            topic=TOPIC, name=f"{name} is {'null' if compared.expected is None else compared.expected}", expected=1.0,
            found=float(compared.passed), tolerance=0.0, source=outcome.source,
        )  # fmt: skip
    size = abs(compared.expected)
    return Check(
        topic=TOPIC, name=name, expected=compared.expected, found=compared.found,
        tolerance=compared.allowed / size if size else 0.0, source=outcome.source,
    )  # fmt: skip
