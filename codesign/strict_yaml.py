"""Strict YAML: plain data only, every surprise an error that names the file, the line and the field.

Refused: duplicate keys, keys that are not text, anchors and aliases (they can explode), merge keys, tags, several
documents, dates, files above a size and nesting above a depth. Decoding into typed structs refuses unknown keys
and names the nearest valid one.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml

from codesign.errors import DataError, nearest

LARGEST_BYTES = 8_000_000
TAG = "!"
"""Key under which a mapping read with ``tags`` holds its own."""

DEEPEST = 40

T = TypeVar("T")

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq"))
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def load_yaml(text: str, name: str, tags: Collection[str] = (), repeated: list[str] | None = None) -> Any:
    """Return the plain data of one YAML document; ``name`` is the file named in errors.

    Args:
        text: The document.
        name: File named in errors.
        tags: Tags that mappings may carry (``!Component``); such a mapping gets the tag under the key ``TAG``.
        repeated: For files of other programs: keys given twice are noted here and the last counts, instead of an error.

    Raises:
        DataError: anything but one document of plain mappings, lists, text, numbers, booleans and nulls.
    """
    return _construct(_root(text, name, frozenset(tags), repeated), text, name)


def decode_yaml(text: str, kind: type[T], name: str) -> T:
    """Return the document decoded into the struct ``kind``, or an error with line and field."""
    root = _root(text, name)
    return convert(_construct(root, text, name), kind, name, root)


def read_yaml(path: str | Path) -> Any:
    """Return the plain data of the YAML file at ``path``."""
    return load_yaml(read_text(path), str(path))


def read_text(path: str | Path) -> str:
    """Return the text of a small file, or an error that names it."""
    file = Path(path)
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise DataError(f"{path}: {file.stat().st_size:,} bytes", f"at most {LARGEST_BYTES:,} are read")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file", "expected UTF-8") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _root(
    text: str, name: str, tags: frozenset[str] = frozenset(), repeated: list[str] | None = None
) -> yaml.Node:  # fmt: skip
    """Return the checked node tree of the only document."""
    if len(text) > LARGEST_BYTES:
        raise DataError(f"{name}: {len(text):,} characters", f"at most {LARGEST_BYTES:,} are read")
    try:
        _check_events(text, name, tags)  # before composing: composing recurses
        loader = _Base(text)
        try:
            node: yaml.Node | None = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark is not None else name
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).splitlines()[0]
        several = "a single document" in str(error)
        problem = "several documents, expected one" if several else f"not valid YAML: {problem}"
        raise DataError(f"{place}: {problem}") from None
    if node is None:
        raise DataError(f"{name}: the file is empty", "expected a YAML mapping")
    if tags:
        _untag(node, tags)
    _check_node(node, name, repeated)
    return node


def _untag(node: yaml.Node, tags: frozenset[str]) -> None:
    """Turn tagged mappings into plain ones that hold their tag as a value: nothing of a tag is ever run."""
    if isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            _untag(value, tags)
        if node.tag in tags:
            key, value = (yaml.ScalarNode("tag:yaml.org,2002:str", text) for text in (TAG, node.tag))
            key.start_mark = value.start_mark = node.start_mark
            node.tag = "tag:yaml.org,2002:map"
            node.value.append((key, value))
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _untag(item, tags)


def _construct(root: yaml.Node, text: str, name: str) -> Any:
    loader = _Base(text)
    try:
        return loader.construct_document(root)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        problem = str(error).splitlines()[0]
        raise DataError(f"{name}: cannot be read as YAML: {problem}") from None
    finally:
        loader.dispose()


def _check_events(text: str, name: str, tags: frozenset[str] = frozenset()) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise DataError(f"{name}:{line}: anchors and aliases are refused", "write the value out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise DataError(f"{name}:{line}: nested deeper than {DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.MappingStartEvent) and event.tag in tags:
            continue
        if isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent) and event.tag not in (None, "!"):
            raise DataError(f"{name}:{line}: tag {event.tag!r} is refused", "plain data only")


def _check_node(node: yaml.Node, name: str, repeated: list[str] | None = None) -> None:
    if node.tag not in _PLAIN_TAGS and isinstance(node, yaml.ScalarNode):
        hint = "write it in quotes" if "timestamp" in node.tag else "plain data only"
        found = "a merge key '<<'" if node.tag.endswith(":merge") else repr(node.value)
        raise DataError(f"{name}:{node.start_mark.line + 1}: found {found}, which is refused", hint)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise DataError(f"{name}:{line}: a key is a list or a mapping", "expected text")
            _check_node(key, name)
            if not key.tag.endswith(":str"):
                raise DataError(f"{name}:{line}: key {key.value!r} is not text", "write it in quotes")
            if key.value in seen and repeated is not None:
                repeated.append(
                    f"{name}:{line}: {key.value!r} is given twice, first on line {seen[key.value]}; the last counts"
                )
            elif key.value in seen:
                place = f"{name}:{line}: duplicate key {key.value!r}, first on line {seen[key.value]}"
                raise DataError(place, "remove one")
            seen[key.value] = line
            _check_node(value, name, repeated)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_node(item, name, repeated)


def convert(data: Any, kind: type[T], name: str, root: yaml.Node | None = None) -> T:
    """Return plain ``data`` as the struct ``kind``, with one-line errors.

    Args:
        data: Mappings, lists, text, numbers.
        kind: A msgspec struct that forbids unknown fields.
        name: File named in errors.
        root: Node tree that ``data`` came from: errors then name the line.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        steps = _steps(place.strip("`"), data, kind)
        field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
        wrong = message.split("`")[1] if "unknown field" in message else ""
        line = _line(root, [*steps, wrong] if wrong else steps)
        where = f"{name}:{line}" if line else name
        where = f"{where}: {field}" if field else where
        if wrong:
            raise DataError(f"{where}: unknown key {wrong!r}", nearest(wrong, _fields_at(kind, steps))) from None
        choices = [str(c) for k in _kinds_at(kind, steps) if get_origin(k) is Literal for c in get_args(k)]
        found = _at(data, steps)
        if choices:
            hint = nearest(str(found), choices)
            raise DataError(f"{where}: found {found!r}, expected one of {', '.join(choices)}", hint) from None
        raise DataError(f"{where}: {_plain(message, found)}") from None


