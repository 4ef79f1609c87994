"""Checks of our own numbers against published and measured references.

A topic is a function that yields checks and lives beside the code that it checks; ``TOPICS`` names where, so that
nothing is imported until a topic runs. ``codesign validate`` shows the checks and exits 4 on a miss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from importlib import import_module

import msgspec

from codesign.errors import DataError
from codesign.registry import Registry


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One number of ours beside its reference.

    Attributes:
        topic: Topic that it belongs to.
        name: What is compared.
        expected: The reference, in ``unit``.
        found: Ours, in ``unit``.
        tolerance: Largest accepted relative difference; 0 asks for equality.
        unit: SI unit of both, empty for a count or a ratio.
        source: Where the reference comes from.
    """

    topic: str
    name: str
    expected: float
    found: float
    tolerance: float
    unit: str = ""
    source: str

    @property
    def error(self) -> float:
        """Relative difference of ``found`` from ``expected``; infinite where ``expected`` is 0 and ``found`` is not."""
        if self.found == self.expected:
            return 0.0
        return (self.found - self.expected) / abs(self.expected) if self.expected else math.inf

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance; never for NaN."""
        return abs(self.error) <= self.tolerance


class Skip(msgspec.Struct, frozen=True, kw_only=True):
    """A check that cannot be made here, shown beside the others.

    Attributes:
        topic: Topic that it belongs to.
        name: What would be compared.
        reason: What is missing.
    """

    topic: str
    name: str
    reason: str


Topic = Callable[[], Iterable[Check | Skip]]


def _topic(home: str, function: str) -> Callable[[], Topic]:
    def load() -> Topic:
        found: Topic = getattr(import_module(home), function)
        return found

    return load


def topics() -> Registry[Topic]:
    """Return the registry of topics; other packages add theirs under the entry-point group ``codesign.validation``."""
    return Registry(
        "validation topic",
        {
            "models": _topic("codesign.models.validation", "checks"),
            "costmodels": _topic("codesign.costmodels.validation", "checks"),
            "carbon": _topic("codesign.costmodels.carbon.validation", "checks"),
            "accelerator-forms": _topic("codesign.costmodels.accelerator.forms_validation", "checks"),
            "accelerators": _topic("codesign.costmodels.accelerator.validation", "checks"),
        },
        group="codesign.validation",
    )


def run_topics(names: Iterable[str] = ()) -> tuple[list[Check], list[Skip]]:
    """Return the checks of the topics ``names``, or of all, and those that could not be made.

    Raises:
        UsageError: a topic is unknown.
        DataError: a topic yields no check, which would pass without having looked at anything.
    """
    registry = topics()
    found: list[Check] = []
    skipped: list[Skip] = []
    for name in list(names) or registry.names():
        made = list(registry.get(name)())
        checks = [one for one in made if isinstance(one, Check)]
        if not checks:
            raise DataError(f"validation topic {name!r} has no checks", "see the file that registers it")
        found += checks
        skipped += [one for one in made if isinstance(one, Skip)]
    return found, skipped


def run_checks(names: Iterable[str] = ()) -> list[Check]:
    """Return the checks of the topics ``names``, or of all.

    Raises:
        UsageError: a topic is unknown.
        DataError: a topic yields no check, which would pass without having looked at anything.
    """
    return run_topics(names)[0]
