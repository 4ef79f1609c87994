"""Decimal microseconds to integer nanoseconds, exactly, however they are written."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.profilers.readers import kineto
from codesign.profilers.readers.columns import LONGEST
from codesign.profilers.readers.reasons import FAR, NEGATIVE, NO_DURATION, NO_START
from codesign.profilers.readers.stamps import (
    LARGEST,
    NeedsText,
    NotPlain,
    from_numbers,
    from_texts,
    nanoseconds_of,
)
from tests.profilers.kineto_files import DECIMALS, EPOCH, event, named, only


def rounded(number: str) -> int:
    with localcontext() as context:
        context.prec = 60
        return int((Decimal(number) * 1000).to_integral_value(ROUND_HALF_EVEN))


class TestStamps:
    @settings(max_examples=400)
    @given(st.lists(DECIMALS, max_size=8))
    def test_text_is_exact(self, numbers: list[str]) -> None:
        try:
            assert from_texts([n.encode() for n in numbers]).tolist() == [rounded(n) for n in numbers]
        except NotPlain:  # more digits than 64 bits hold
            assert any(abs(int(n.replace(".", ""))) * 10 ** max(0, 3 - len(n.partition(".")[2])) >= LARGEST - 1000
                       for n in numbers)  # fmt: skip
        assert [nanoseconds_of(Decimal(n)) for n in numbers] == [rounded(n) for n in numbers]

    @settings(max_examples=400)
    @given(st.lists(DECIMALS, min_size=1, max_size=8))
    def test_numbers_are_exact_or_refused(self, numbers: list[str]) -> None:
        try:
            found = from_numbers([json.loads(n) for n in numbers])
        except NeedsText:
            assert any("." in n and (len(n.partition(".")[2]) > 3 or abs(float(n)) >= 2**42) for n in numbers)
        else:
            assert found.tolist() == [rounded(n) for n in numbers]

    @given(st.integers(-(2**42) * 1000 + 1, 2**42 * 1000 - 1))
    def test_numbers_in_whole_nanoseconds_need_no_text(self, nanoseconds: int) -> None:
        number = str(Decimal(nanoseconds).scaleb(-3))
        assert from_numbers([float(number)]).tolist() == [nanoseconds]

    @pytest.mark.parametrize(
        ("number", "nanoseconds"),
        [("0.0005", 0), ("0.0015", 2), ("-0.0005", 0), ("-0.0015", -2), ("0.00050000000000001", 1), (EPOCH, None)],
    )
    def test_ties_go_to_the_even_one(self, number: str, nanoseconds: int | None) -> None:
        wanted = rounded(number) if nanoseconds is None else nanoseconds
        assert from_texts([number.encode(), b"1"]).tolist() == [wanted, 1000]
        assert nanoseconds_of(number) == wanted
        with pytest.raises(NeedsText):
            from_numbers([float(number)])

    @pytest.mark.parametrize(
        "number",
        [b"1e3", b"null", b'"5"', b"9" * 40, b"4611686018427387.904", b"-4611686018427387.904", b"1." + b"0" * 19],
    )
    def test_what_is_not_plain_is_left_to_the_slow_way(self, number: bytes) -> None:
        with pytest.raises(NotPlain):
            from_texts([b"1", number])

    @pytest.mark.parametrize(
        "value",
        [None, True, "", "x", "nan", "-Infinity", "1e40", [], {}, LARGEST, "1e999999999", "1e-99999999999999999999"],
    )
    def test_what_is_no_time(self, value: Any) -> None:
        assert nanoseconds_of(value) is None

    def test_spellings_of_a_time(self) -> None:
        texts = ("5", "5.0", "0.5e1", " 5 ", "50E-1")
        assert {nanoseconds_of(value) for value in (5, Decimal("5.000"), *texts)} == {5_000}
        assert nanoseconds_of("1e-999999999") == 0

    def test_stamps_that_need_text_are_not_read_the_slow_way(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(kineto, "read_events")
        stamp = b'{"ph": "X", "cat": "kernel", "name": "k", "ts": %s, "dur": 0.0625}'
        assert only(tmp_path, *[stamp % EPOCH.encode()] * 9, stamp % b"1712195495505583").event_count == 10

    def test_absolute_stamps_keep_their_nanoseconds(self, tmp_path: Path) -> None:
        late = b'{"ph": "X", "cat": "kernel", "name": "k", "ts": %s, "dur": 0.001}'
        trace = only(tmp_path, late % EPOCH.encode(), late % b"1712195495505582.989")
        assert (trace.origin, trace.work.start.tolist()) == (1_712_195_495_505_582_988, [0, 1])

    @pytest.mark.parametrize(
        ("start", "duration", "reason"),
        [
            ("NaN", "1", NO_START), ("Infinity", "1", NO_START), ("1e400", "1", NO_START),
            ("1e4611686018427387904", "1", NO_START), ("null", "1", NO_START),
            ('"soon"', "1", NO_START), ("true", "1", NO_START), ("[]", "1", NO_START), ("9" * 5000, "1", NO_START),
            ("1", "NaN", NO_DURATION), ("1", "-Infinity", NO_DURATION), ("1", "null", NO_DURATION),
            ("1", "9" * 30, NO_DURATION), ("1", "-1", NEGATIVE), ("1", "-0.001", NEGATIVE),
            ("1e15", "1", FAR), ("-1e15", "1", FAR), ("4e15", "1", FAR), ("1", "1.2e12", FAR),
        ],
    )  # fmt: skip
    def test_times_that_are_none_are_skipped_and_counted(
        self, tmp_path: Path, start: str, duration: str, reason: str
    ) -> None:
        good = [event("kernel", "k", n, tid=3) for n in range(3)]
        for category in ("kernel", "cpu_op"):
            bad = f'{{"ph": "X", "cat": "{category}", "name": "bad", "tid": 9, "ts": {start}, "dur": {duration}}}'
            trace = only(tmp_path, *good, bad.encode())
            assert (trace.skipped, trace.event_count) == ({reason: 1}, 4)
            assert (trace.work.start.tolist(), trace.names, trace.threads) == ([0, 1_000, 2_000], ("k",), ())

    def test_far_is_far_from_the_median(self, tmp_path: Path) -> None:
        edge = LONGEST // 1000
        kept = only(tmp_path, event("kernel", "k", 0), event("kernel", "k", 0), event("cpu_op", "a", edge, edge))
        assert (kept.skipped, kept.operators.start.tolist()) == ({}, [edge * 1000])
        trace = only(
            tmp_path, event("cpu_op", "first", -(10**15)), event("kernel", "k", 5), event("kernel", "k", 5),
            event("cpu_op", "a", 6, tid=2), event("cpu_op", "last", 10**15),
        )  # fmt: skip
        assert trace.skipped == {FAR: 2}
        assert (trace.origin, trace.names, trace.threads) == (5_000, ("k", "a"), (("1", "2"),))
        assert (named(trace, trace.operators), trace.operators.thread.tolist()) == (["a"], [0])
