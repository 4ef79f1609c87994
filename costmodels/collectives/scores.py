"""How far predictions are off on measured collectives that the prediction did not see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
import numpy as np

from codesign.costmodels.collectives.curve import fit_curve
from codesign.costmodels.collectives.fit import BYTE, SUMS, Key, Rows, curves_of, figures_of
from codesign.costmodels.collectives.line import NORMAL_90, sustained_share
from codesign.costmodels.collectives.links import Figures, Measured, curve_of, likeness
from codesign.costmodels.collectives.ring import collective_seconds
from codesign.costmodels.collectives.route import Route
from codesign.costmodels.collectives.tables import Series
from codesign.quantity import Array
from codesign.targets import load_target

SIZES = "payloads left out"
ALPHA_BETA = "payloads left out: two numbers a curve (alpha-beta)"
BETWEEN = "number of devices between left out"
BEYOND = "largest number of devices left out"
SIBLING = "device left out, link seen"
LINK = "link left out"
BLIND = "link left out, its latency unknown"
RING = "ring in closed form, one sustained share of the rate"
BYTES = "sums of bytes by curves of half"
HARNESS = "another machine and harness"
NETWORK = "network of one port a node, rate and latency fitted on two devices"
FILE_NETWORK = "network by the target file's figures"


class Score(msgspec.Struct, frozen=True):
    """Errors of one protocol on one device.

    Attributes:
        protocol: What was left out.
        target: Device that was predicted.
        rows: Measurements compared.
        mean: Mean of |predicted - measured| / measured.
        median: Its median.
        ninetieth: Its 90 % quantile.
        half: 90 % quantile of |ln(predicted / measured)|.
    """

    protocol: str
    target: str
    rows: int
    mean: float
    median: float
    ninetieth: float
    half: float


Errors = dict[str, list[Array]]
"""Target -> ln(predicted / measured)."""


def all_scores(rows: Mapping[Key, Rows], series: Iterable[Series]) -> tuple[Score, ...]:
    """Return the scores of every protocol."""
    known, given = curves_of(rows), tuple(series)
    inside = [one for one in given if one.nodes == 1 and one.target in known]
    targets = sorted(known)
    found: list[Score] = []
    for protocol, errors in (
        (SIZES, _collect((key[0], _left_out_sizes(one, _by_curve)) for key, one in rows.items())),
        (ALPHA_BETA, _collect((key[0], _left_out_sizes(one, _by_line)) for key, one in rows.items())),
        (BETWEEN, _left_out_counts(rows, known, middle=True)),
        (BEYOND, _left_out_counts(rows, known, middle=False)),
        (SIBLING, _collect((t, e) for t in targets for e in _left_out_target(t, rows, known, same_link=True))),
        (LINK, _collect((t, e) for t in targets for e in _left_out_target(t, rows, known, same_link=False))),
        (BLIND, _collect((t, e) for t in targets for e in _left_out_target(t, rows, known, False, blind=True))),
        (RING, _collect((key[0], _by_ring(key, one)) for key, one in rows.items())),
        (BYTES, _collect((s.target, _error(s, known)) for s in inside if s.kind in SUMS and s.dtype == BYTE)),
        (HARNESS, _collect((s.target, _error(s, known)) for s in inside if _elsewhere(s, rows))),
        (NETWORK, _over_network(given, known, fitted=True)),
        (FILE_NETWORK, _over_network(given, known, fitted=False)),
    ):
        found += [_score(protocol, target, np.concatenate(parts)) for target, parts in sorted(errors.items())]
    return tuple(found)


def sigma_of(scores: Iterable[Score], protocol: str, bus: bool | None = None) -> float:
    """Return the standard deviation that a protocol's scores imply, each device counting by its rows.

    Args:
        scores: Of all protocols.
        protocol: Which one.
        bus: Only of devices that share a bus, or only of those that do not.
    """
    kept = [s for s in scores if s.protocol == protocol]
    if bus is not None:
        kept = [s for s in kept if figures_of(s.target).bus == bus]
    if not kept:
        return 0.0
    return float(np.average([s.half for s in kept], weights=[s.rows for s in kept])) / NORMAL_90


def _score(protocol: str, target: str, errors: Array) -> Score:
    relative = np.abs(np.expm1(errors))
    half = float(np.quantile(np.abs(errors), 0.9))
    mean, median, ninetieth = (float(x) for x in (np.mean(relative), np.median(relative), np.quantile(relative, 0.9)))
    return Score(protocol, target, len(errors), mean, median, ninetieth, half)


def _collect(parts: Iterable[tuple[str, Array]]) -> Errors:
    found: Errors = {}
    for target, errors in parts:
        if len(errors):
            found.setdefault(target, []).append(errors)
    return found


# --- inside a node ----------------------------------------------------------------------------------------------------

Fit = Callable[[Array, Array], Callable[[Array], Array]]


def _by_curve(sizes: Array, seconds: Array) -> Callable[[Array], Array]:
    return fit_curve(sizes, seconds).seconds


def _by_line(sizes: Array, seconds: Array) -> Callable[[Array], Array]:
    """Return ``alpha + beta * size``, of least absolute relative error (reweighted least squares)."""
    columns = np.stack([np.ones_like(sizes), sizes], axis=1) / seconds[:, None]
    weights = np.ones_like(sizes)
    for _ in range(10):
        alpha, beta = np.linalg.lstsq(columns * weights[:, None], weights, rcond=None)[0]
        weights = 1.0 / np.sqrt(np.maximum(np.abs(columns @ np.array([alpha, beta]) - 1.0), 0.01))
    return lambda at: alpha + beta * at


def _left_out_sizes(rows: Rows, fit: Fit) -> Array:
    """Return the errors on each payload but the smallest and largest, predicted from the others."""
    bins = np.round(2.0 * np.log2(rows.sizes))
    errors = [np.empty(0)]
    for one in np.unique(bins)[1:-1]:
        out = bins == one
        predicted = fit(rows.sizes[~out], rows.seconds[~out])(rows.sizes[out])
        errors.append(np.log(predicted / rows.seconds[out]))
    return np.concatenate(errors)


def _left_out_counts(rows: Mapping[Key, Rows], known: Mapping[str, Measured], middle: bool) -> Errors:
    """Return the errors on a number of devices, predicted from the other numbers."""

    def parts() -> Iterator[tuple[str, Array]]:
        for target, measured in known.items():
            for kind, curves in measured.curves.items():
                counts = sorted(curves)
                if len(counts) < 3:
                    continue
                out = counts[1] if middle else counts[-1]
                left = {count: curve for count, curve in curves.items() if count != out}
                without = msgspec.structs.replace(measured, curves={**measured.curves, kind: left})
                yield target, _predict({target: without}, target, measured.link, kind, out, rows[target, kind, out])

    return _collect(parts())


def _left_out_target(
    target: str, rows: Mapping[Key, Rows], known: Mapping[str, Measured], same_link: bool, blind: bool = False
) -> Iterator[Array]:
    """Yield the errors on a device that was left out.

    Args:
        target: Device.
        rows: Measured.
        known: Curves.
        same_link: Predicted from devices with the same link (nothing if there is none), else from the other links.
        blind: Its latency is not known: that of the others stands for it.
    """
    link = known[target].link
    others = {n: m for n, m in known.items() if n != target and (same_link or _other(m.link, link))}
    if same_link and (link.bus or not any(m.link.name == link.name for m in others.values())):
        return
    if not any(m.link.bus == link.bus for m in others.values()):
        return
    if blind:
        alike = likeness(target, link, others).references
        latency = float(np.exp(sum(one.weight * np.log(one.measured.link.latency) for one in alike)))
        link = Figures(link.name, link.bandwidth, latency)
    for (name, kind, participants), one in rows.items():
        if name == target and kind != "send":
            yield _predict(others, target, link, kind, participants, one)


def _other(link: Figures, than: Figures) -> bool:
    return link.name != than.name or (link.bus and link.bandwidth != than.bandwidth)


def _predict(
    known: Mapping[str, Measured], target: str, link: Figures, kind: str, participants: int, rows: Rows | Series
) -> Array:
    """Return ln(predicted / measured)."""
    references = likeness(target, link, known).references
    return np.log(curve_of(references, kind, participants).seconds(rows.sizes) / rows.seconds)


def _error(series: Series, known: Mapping[str, Measured]) -> Array:
    return _predict(known, series.target, known[series.target].link, series.kind, series.participants, series)


def _elsewhere(series: Series, rows: Mapping[Key, Rows]) -> bool:
    """Whether a series is none that the curves were fitted on, though there is such a curve."""
    one = rows.get((series.target, series.kind, series.participants))
    return one is not None and series.dtype != BYTE and not np.isin(series.seconds, one.seconds).all()


def _by_ring(key: Key, rows: Rows) -> Array:
    target, kind, participants = key
    link = load_target(target).link("node")
    assert link is not None
    bandwidth = float(link.bandwidth.value) * sustained_share(link)
    seconds: Array = collective_seconds(kind, rows.sizes, participants, bandwidth, float(link.latency.value))
    return np.log(seconds / rows.seconds)


# --- over a network ---------------------------------------------------------------------------------------------------


def _over_network(series: Iterable[Series], known: Mapping[str, Measured], fitted: bool) -> Errors:
    """Return the errors over networks; the rate and latency of one are the target file's, or fitted on two devices."""
    across = [one for one in series if one.nodes > 1 and one.target in known]
    networks = {target: figures_of(target, "network") for target in {one.target for one in across}}
    if fitted:
        pairs = [one for one in across if one.kind == "all_reduce" and one.participants == 2]
        networks = {one.target: _fit_network(one, known) for one in pairs}
        across = [one for one in across if one.participants > 2]
    return _collect(
        (one.target, _network_error(one, networks[one.target], known, shared=fitted))
        for one in across
        if one.target in networks
    )


def _network_error(series: Series, network: Figures, known: Mapping[str, Measured], shared: bool) -> Array:
    """Return ln(predicted / measured) over ``network``; ``shared``: the devices of a node share one port."""
    node = likeness(series.target, known[series.target].link, known).references
    inside = series.participants // series.nodes
    route = Route(node, network, inside, 1 if shared else inside)
    seconds: Array = route.seconds(series.kind, series.sizes, series.participants)
    return np.log(seconds / series.seconds)


def _fit_network(series: Series, known: Mapping[str, Measured]) -> Figures:
    """Return the rate and latency that explain one series best, of a grid."""
    best, found = np.inf, Figures("network", 1e9, 1e-5)
    for bandwidth in np.geomspace(1e8, 1e11, 61).tolist():
        for latency in np.geomspace(1e-6, 1e-3, 31).tolist():
            asked = Figures("network", bandwidth, latency)
            error = float(np.mean(np.abs(_network_error(series, asked, known, shared=True))))
            if error < best:
                best, found = error, asked
    return found
