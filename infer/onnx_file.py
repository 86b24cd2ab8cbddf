"""What an ONNX file says about itself, read without a runtime: the file is checked before anything is loaded.

An ONNX file is one protobuf message (ModelProto of onnx.proto3): fields, each a key (number << 3 | wire type) and a
value. Only the top level is walked, jumping over the graph, so that a file of any size is read in no time.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

from seg.errors import SegError
from seg.sources.base import without_secrets

_METADATA_PROPS, _IR_VERSION, _GRAPH = 14, 1, 7
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class _DamagedError(Exception):
    """The bytes are not a whole message."""


def read_metadata(path: Path) -> dict[str, str]:
    """The entries of `metadata_props`.

    Raises:
        SegError: where the file is missing, unreadable, truncated or no ONNX file.
    """
    shown = without_secrets(str(path))  # whoever forgets the model names a camera here
    if path.is_dir():
        raise SegError(f"{shown}: is a folder, expected an ONNX file")
    seen: set[int] = set()
    metadata: dict[str, str] = {}
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while file.tell() < size:
                number, value = _field(file, size, wanted=_METADATA_PROPS)
                seen.add(number)
                if value is not None:
                    key, text = _entry(value)
                    metadata[key] = text
    except FileNotFoundError:
        raise SegError(f"{shown}: no such file") from None
    except OSError as error:
        raise SegError(f"{shown}: cannot be read ({error.strerror})") from None
    except (_DamagedError, UnicodeDecodeError):
        known = "truncated or damaged; copy or export it again" if _IR_VERSION in seen else "not an ONNX file"
        raise SegError(f"{shown}: {known}") from None
    if not {_IR_VERSION, _GRAPH} <= seen:
        raise SegError(f"{shown}: {'truncated: has no graph' if _IR_VERSION in seen else 'not an ONNX file'}")
    return metadata


def _field(file: BinaryIO, size: int, wanted: int) -> tuple[int, bytes | None]:
    """A field's number, and its bytes if it is the wanted one; the file stands behind it afterwards."""
    key = _varint(file)
    number, kind = key >> 3, key & 7
    if kind == _VARINT:
        _varint(file)
        return number, None
    if kind not in (_LENGTH, _FIXED32, _FIXED64):
        raise _DamagedError
    length = _varint(file) if kind == _LENGTH else {_FIXED32: 4, _FIXED64: 8}[kind]
    if file.tell() + length > size:
        raise _DamagedError
    if number == wanted and kind == _LENGTH:
        return number, file.read(length)
    file.seek(length, os.SEEK_CUR)
    return number, None


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise _DamagedError
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise _DamagedError


def _entry(message: bytes) -> tuple[str, str]:
    """A StringStringEntryProto: key in field 1, value in field 2."""
    stream = io.BytesIO(message)
    found = {1: "", 2: ""}
    while stream.tell() < len(message):
        start = stream.tell()
        number = _varint(stream) >> 3
        stream.seek(start)
        _, value = _field(stream, len(message), wanted=number)
        found[number] = (value or b"").decode()
    return found[1], found[2]
