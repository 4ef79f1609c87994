"""Which objectives a search was asked for, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from codesign.errors import UsageError, nearest


def chosen_names(asked: Sequence[str], known: Iterable[str], example: str = "") -> tuple[str, ...]:
    """Return the objectives that were asked for, each once.

    Raises:
        UsageError: one is not ``known``, or there is none; ``example`` says what could be asked.
    """
    names = tuple(known)
    if not asked:
        raise UsageError("no objective given", f"for example --objectives {example or ','.join(names[:2])}")
    for name in asked:
        if name not in names:
            near, everything = nearest(name, names), ", ".join(names)
            hint = f"{near} All: {everything}" if near.endswith("?") else f"known: {everything}"
            raise UsageError(f"unknown objective {name!r}", hint)
    return tuple(dict.fromkeys(asked))
