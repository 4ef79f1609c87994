"""Registries: lazy, no silent clash, open to other packages where they say so."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

import pytest

from codesign.errors import UsageError
from codesign.registry import Registry


def never() -> int:
    raise AssertionError("an entry that was not chosen was imported")


def test_only_the_chosen_entry_is_imported() -> None:
    registry = Registry("engine", {"one": lambda: 1, "never": never})
    assert registry.names() == ["never", "one"]
    assert "never" in registry
    assert len(registry) == 2
    assert registry.get("one") == 1


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="engine 'exhaustiv' is unknown") as caught:
        Registry("engine", {"exhaustive": never, "random": never}).get("exhaustiv")
    assert "exhaustive" in caught.value.hint


def test_a_clash_is_an_error() -> None:
    registry: Registry[int] = Registry("target", {"h100": never})
    with pytest.raises(UsageError, match="registered twice"):
        registry.add("h100", lambda: 2)
    registry.add("mine", lambda: 3)
    assert registry.get("mine") == 3


def points(*names: str) -> Callable[..., metadata.EntryPoints]:
    found = [metadata.EntryPoint(name=name, value="math:pi", group="codesign.targets") for name in names]
    return lambda **_: metadata.EntryPoints(found)


def test_other_packages_add_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "entry_points", points("theirs"))
    registry: Registry[float] = Registry("target", {"ours": never}, group="codesign.targets")
    assert registry.names() == ["ours", "theirs"]
    assert registry.get("theirs") == pytest.approx(3.14159, abs=1e-5)
    assert Registry("engine", {"ours": never}).names() == ["ours"]  # a closed registry reads none


@pytest.mark.parametrize("names", [("ours",), ("twice", "twice")])
def test_a_clash_between_packages_is_an_error_each_time(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr(metadata, "entry_points", points(*names))
    registry: Registry[float] = Registry("target", {"ours": never}, group="codesign.targets")
    for _ in range(2):
        with pytest.raises(UsageError, match="name that is taken"):
            registry.names()
