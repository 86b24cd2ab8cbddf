"""Tables of codes: one row a frame, as Parquet. `seg embed` writes them, `infer.codes` reads them.

| column | type | what it is |
|---|---|---|
| source | string | the video's or picture's name, as it was given |
| index | int64 | position of the frame in its video or folder, from 0 |
| time_s | double | presentation time in seconds |
| code | fixed_size_list<float>[K] | the frame's code |
| hash | uint32 | its semantic hash: frames alike differ in few of its 32 bits |
| novelty | float | 0.99 = beyond 99 % of normal frames; null where the model does not answer it |
| share_NAME | float | share of the frame's pixels that are of class NAME |

The file's metadata says which model made it. Shape suffixes: N rows, K values of a code.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from infer.segmenter import Segmentation
from infer.sink import Sink, check_suffix
from seg.errors import SegError
from seg.frame import Frame
from seg.spec import ModelSpec
from seg.strict import Strict

METADATA_KEY = "segmentation_autoencoder.model"
"""The key of a table's, and of an index's, metadata that holds the `ModelIdentity` as JSON."""

ROW_GROUP = 512
"""Rows that are written together: what a table being written holds in memory, and the least that is read at once."""


def library(name: str) -> Any:
    """A module of the extra `codes`; SegError that names the extra where it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        raise SegError(
            f"{name.partition('.')[0]} is not installed, which tables of codes need; "
            "install segmentation-autoencoder[codes]"
        ) from None


class ModelIdentity(Strict):
    """Which ONNX file made a table: its name, the hex SHA-256 of its content, and its classes."""

    name: str
    sha256: str
    classes: tuple[str, ...]

    @classmethod
    def of(cls, spec: ModelSpec, sha256: str) -> ModelIdentity:
        """The identity of a file by its contract and hash (`seg.files.sha256`)."""
        return cls(name=spec.name, sha256=sha256, classes=spec.as_ontology().names)

    def to_metadata(self) -> dict[str, str]:
        """The entries for a schema's metadata."""
        return {METADATA_KEY: self.model_dump_json()}

    @classmethod
    def from_metadata(cls, metadata: dict[bytes, bytes] | None, path: Path, command: str) -> ModelIdentity:
        """Read back what `to_metadata` gave; SegError where it is not there, naming the command that makes such a file."""
        try:
            return cls.model_validate_json((metadata or {})[METADATA_KEY.encode()])
        except (KeyError, ValidationError):
            raise SegError(
                f"{path}: does not say which model made it (no {METADATA_KEY!r} in its metadata); "
                f"expected a file that `{command}` wrote"
            ) from None

    def check(self, other: ModelIdentity, mine: Path, others: Path) -> None:
        """SegError unless both are one file: codes of two models cannot be compared.

        Args:
            other: whose codes are to be compared with ours.
            mine: our file, for the message.
            others: the other's.
        """
        if self.sha256 != other.sha256:
            raise SegError(
                f"{others}: is of another model than {mine}, so their codes cannot be compared: expected "
                f"{self.name!r} with SHA-256 {self.sha256[:12]}..., got {other.name!r} with {other.sha256[:12]}..."
            )


def check_answers_codes(spec: ModelSpec, model: Path) -> None:
    """SegError unless the model answers what a row of a table needs."""
    missing = {"code", "hash"} - {output.name for output in spec.outputs}
    if missing:
        raise SegError(
            f"{model}: answers no {' and no '.join(sorted(missing))}, which a table of codes is made of; "
            "run `seg calibrate` on the run that it comes from, and export it again, in profile frame"
        )


def schema(model: ModelIdentity, size: int) -> Any:
    """The pyarrow schema of a table, for codes of `size` values."""
    arrow = library("pyarrow")
    fields = [
        arrow.field("source", arrow.string(), nullable=False),
        arrow.field("index", arrow.int64(), nullable=False),
        arrow.field("time_s", arrow.float64(), nullable=False),
        arrow.field("code", arrow.list_(arrow.field("element", arrow.float32(), nullable=False), size), nullable=False),
        arrow.field("hash", arrow.uint32(), nullable=False),
        arrow.field("novelty", arrow.float32()),
        *(arrow.field(f"share_{name}", arrow.float32(), nullable=False) for name in model.classes),
    ]
    return arrow.schema(fields, metadata=model.to_metadata())


def open_writer(path: Path, columns: Any) -> Any:
    """A pyarrow ParquetWriter for a table's schema: what repeats is stored once, floats byte by byte, both compressed.

    Each page carries a checksum: without, damage in the middle of a file would be read as other numbers.
    """
    floats = [name for name in columns.names if name == "novelty" or name.startswith("share_")]
    return library("pyarrow.parquet").ParquetWriter(
        str(path),
        columns,
        compression="zstd",
        use_dictionary=["source"],
        use_byte_stream_split=["time_s", *floats],
        write_page_checksum=True,
    )


class Table(Sink):
    """The table of codes of the frames that are written to it, in row groups of ROW_GROUP."""

    kind = "table"
    readable = False  # without its end

    def __init__(self, path: Path, model: ModelIdentity, *, overwrite: bool = False) -> None:
        """`model` is the one whose answers will come. SegError where the suffix is not .parquet, or pyarrow is missing."""
        library("pyarrow.parquet")
        check_suffix(path, (".parquet",))
        super().__init__(path, overwrite=overwrite)
        self._model = model
        self._writer: Any = None
        self._columns: dict[str, list[Any]] = {}

    def _write(self, frame: Frame, segmentation: Segmentation) -> None:
        if segmentation.code is None or segmentation.hash is None:
            raise SegError(f"{frame.source}: the model answered no code for frame {frame.index}")
        if self._writer is None:
            self._schema = schema(self._model, len(segmentation.code))
            self._columns = {name: [] for name in self._schema.names}
            self._writer = open_writer(self._temporary, self._schema)
        counts = np.bincount(segmentation.classes.ravel(), minlength=len(self._model.classes))
        shares = counts[: len(self._model.classes)] / segmentation.classes.size
        if not _is_unicode(frame.source):
            raise SegError(f"{frame.source!a}: its name is not Unicode, which a table cannot hold; rename it")
        values = [frame.source, frame.index, frame.time_ns / 1e9, segmentation.code, segmentation.hash]
        for column, value in zip(self._columns.values(), [*values, segmentation.novelty, *shares], strict=True):
            column.append(value)
        if len(self._columns["index"]) == ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        arrow = library("pyarrow")
        code_NK = np.asarray(self._columns["code"], dtype=np.float32)
        arrays = [
            arrow.FixedSizeListArray.from_arrays(arrow.array(code_NK.ravel()), type=field.type)
            if field.name == "code"
            else arrow.array(self._columns[field.name], type=field.type)
            for field in self._schema
        ]
        self._writer.write_batch(arrow.record_batch(arrays, schema=self._schema))
        self._columns = {name: [] for name in self._columns}

    def _close(self) -> None:
        if self._writer is None:
            return
        try:
            if self._columns["index"]:
                self._flush()
        finally:
            writer, self._writer = self._writer, None
            writer.close()


def _is_unicode(name: str) -> bool:
    """Whether a file's name is text: bytes that are no UTF-8 stand in it as lone surrogates (PEP 383)."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
