"""Strict YAML: every surprise is one line with file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from codesign.errors import DataError
from codesign.strict_yaml import DEEPEST, LARGEST_BYTES, TAG, decode_yaml, load_yaml, read_yaml


class Wheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    radius: float
    spokes: int = 32


class Car(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    wheels: dict[str, Wheel]
    spare: Wheel | None = None
    extras: tuple[Wheel, ...] = ()
    fuel: Literal["petrol", "electric"] = "electric"


GOOD = """name: beetle
wheels:
  front: {radius: 0.3}
  rear: {radius: 0.3, spokes: 28}
spare: {radius: 0.25}
extras: [{radius: 1.0}]
"""

# nine levels of nine references each: 9^9 scalars if it were expanded
BOMB = 'a: &a ["x"]\n' + "\n".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi"))


def test_plain_data() -> None:
    car = decode_yaml(GOOD, Car, "car.yaml")
    assert car.wheels["rear"].spokes == 28
    assert car.extras[0].radius == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: {c: 2, c: 3}", "f.yaml:2: duplicate key 'c', first on line 2"),
        ("a: 1\nb: 2\na: 3", "f.yaml:3: duplicate key 'a', first on line 1"),
        ("a: &x 1\nb: *x", "f.yaml:1: anchors and aliases are refused"),
        (BOMB, "f.yaml:1: anchors and aliases are refused"),
        ("<<: {a: 1}", "f.yaml:1: found a merge key '<<'"),
        ("a: 1\n---\nb: 2", "f.yaml:2: several documents"),
        ("a: !!python/object/apply:os.system ['true']", "f.yaml:1: tag"),
        ("a: !custom 1", "f.yaml:1: tag"),
        ("a: 2020-01-01", "f.yaml:1: found '2020-01-01'"),
        ("? [1]\n: 2", "f.yaml:1: a key is a list or a mapping"),
        ("1: 2", "f.yaml:1: key '1' is not text"),
        ("a: [1, 2", "not valid YAML"),
        ("a: \x01", "not valid YAML"),
        ("", "f.yaml: the file is empty"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), f"f.yaml:1: nested deeper than {DEEPEST} levels"),
        ("x" * (LARGEST_BYTES + 1), "at most"),
    ],
)
def test_refused(text: str, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        load_yaml(text, "f.yaml")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("spokes: 28", "spoke: 28", "car.yaml:4: wheels.rear: unknown key 'spoke' (did you mean spokes?)"),
        ("radius: 0.25", "radiuss: 0.25", "car.yaml:5: spare: unknown key 'radiuss' (did you mean radius?)"),
        ("spare:", "spar:", "car.yaml:5: unknown key 'spar' (did you mean spare?)"),
        ("spokes: 28", "spokes: many", "car.yaml:4: wheels.rear.spokes: expected int, found 'many'"),
        ("radius: 1.0", "spokes: 3", "car.yaml:6: extras[0]: missing field 'radius'"),
        ("name: beetle\n", "", "missing field 'name'"),
        ("name: beetle", "name: b\nfuel: petrl", "car.yaml:2: fuel: found 'petrl', expected one of petrol, electric"),
    ],
)
def test_struct_errors_name_line_field_and_nearest(old: str, new: str, expected: str) -> None:
    text = GOOD.replace(old, new)
    assert text != GOOD
    with pytest.raises(DataError) as caught:
        decode_yaml(text, Car, "car.yaml")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text("a: 1")
    assert read_yaml(good) == {"a": 1}
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a text file"):
        read_yaml(binary)
    with pytest.raises(DataError, match="No such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(DataError, match="Is a directory"):
        read_yaml(tmp_path)


def test_tags_that_are_asked_for_become_data() -> None:
    text = "nodes:\n- !Component {name: a}\n- !Parallel\n  nodes: [!Component {name: b}]\n"
    read = load_yaml(text, "a.yaml", ("!Component", "!Parallel"))
    assert read == {
        "nodes": [{"name": "a", TAG: "!Component"}, {"nodes": [{"name": "b", TAG: "!Component"}], TAG: "!Parallel"}]
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: !Other {b: 1}", "a.yaml:1: tag '!Other' is refused"),
        ("a: !Component 1", "tag '!Component' is refused"),
        ("a: !Component [1]", "tag '!Component' is refused"),
        ("a: !!python/object:os.system {b: 1}", "is refused"),
        ("a: !Component {b: 1, b: 2}", "duplicate key 'b'"),
        ("a: !Component &x {b: 1}\nc: *x", "anchors and aliases are refused"),
        ('a: !Component {"!": "!Parallel"}', "duplicate key '!'"),
    ],
)
def test_other_tags_stay_refused(text: str, expected: str) -> None:
    with pytest.raises(DataError) as refused:
        load_yaml(text, "a.yaml", ("!Component",))
    assert expected in str(refused.value)
