"""Exported program files: checked member by member before ``torch.export.load`` sees them.

That function unpickles parts of an archive, evaluates its symbolic sizes and compiles its names as Python text. A file
is refused where any of these is more than tensors, arithmetic and ATen operators. This closes the ways known to run
code; it is no sandbox.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codesign.errors import CodesignError, DataError

LARGEST_FILE = 20 * 2**30
LARGEST_RATIO = 200
"""An archive that grows more than this when unpacked is refused."""
LARGEST_TEXT = 2**28
"""Bytes of one JSON or pickled member, unpacked."""

SAFE_TARGET = re.compile(
    r"torch\.ops\.(aten|prims|higher_order|quantized|quantized_decomposed)(\.(?!_*from_file)(?!__)\w+){1,2}"
    r"|torch\.ops\.aten\.__(and|or|xor|lshift|rshift)__\.\w+"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.[a-z]\w*|torch\.sym_\w+|torch\._sym_sqrt"
)
WORDS = """
    Symbol Integer Rational Float Add Mul Pow Mod Max Min Abs And Or Not Equality Unequality StrictLessThan
    StrictGreaterThan LessThan GreaterThan Eq Ne Lt Le Gt Ge FloorDiv CeilDiv CleanDiv PythonMod ModularIndexing
    IntTrueDiv FloatTrueDiv ToFloat TruncToInt FloorToInt CeilToInt PowByNatural Where Identity floor ceiling oo
    int_oo True False positive negative nonnegative integer real nonzero size stride storage_offset and or not
"""
SAFE_WORDS = frozenset(WORDS.split())


def load_exported(path: Path) -> Any:
    """Return the exported program in ``path``.

    Raises:
        DataError: it is missing, no such archive, too large, or holds more than tensors and ATen operators.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file", "write it with torch.export.save")
    if path.stat().st_size > LARGEST_FILE or not zipfile.is_zipfile(path):
        raise DataError(f"{path}: no exported program", "expected a file written by torch.export.save")
    try:
        with zipfile.ZipFile(path) as archive:
            _check(path, archive)
        import torch

        return torch.export.load(path)
    except CodesignError:
        raise
    except Exception as error:  # torch and zipfile raise many kinds for a wrong archive
        text = (str(error).strip().splitlines() or [""])[0][:200]
        raise DataError(
            f"{path}: no exported program: {type(error).__name__}: {text}", "write it with torch.export.save"
        ) from None


def _check(path: Path, archive: zipfile.ZipFile) -> None:
    entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > LARGEST_RATIO * max(1, path.stat().st_size):
        raise DataError(f"{path}: unpacks to more than {LARGEST_RATIO} times its size", "refused")
    # torch looks members up below one top folder without regard to case: two readings of a name are refused
    folded = [entry.filename.lower() for entry in entries]
    if len(set(folded)) != len(folded) or len({name.partition("/")[0] for name in folded}) != 1:
        raise _unsafe(path, "its members have ambiguous names")
    if not any(name.endswith("/archive_format") for name in folded):
        raise DataError(f"{path}: no exported program of torch 2.13", "write it again with torch.export.save")
    for entry in entries:
        _check_member(path, archive, entry)


def _check_member(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    member = entry.filename.partition("/")[2].lower()
    if member.startswith("data/aotinductor") or member.endswith((".so", ".pyd", ".dll")):
        raise _unsafe(path, f"{member} is compiled code")
    pickled, text = member.endswith(".pt"), member.endswith(".json")
    if (pickled or text) and entry.file_size > LARGEST_TEXT:
        raise DataError(f"{path}: {member} has {entry.file_size:,} bytes", f"at most {LARGEST_TEXT:,} are read")
    if pickled:
        if not member.startswith("data/sample_inputs/"):
            raise _unsafe(path, f"{member} is pickled")
        _check_sample(path, member, archive.read(entry))
    elif text:
        _check_text(path, member, json.loads(archive.read(entry)))


def _check_sample(path: Path, member: str, content: bytes) -> None:
    """Refuse example inputs that torch would fall back to unpickling as arbitrary objects."""
    import torch

    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True)  # torch's restricted reader: tensors and containers only
    except Exception:
        raise _unsafe(path, f"{member} holds more than tensors") from None


def _check_text(path: Path, member: str, content: Any) -> None:
    for key, value in _fields(content):
        if key == "use_pickle" and value:
            raise _unsafe(path, f"{member} names pickled tensors")
        if key == "path_name" and not re.fullmatch(r"(weight|tensor)_\d+", str(value)):
            raise _unsafe(path, f"{member} names the object {str(value)[:40]!r}")
        if key == "operator" and not SAFE_TARGET.fullmatch(value):
            raise _unsafe(path, f"it calls {value[:60]!r}")
        if key in ("expr_str", "guards_code") and not _is_arithmetic(str(value)):
            raise _unsafe(path, f"{str(value)[:60]!r} is no size")
        if key == "name" and isinstance(value, str) and not re.fullmatch(r"[\w.]*", value):
            raise _unsafe(path, f"the name {value[:60]!r} is no identifier")


def _fields(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every (key, plain value) of nested data; lists pass their key on, targets of calls are ``operator``."""
    waiting = [(key, content)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            called = "inputs" in value and "target" in value
            waiting += [("operator" if called and inner == "target" else inner, value[inner]) for inner in value]
        elif isinstance(value, list):
            waiting += [(key, inner) for inner in value]
        else:
            yield key, str(value) if key == "operator" else value


def _is_arithmetic(text: str) -> bool:
    """Return whether evaluating ``text`` can do no more than arithmetic on sizes."""
    bare = re.sub(r"\bL\['\w+'\]|(?<=\))?\.(size|stride|storage_offset)\(\)", " ", text)
    if not re.fullmatch(r"[\w\s'(),=+\-*/%<>!\[\].]*", bare) or re.search(r"__|\*\*|\.\s*[A-Za-z_]", bare):
        return False
    return all(word in SAFE_WORDS or re.fullmatch(r"[a-z]\d+", word) for word in re.findall(r"[A-Za-z_]\w*", bare))


def _unsafe(path: Path, why: str) -> DataError:
    return DataError(f"{path}: refused: {why}", "it could run code; export it again with torch.export.save")
