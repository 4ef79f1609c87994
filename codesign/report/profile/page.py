"""The page of a profile as one HTML document: what the scripts are given, and the shell around it."""

from __future__ import annotations

import math
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import msgspec
import numpy as np

from codesign.report.document import Asset, document
from codesign.report.payload import encode
from codesign.report.profile.columns import packed_timeline
from codesign.report.profile.view import Int64, ProfileView, Sweep

BINS_A_DECADE = 12
"""Bins of the histogram of launch latencies per factor of ten."""

SHARED = ("numbers.js", "draw.js")
SCRIPTS = ("columns.js", "lanes.js", "paint.js", "events.js", "navigate.js", "tables.js", "charts.js", "profile.js")
"""The scripts of this page in the order they are joined, after those it shares with the report of a search."""


def profile_page(view: ProfileView) -> str:
    """Return the page as one HTML document that needs no network."""
    own = "codesign.report.profile"
    styles = [Asset("codesign.report", "report.css"), Asset(own, "profile.css")]
    scripts = [Asset("codesign.report", name) for name in SHARED] + [Asset(own, name) for name in SCRIPTS]
    payload = profile_payload(view)
    return document(payload["title"], encode(payload), Asset(own, "body.html"), styles, scripts)


def profile_payload(view: ProfileView) -> dict[str, Any]:
    """Return everything the page shows, as JSON types."""
    plain = {
        name: msgspec.to_builtins(getattr(view, name))
        for name in view.__struct_fields__
        if name not in ("timeline", "launch_latency", "sweep")
    }
    source = PureWindowsPath(PurePosixPath(view.source).name).name
    content = plain | {
        "source": source,
        "timeline": packed_timeline(view.timeline) if view.timeline is not None and len(view.timeline.start) else None,
        "latency": latency_histogram(view.launch_latency) if view.launch_latency is not None else None,
        "sweep": _sweep(view.sweep) if view.sweep is not None and len(view.sweep.batches) else None,
    }
    shown: dict[str, Any] = _shown(content)
    return shown


def printable(text: str) -> str:
    r"""Return ``text`` with what has no glyph of its own written out, like ``\x1b`` or ``\u202e``.

    A control character would vanish from a name, a direction mark would turn round what stands beside it, and half of a
    surrogate pair cannot be encoded.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode() for c in text
    )


def _shown(content: Any) -> Any:
    if isinstance(content, str):
        return printable(content)
    if isinstance(content, dict):
        return {name: _shown(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_shown(value) for value in content]
    return content


def latency_histogram(latency: Int64) -> dict[str, Any] | None:
    """Return launch latencies in bins of equal width on a log axis; None without any.

    Args:
        latency: ns, signed; what is not above zero has no place on the axis and is counted apart.

    Returns:
        ``first`` and ``counts``: bin i reaches from 10^((first + i) / ``per_decade``) ns to the next such power;
        quantiles are interpolated linearly at q (n - 1).
    """
    if not len(latency):
        return None
    above = latency[latency > 0]
    number = np.floor(np.log10(above) * BINS_A_DECADE + 1e-9).astype(np.int64)
    first = int(number.min()) if len(above) else 0
    quantiles = np.quantile(latency, [0.05, 0.5, 0.95])
    return {
        "per_decade": BINS_A_DECADE,
        "first": first,
        "counts": np.bincount(number - first).tolist() if len(above) else [],
        "total": len(latency),
        "negative": int((latency < 0).sum()),
        "zero": int((latency == 0).sum()),
        "sum": int(latency.sum()),
        "most": int(latency.max()),
        "p05": float(quantiles[0]),
        "p50": float(quantiles[1]),
        "p95": float(quantiles[2]),
    }


def _sweep(sweep: Sweep) -> dict[str, Any]:
    def values(column: Any) -> Any:
        if isinstance(column, np.ndarray):
            return [v if math.isfinite(v) else None for v in column.tolist()]
        return msgspec.to_builtins(column)

    return {name: values(getattr(sweep, name)) for name in sweep.__struct_fields__}
