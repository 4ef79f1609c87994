"""What the page of a profile is given: columns unpacked again by a second decoder, and compared with what went in."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.report.profile.columns import packed_timeline, signed_varints, varints
from codesign.report.profile.page import latency_histogram, printable, profile_payload
from codesign.report.profile.view import Int64, Kind, Lane, ProfileView, Timeline
from codesign.testing.synthetic_profile import synthetic_profile, synthetic_timeline


def decoded(text: str, signed: bool = False) -> list[int]:
    """Return the integers of one column, by the definition of the format."""
    values, value, shift = [], 0, 0
    for byte in b64decode(text):
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            values.append((-(value + 1) // 2 if value % 2 else value // 2) if signed else value)
            value = shift = 0
    assert shift == 0, "the last number has no end"
    return values


Event = tuple[str, str, int, int, int, tuple[str, str, int, int, int] | None]


def events_of(timeline: Timeline) -> list[Event]:
    """Return (row, name, kind, start, duration, the same of its launch) of each event."""

    def plain(i: int) -> tuple[str, str, int, int, int]:
        columns = (timeline.kind[i], timeline.start[i], timeline.duration[i])
        kind, start, duration = (int(c) for c in columns)
        return timeline.rows[timeline.row[i]].label, timeline.names[timeline.name[i]], kind, start, duration

    launches = timeline.launch.tolist()
    return [(*plain(i), plain(launch) if launch >= 0 else None) for i, launch in enumerate(launches)]


def unpacked(packed: dict[str, Any]) -> list[Event]:
    """Return the events of a packed timeline in its order."""
    delta, duration, identity = (decoded(packed[name]) for name in ("delta", "duration", "id"))
    found: list[Any] = []
    for label, _, count in packed["rows"]:
        start = packed["first"]
        for _ in range(count):
            i = len(found)
            start += delta[i]
            kind = packed["kinds"][identity[i]]
            found.append((label, packed["names"][identity[i]], kind, start, duration[i]))
    assert len(found) == len(delta) == len(duration) == len(identity) == packed["count"]
    linked, launch = np.cumsum(decoded(packed["linked"])), np.cumsum(decoded(packed["launch"], signed=True))
    assert len(linked) == packed["links"]
    links: dict[int, int] = dict(zip(linked.tolist(), launch.tolist(), strict=True))
    return [(*event, found[links[i]] if i in links else None) for i, event in enumerate(found)]


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Return a timeline of up to 40 events on a thread and two streams, calls first, kernels linked to some."""
    calls, works = draw(st.integers(1, 20)), draw(st.integers(0, 20))
    total = calls + works
    times = st.lists(st.integers(0, 2**45), min_size=total, max_size=total)
    links = draw(st.lists(st.integers(-1, calls - 1), min_size=works, max_size=works))
    return Timeline(
        names=("call", "work", "spare"),
        rows=(Lane("thread"), Lane("stream 7", True), Lane("empty"), Lane("stream 9", True)),
        row=np.array([0] * calls + draw(st.lists(st.sampled_from([1, 3]), min_size=works, max_size=works)), np.int32),
        name=np.array([0] * calls + [1] * works, np.int32),
        kind=np.array([Kind.LAUNCH] * calls + [Kind.KERNEL] * works, np.uint8),
        start=np.array(draw(times), np.int64),
        duration=np.array(draw(times), np.int64),
        launch=np.array([-1] * calls + links, np.int64),
    )


@given(st.lists(st.integers(0, 2**63 - 1)))
def test_varints_round_trip(values: list[int]) -> None:
    assert decoded(varints(np.array(values, np.int64))) == values


@given(st.lists(st.integers(-(2**62), 2**62 - 1)))
def test_signed_varints_round_trip(values: list[int]) -> None:
    assert decoded(signed_varints(np.array(values, np.int64)), signed=True) == values


@pytest.mark.parametrize(("value", "size"), [(0, 1), (127, 1), (128, 2), (2**14 - 1, 2), (2**14, 3), (2**35, 6)])
def test_small_numbers_take_few_bytes(value: int, size: int) -> None:
    assert len(b64decode(varints(np.array([value])))) == size


@given(timelines())
def test_whole_timeline_comes_back(timeline: Timeline) -> None:
    packed = packed_timeline(timeline)
    assert packed["omitted"] == 0
    assert sorted(unpacked(packed), key=repr) == sorted(events_of(timeline), key=repr)


@given(timelines())
def test_packed_events_rise_within_a_row(timeline: Timeline) -> None:
    events = unpacked(packed_timeline(timeline))
    assert [e[0] for e in events] == sorted((e[0] for e in events), key=["thread", "stream 7", "stream 9"].index)
    for row in {e[0] for e in events}:
        order = [(e[3], -e[4]) for e in events if e[0] == row]
        assert order == sorted(order), "an event must come after those it may be inside of"


