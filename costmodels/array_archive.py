"""Archives of plain arrays (``.npz`` without objects): how fitted models are kept; reading one executes nothing.

Equal arrays give equal bytes. What an archive claims to hold is checked before room is made for it.
"""

from __future__ import annotations

import io
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codesign.errors import DataError
from codesign.run import write_file

LARGEST = 256 << 20
"""Bytes that the arrays of an archive may take together."""

DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, ValueError, EOFError, RuntimeError,
)  # fmt: skip
"""What reading an archive raises of one that is none, was cut or changed, or is locked."""


def write_arrays(path: Path | str, arrays: Mapping[str, Any]) -> None:
    """Write ``arrays`` under their names.

    Raises:
        EnvironmentLacks: the place cannot be written.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue(), zipfile.ZIP_DEFLATED)
    write_file(Path(path), content.getvalue())


def read_arrays(
    path: Path | str, kind: str, hint: str, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, Any]:
    """Return the arrays of a file by name.

    Args:
        path: Of the file.
        kind: What it should be ("operator model"), for messages.
        hint: What to do where it is not.
        wanted: Which names to read.

    Raises:
        DataError: it cannot be read, is no archive of plain arrays, is cut, or unpacks to more than ``LARGEST``.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > LARGEST:
                raise DataError(f"{path.name} unpacks to more than {LARGEST >> 20} MiB", hint)
            names = [part for part in archive.namelist() if wanted(part.removesuffix(".npy"))]
            return {part.removesuffix(".npy"): _array(archive, part) for part in names}
    except OSError as error:
        raise DataError(f"cannot read {path.name}: {(error.strerror or str(error)).lower()}", hint) from None
    except DAMAGE as error:
        raise DataError(f"{path.name} is no {kind}, or is damaged: {error}", hint) from None


def _array(archive: zipfile.ZipFile, part: str) -> Any:
    """Return the array of a part; one that claims more than the part holds is not made room for."""
    with archive.open(part) as file:
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
            np.lib.format.read_magic(file)
        )
        shape, _, dtype = read_header(file) if read_header else ((), False, np.dtype(object))
        if dtype.hasobject or math.prod(shape) * dtype.itemsize > archive.getinfo(part).file_size:
            raise ValueError(f"{part} is no plain array")
    with archive.open(part) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
