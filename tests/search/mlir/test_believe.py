"""What is claimed: only what lies beyond noise, on data that no choice has seen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from codesign.search.mlir.believe import chosen, claim
from codesign.search.mlir.edits import Constant, Delete, Edit
from codesign.search.mlir.reduce import Winner, reduced
from codesign.search.mlir.remeasure import Member


def member(speed: float = 1.0, half: float = 0.02, error: float = 0.1, **changes: Any) -> Member:
    values: dict[str, Any] = {
        "speedup": speed, "low": speed - half, "high": speed + half, "band": 1.02, "runtime": 1e-4, "rounds": 20.0,
        "other_work": 0.0, "search_error": error, "selection_error": error, "report_error": error,
        "report_low": error - 0.02, "report_high": error + 0.02, "flops": 1.0, "bytes": 1.0, "operations": 1.0,
    }  # fmt: skip
    return Member(**{**values, **changes})


ORIGINAL = member()
EDITS: tuple[Edit, ...] = (Delete(1, (0,)), Constant(2, 3.0), Delete(3, (0,)))


def pick(*members: Member, lost: float = 0.02) -> Winner | None:
    return chosen(ORIGINAL, members, range(1, len(members) + 1), [EDITS] * len(members), lost)


@pytest.mark.parametrize(
    "only",
    [
        member(1.03, 0.05),  # the interval includes 1
        member(1.03, 0.015),  # above 1, within the band of noise
        member(1.5, band=1.6),  # the original does as well against itself
        member(2.0, error=0.2),  # fast, and wrong too often
        member(2.0, selection_error=np.nan),
        member(2.0, reason="it does not run any more"),
        member(1.0, error=0.09),  # better by chance
    ],
)
def test_what_noise_or_chance_explains_is_no_gain(only: Member) -> None:
    assert pick(only) is None
    assert claim(None, ORIGINAL, 0.02).startswith("no gain")


def test_the_surest_speed_up_wins_not_the_largest() -> None:
    found = pick(member(1.5, 0.3), member(1.4, 0.05), member(3.0, error=0.5))
    assert found is not None
    assert found.id == 2
    assert "1.4x faster" in claim(found, ORIGINAL, 0.02)


def test_answers_win_where_nothing_is_faster() -> None:
    found = pick(member(0.9, error=0.05), member(0.8, error=0.02), member(1.0))
    assert found is not None
    assert found.id == 2
    said = claim(found, ORIGINAL, 0.02)
    assert "better answers: error 0.02 against 0.1" in said
    assert "0.8x as fast" in said


def untimed(flops: float, error: float = 0.1) -> Member:
    return member(np.nan, np.nan, error, band=np.nan, runtime=np.nan, flops=flops)


def test_the_lightest_wins_where_nothing_is_timed() -> None:
    original, members = untimed(100.0), [untimed(50.0), untimed(25.0, error=0.11), untimed(5.0, error=0.3)]
    found = chosen(original, members, [1, 2, 3], [EDITS] * 3, 0.02, "flops")
    assert found is not None
    assert found.id == 2
    assert claim(found, original, 0.02, "flops").startswith("4x fewer FLOPs (the compiler's), error 0.11 against 0.1")
    assert chosen(original, [untimed(100.0)], [1], [EDITS], 0.02, "flops") is None
    assert "takes fewer FLOPs" in claim(None, original, 0.02, "flops")

    class Bench:
        def edits(self, edits: tuple[Edit, ...], how: str = "full") -> Member:
            return untimed(25.0 if EDITS[2] in edits else 100.0)

    bench: Any = Bench()
    assert reduced(found, original, 0.02, bench, "flops").edits == EDITS[2:]


def test_the_choice_never_looks_at_report_data() -> None:
    found = pick(member(1.5, report_error=0.9), member(1.3, report_error=0.0))
    assert found is not None
    assert found.id == 1


class Measured:
    """A bench where the first edit makes the program faster, and ``light`` ones its account smaller."""

    def __init__(self, light: tuple[Edit, ...] = EDITS[:1]) -> None:
        self.light, self.asked = light, Counter[str]()

    def edits(self, edits: tuple[Edit, ...], how: str = "full") -> Member:
        self.asked[how] += 1
        cost = 100.0 - 10.0 * sum(edit in self.light for edit in edits)
        return msgspec.structs.replace(member(1.5 if EDITS[0] in edits else 1.0), flops=cost)


def reduced_by(light: tuple[Edit, ...]) -> tuple[Winner, Counter[str]]:
    """Return the winner of all edits reduced, and how often the bench measured what."""
    bench: Any = Measured(light)
    winner = Winner(4, EDITS, 3, msgspec.structs.replace(member(1.5), flops=100.0 - 10.0 * len(light)))
    return reduced(winner, ORIGINAL, 0.02, bench), bench.asked


def test_edits_without_effect_are_dropped_by_the_account_of_the_compiler() -> None:
    found, asked = reduced_by(EDITS[:1])
    assert found.edits == EDITS[:1]
    assert found.before == 3
    assert found.member.faster
    assert (asked["full"], asked["brief"]) == (1, 1), "a single edit is only tried against none"
    assert asked["account"] <= 7


def test_the_clock_has_the_last_word() -> None:
    """Edits that the account cannot tell apart, or holds for light without speed, are reduced by timing."""
    for light in ((), EDITS[1:2], EDITS[:2], EDITS):
        found, asked = reduced_by(light)
        assert found.edits == EDITS[:1], light
        assert asked["full"] + asked["brief"] > 2, light


def test_a_part_that_is_not_faster_beyond_noise_is_not_taken() -> None:
    class Noisy:
        def edits(self, edits: tuple[Edit, ...], how: str = "full") -> Member:
            return member(1.5, low=1.2, band=1.3) if edits == EDITS[:1] else member(1.0)

    bench: Any = Noisy()
    winner = Winner(4, EDITS, 3, member(1.5))
    assert reduced(winner, ORIGINAL, 0.02, bench) == winner