@given(timelines(), st.integers(1, 40))
def test_thinned_timeline_keeps_launches_and_counts_what_it_leaves_out(timeline: Timeline, most: int) -> None:
    packed, whole = packed_timeline(timeline, most), events_of(timeline)
    events = unpacked(packed)
    assert packed["count"] <= most
    assert packed["count"] + packed["omitted"] == len(whole)
    left = list(whole)
    for event in events:
        left.remove(event)  # as it went in, with its launch; ValueError otherwise


def test_thinned_timeline_keeps_the_longest_kernels() -> None:
    timeline = synthetic_timeline(5_000)
    lengths = np.sort(timeline.duration[timeline.kind >= Kind.KERNEL])[::-1]
    events = unpacked(packed_timeline(timeline, 600))
    kept = sorted((e[4] for e in events if e[2] >= Kind.KERNEL), reverse=True)
    assert kept[:300] == lengths[:300].tolist()
    assert sum(e[5] is not None for e in events) == len(kept)


def test_a_launch_shared_by_many_kernels_is_kept_once() -> None:
    count = 100  # a graph: one launch, then a hundred kernels, the last of them longest
    timeline = Timeline(
        names=("cudaGraphLaunch", "work"),
        rows=(Lane("thread"), Lane("stream", True)),
        row=np.array([0] + [1] * count, np.int32),
        name=np.array([0] + [1] * count, np.int32),
        kind=np.array([Kind.LAUNCH] + [Kind.KERNEL] * count, np.uint8),
        start=np.arange(count + 1, dtype=np.int64) * 1_000,
        duration=np.arange(count + 1, dtype=np.int64),
        launch=np.array([-1] + [0] * count, np.int64),
    )
    events = unpacked(packed_timeline(timeline, 40))
    works = [e for e in events if e[2] == Kind.KERNEL]
    assert len(events) == 40
    assert len(works) == 39
    assert all(e[5] is not None and e[5][1] == "cudaGraphLaunch" for e in works)


def test_200_000_events_take_at_most_8_bytes_each() -> None:
    packed = packed_timeline(synthetic_timeline(200_000))
    assert len(msgspec.json.encode(packed)) < 200_000 * 8


@settings(max_examples=50)
@given(st.lists(st.integers(-(10**6), 10**12), min_size=1, max_size=200))
def test_histogram_counts_every_latency_once_in_its_bin(values: list[int]) -> None:
    latency: Int64 = np.array(values, np.int64)
    histogram = latency_histogram(latency)
    assert histogram is not None
    assert sum(histogram["counts"]) + histogram["negative"] + histogram["zero"] == len(values) == histogram["total"]
    assert histogram["sum"] == sum(values)
    assert histogram["p05"] <= histogram["p50"] <= histogram["p95"] <= histogram["most"]
    edges = 10 ** ((histogram["first"] + np.arange(len(histogram["counts"]) + 1)) / histogram["per_decade"])
    for i, count in enumerate(histogram["counts"]):
        assert ((latency > 0) & (latency >= edges[i] * 0.999) & (latency < edges[i + 1] * 1.001)).sum() >= count


def test_no_latencies_no_histogram() -> None:
    assert latency_histogram(np.array([], np.int64)) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("aten::add", "aten::add"),
        ("größe µs 核", "größe µs 核"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred\x00", "\\x1b[31mred\\x00"),
        ("\u202eturned", "\\u202eturned"),
        ("half \ud83d", "half \\ud83d"),
        ("no\u00a0break", "no\u00a0break"),
    ],
)
def test_what_has_no_glyph_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_every_text_of_the_payload_is_printable() -> None:
    view = synthetic_profile(500)
    control = "\x07\u2028"
    assert view.timeline is not None
    view = msgspec.structs.replace(
        view,
        title=control,
        warnings=(control,),
        facts=((control, control),),
        timeline=msgspec.structs.replace(view.timeline, names=tuple(n + control for n in view.timeline.names)),
    )
    text = msgspec.json.encode(profile_payload(view)).decode()
    assert "\\\\x07" in text
    assert "\u2028" not in text
    assert "\\u0007" not in text


def test_directories_are_cut_off() -> None:
    for source in ("/data/deep/trace.json.gz", "D:\\data\\trace.json.gz"):
        assert profile_payload(ProfileView(title="", source=source))["source"] == "trace.json.gz"


def test_the_commonest_name_has_the_smallest_number() -> None:
    timeline = synthetic_timeline(5_000)
    pairs, counts = np.unique(np.stack([timeline.name, timeline.kind], axis=1), axis=0, return_counts=True)
    packed = packed_timeline(timeline)
    found = np.bincount(decoded(packed["id"]))
    assert found.tolist() == sorted(counts.tolist(), reverse=True)
    assert len(packed["names"]) == len(packed["kinds"]) == len(pairs)
