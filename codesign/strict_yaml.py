"""Strict YAML: plain data only, every surprise an error that names the file, the line and the field.

Refused: duplicate keys, anchors and aliases (they can explode), tags, several documents, files above a size
and nesting above a depth. Decoding into typed structs refuses unknown keys and names the nearest valid one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from codesign.errors import DataError, nearest

LARGEST_BYTES = 8_000_000
DEEPEST = 40

T = TypeVar("T")

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str, name: str) -> Any:
    """Return the plain data of one YAML document; ``name`` is the file named in errors."""
    if len(text) > LARGEST_BYTES:
        raise DataError(f"{name}: {len(text):,} characters", f"at most {LARGEST_BYTES:,} are read")
    try:
        _check_events(text, name)
        loader = _Base(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise DataError(f"{name}: the file is empty", "expected a YAML mapping")
            _check_node(node, name, 0)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark is not None else name
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DataError(f"{place}: not valid YAML: {problem}") from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"{name}: cannot be read as YAML: {error}") from None


def _check_events(text: str, name: str) -> None:
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
        tag = getattr(event, "tag", None)
        if tag is not None and not str(tag).startswith("tag:yaml.org,2002:"):
            raise DataError(f"{name}:{line}: tag {tag!r} is refused", "plain data only")


def _check_node(node: yaml.Node, name: str, depth: int) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            text = str(getattr(key, "value", key))
            line = key.start_mark.line + 1
            if text == "<<":
                raise DataError(f"{name}:{line}: merge keys are refused", "write the values out")
            if text in seen:
                raise DataError(f"{name}:{line}: duplicate key {text!r}, first on line {seen[text]}", "remove one")
            seen[text] = line
            _check_node(value, name, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_node(item, name, depth + 1)


def decode_yaml(text: str, kind: type[T], name: str) -> T:
    """Return the document decoded into the struct ``kind``; unknown keys, wrong types and gaps are errors."""
    return convert(load_yaml(text, name), kind, name)


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
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None


def convert(data: Any, kind: type[T], name: str) -> T:
    """Return plain ``data`` as the struct ``kind``, with one-line errors."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        field = place.strip("`").removeprefix("$").lstrip(".")
        where = f"{name}: {field}" if field else name
        if "unknown field" in message:
            wrong = message.split("`")[1]
            raise DataError(f"{where}: unknown key {wrong!r}", nearest(wrong, _fields_at(kind, field))) from None
        raise DataError(f"{where}: {message[0].lower()}{message[1:]}") from None


def _fields_at(kind: Any, field: str) -> list[str]:
    """Return the field names of every struct reachable from ``kind``: good enough to name the nearest key."""
    names: set[str] = set()
    seen: set[Any] = set()
    pending = [kind]
    while pending:
        here = pending.pop()
        if here in seen:
            continue
        seen.add(here)
        if isinstance(here, type) and issubclass(here, msgspec.Struct):
            for entry in msgspec.structs.fields(here):
                names.add(entry.encode_name)
                pending.append(entry.type)
        pending.extend(getattr(here, "__args__", ()))
    return sorted(names)
