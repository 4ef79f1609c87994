"""Lists of whole numbers as options take them: batch sizes and processors."""

from __future__ import annotations

import re

from codesign.errors import UsageError

MOST_BATCHES = 64


def batch_sizes(text: str) -> tuple[int, ...]:
    """Return the batch sizes of ``1,4,16`` or ``1,2,4,...,64``, sorted, each once."""
    hint = "give whole numbers from 1, for example --batch 1,4,16 or --batch 1,2,4,...,64"
    parts = [part.strip() for part in text.split(",")]
    if not all(part == "..." or re.fullmatch(r"-?\d{1,9}", part) for part in parts):
        raise UsageError(f"--batch is {text!r}", hint)
    sizes: list[int] = []
    for place, part in enumerate(parts):
        if part != "...":
            sizes.append(int(part))
        elif 2 <= place < len(parts) - 1 and parts[place + 1] != "...":
            sizes += _continued(sizes, int(parts[place + 1]), text, hint)
        else:
            raise UsageError(f"--batch is {text!r}", f"two numbers before ... and one after it; {hint}")
    if min(sizes) < 1:
        raise UsageError(f"--batch holds {min(sizes)}", hint)
    return tuple(sorted(set(sizes)))


def _continued(sizes: list[int], last: int, text: str, hint: str) -> list[int]:
    """Return what lies between: doubled (or times any whole number) where the last two are so, else in equal steps."""
    before, latest = sizes[-2], sizes[-1]
    grows = before >= 1 and latest > before and last > latest
    factor = latest // before if grows and latest % before == 0 and latest // before > 1 else 0
    step = latest - before
    if factor and len(sizes) >= 3 and sizes[-3] * factor != before:
        factor = 0
    found: list[int] = []
    at = latest
    while grows and len(found) < MOST_BATCHES and (at := at * factor if factor else at + step) < last:
        found.append(at)
    if not grows or at != last:
        raise UsageError(f"--batch is {text!r}: {last} does not follow {before},{latest},...", hint)
    return found


def processors(text: str | None) -> tuple[int, ...] | None:
    """Return the processors of ``0,1`` or ``0-3``."""
    if text is None:
        return None
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part.strip())
        if match is None or int(match[1]) > int(match[2] or match[1]):
            raise UsageError(f"--pin is {text!r}", "give numbers of processors, for example --pin 0,1 or --pin 0-3")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(found))
