"""Names of kernels and operators in the width of a column, and still told apart."""

from __future__ import annotations

import re
from collections.abc import Sequence

DOTS = "..."


def short(name: str, width: int) -> str:
    """Return a name cut to its column in the middle: kernels of one template differ at their end.

    Left out first is what most of them share: return type, namespaces of torch, pointers, the list of arguments.
    """
    bare = _bare(name)
    head = (width - len(DOTS)) * 2 // 5
    return bare if len(bare) <= width else f"{bare[:head]}{DOTS}{bare[len(bare) - (width - len(DOTS) - head) :]}"


def told_apart(names: Sequence[str], width: int) -> list[str]:
    """Return distinct names cut to their column; those that would look the same show where they first differ."""
    shown = [short(name, width) for name in names]
    alike: dict[str, list[int]] = {}
    for place, text in enumerate(shown):
        alike.setdefault(text, []).append(place)
    for places in alike.values():
        if len(places) > 1:
            bare = [_bare(names[place]) for place in places]
            common = next((n for n, letters in enumerate(zip(*bare, strict=False)) if len(set(letters)) > 1), 0)
            begin = common - 4
            head = width // 4
            for place, text in zip(places, bare, strict=True):
                rest = width - head - 2 * len(DOTS)
                if begin > head and len(text) > width:
                    shown[place] = f"{text[:head]}{DOTS}{text[begin : begin + rest]}{DOTS}"
    return shown


def _bare(name: str) -> str:
    bare = re.sub(r"^void |\(anonymous namespace\)::|\bat::native::|^aten::", "", name)
    bare = re.sub(r", (?:std|at::detail)::[aA]rray<char\*, \d+u?l?> ?", "", bare)
    return bare[: bare.rindex(">(") + 1] if ">(" in bare else bare
