"""What an ONNX file says about itself, read without a runtime: the file is checked before anything is loaded.

An ONNX file is one protobuf message (ModelProto of onnx.proto3): fields, each a key (number << 3 | wire type) and a
value. Only the top level is walked; the bytes of the graph, which holds the weights, and of the contract are hashed. One bit
of a weight that flips on the way to a vehicle can turn half of a frame into another class, and no runtime would notice.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import BinaryIO

from seg.errors import SegError
from seg.sources.base import without_secrets
from seg.spec import METADATA_KEY

SEAL_KEY = "segmentation_autoencoder.sha256"
"""The key of the metadata that holds the seal: the hex SHA-256 of the graph's bytes as they stand in the file (GraphProto),
followed by the contract's (the text under METADATA_KEY, UTF-8)."""

_METADATA_PROPS, _IR_VERSION, _GRAPH = 14, 1, 7
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_CHUNK = 1 << 20


class _DamagedError(Exception):
    """The bytes are not a whole message."""


def read_metadata(path: Path) -> dict[str, str]:
    """The entries of `metadata_props`, of a file whose graph and contract are those that were sealed, if they were (`seal`).

    Raises:
        SegError: where the file is missing, unreadable, truncated or no ONNX file, or its graph has changed since.
    """
    metadata, digest = _walk(path)
    if metadata.get(SEAL_KEY, digest) != digest:
        raise SegError(
            f"{without_secrets(str(path))}: its network or contract is not the one that `seg export` wrote: the file is damaged, "
            f"or another tool changed it. Copy or export it again; or, if the change is wanted, take {SEAL_KEY!r} out of its "
            "metadata"
        )
    return metadata


def seal(path: Path) -> None:
    """Write the seal into a file's metadata, as its last step: whoever changes graph or contract later is found out."""
    _, digest = _walk(path)
    entry = b"".join(_bytes(number, text.encode()) for number, text in ((1, SEAL_KEY), (2, digest)))
    with path.open("ab") as file:  # fields may come in any order: one more entry needs no other byte changed
        file.write(_bytes(_METADATA_PROPS, entry))


def _walk(path: Path) -> tuple[dict[str, str], str]:
    """The metadata, and the hex SHA-256 of graph and contract."""
    shown = without_secrets(str(path))  # whoever forgets the model names a camera here
    if path.is_dir():
        raise SegError(f"{shown}: is a folder, expected an ONNX file")
    seen: set[int] = set()
    metadata: dict[str, str] = {}
    graph = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while file.tell() < size:
                number, length = _field(file, size)
                seen.add(number)
                if number == _METADATA_PROPS:
                    key, text = _entry(file.read(length))
                    metadata[key] = text
                elif number == _GRAPH:
                    for start in range(0, length, _CHUNK):
                        graph.update(file.read(min(_CHUNK, length - start)))
                else:
                    file.seek(length, os.SEEK_CUR)
    except FileNotFoundError:
        raise SegError(f"{shown}: no such file") from None
    except OSError as error:
        raise SegError(f"{shown}: cannot be read ({error.strerror})") from None
    except (_DamagedError, UnicodeDecodeError):
        known = "truncated or damaged; copy or export it again" if _IR_VERSION in seen else "not an ONNX file"
        raise SegError(f"{shown}: {known}") from None
    if not {_IR_VERSION, _GRAPH} <= seen:
        raise SegError(f"{shown}: {'truncated: has no graph' if _IR_VERSION in seen else 'not an ONNX file'}")
    graph.update(metadata.get(METADATA_KEY, "").encode())
    return metadata, graph.hexdigest()


def _field(file: BinaryIO, size: int) -> tuple[int, int]:
    """A field's number, and how many bytes of it follow, which are there; of a number nothing does: it was read."""
    key = _varint(file)
    number, kind = key >> 3, key & 7
    if kind == _VARINT:
        _varint(file)
        return number, 0
    if kind not in (_LENGTH, _FIXED32, _FIXED64):
        raise _DamagedError
    length = _varint(file) if kind == _LENGTH else {_FIXED32: 4, _FIXED64: 8}[kind]
    if file.tell() + length > size:
        raise _DamagedError
    return number, length


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


def _bytes(number: int, value: bytes) -> bytes:
    """A field that holds bytes."""
    written, length = bytearray([number << 3 | _LENGTH]), len(value)
    while length > 0x7F:
        written.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*written, length]) + value


def _entry(message: bytes) -> tuple[str, str]:
    """A StringStringEntryProto: key in field 1, value in field 2."""
    stream = io.BytesIO(message)
    found = {1: "", 2: ""}
    while stream.tell() < len(message):
        number, length = _field(stream, len(message))
        found[number] = stream.read(length).decode()
    return found[1], found[2]