def _plain(message: str, found: Any) -> str:
    """Return a message of msgspec in our words: field instead of attribute, and what was found."""
    if "missing required field" in message:
        return f"missing field {message.split('`')[1]!r}"
    text = message[0].lower() + message[1:].replace("`", "")
    text = text.partition(", got ")[0] if ", got " in text else text
    shown = repr(found)
    return f"{text}, found {shown if len(shown) <= 60 else shown[:57] + '...'}"


def _steps(place: str, data: Any, kind: Any) -> list[str | int]:
    """Return the path of an error; msgspec writes ``[...]`` for any entry: the first that does not convert is meant."""
    steps: list[str | int] = []
    for key, index in _STEP.findall(place.removeprefix("$")):
        here = _at(data, steps)
        if key:
            steps.append(key)
        elif index != "..." or not isinstance(here, dict):
            steps.append(int(index) if index != "..." else index)
        else:
            inner = _kinds_at(kind, [*steps, "..."])
            steps.append(next((k for k, entry in here.items() if not any(_fits(entry, i) for i in inner)), "..."))
    return steps


def _fits(entry: Any, kind: Any) -> bool:
    try:
        msgspec.convert(entry, kind)
    except msgspec.ValidationError:
        return False
    return True


def _at(data: Any, steps: list[str | int]) -> Any:
    for step in steps:
        inside = step in data if isinstance(data, dict) else isinstance(data, list) and step in range(len(data))
        if not inside:
            return data
        data = data[step]
    return data


def _line(node: yaml.Node | None, steps: list[str | int]) -> int:
    """Return the line of the field at ``steps``, as far as the path is known; 0 without a node tree."""
    if node is None:
        return 0
    line = node.start_mark.line + 1
    for step in steps:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
            continue
        found = [pair for pair in node.value if pair[0].value == step] if isinstance(node, yaml.MappingNode) else []
        if not found:
            break
        line, node = found[0][0].start_mark.line + 1, found[0][1]
    return line


def _kinds_at(kind: Any, steps: list[str | int]) -> list[Any]:
    """Return the types that may stand at ``steps`` inside ``kind``."""
    kinds = _alternatives(kind)
    for step in steps:
        inner: list[Any] = []
        for here in kinds:
            if isinstance(here, type) and issubclass(here, msgspec.Struct):
                names = {field.encode_name: field.name for field in msgspec.structs.fields(here)}
                if step in names:
                    inner += _alternatives(get_type_hints(here)[names[str(step)]])
            elif get_args(here):
                inner += _alternatives(get_args(here)[-1 if get_origin(here) is dict else 0])
        kinds = inner
    return kinds


def _fields_at(kind: Any, steps: list[str | int]) -> list[str]:
    """Return the field names of the structs that may stand at ``steps`` inside ``kind``."""
    structs = [k for k in _kinds_at(kind, steps) if isinstance(k, type) and issubclass(k, msgspec.Struct)]
    return sorted({field.encode_name for here in structs for field in msgspec.structs.fields(here)})


def _alternatives(kind: Any) -> list[Any]:
    return list(get_args(kind)) if get_origin(kind) in (Union, UnionType) else [kind]
