"""Errors for people: one root, one exit code per cause, a hint that says what to do.

The command line maps any ``CodesignError`` to one line on stderr and its ``exit_code``;
anything else is a bug of ours (exit 1) and shows a traceback only with ``--debug``.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum


def printable(text: str, most: int | None = None) -> str:
    """Return the first ``most`` characters of ``text``, those that could steer a terminal as ``?``."""
    return "".join(c if c.isprintable() else "?" for c in text[:most])


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    ENVIRONMENT = 3
    LIMIT = 4
    INTERRUPTED = 130


class CodesignError(Exception):
    """Root of every error we raise on purpose: a message, and a hint on what to do about it."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(CodesignError):
    """The request is wrong: an unknown name, an absurd value, an option that does not fit."""

    exit_code = ExitCode.USAGE


class DataError(CodesignError):
    """A file is wrong: says which file, which field, what was found and what was expected."""

    exit_code = ExitCode.USAGE


class EnvironmentLacks(CodesignError):
    """This machine lacks something: an optional package, a counter, a permission, a device."""

    exit_code = ExitCode.ENVIRONMENT


class LimitCrossed(CodesignError):
    """A stated limit is crossed, or nothing is feasible under the stated limits."""

    exit_code = ExitCode.LIMIT


class Interrupted(CodesignError):
    """Stopped by the user after everything finished was saved."""

    exit_code = ExitCode.INTERRUPTED


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return a hint naming the entries of ``known`` nearest to ``name``, or all of a short list."""
    names = sorted(known)
    spelled = {known_name.lower(): known_name for known_name in names}
    close = [spelled[found] for found in get_close_matches(name.lower(), spelled, n=count, cutoff=0.5)]
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return "known: " + ", ".join(names[:24]) + (", ..." if len(names) > 24 else "")
