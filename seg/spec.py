"""The deploy contract (contract 6): what `export` writes into an ONNX file and `infer` reads out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from seg.classes import ClassInfo, Ontology
from seg.errors import SegError
from seg.strict import Strict

METADATA_KEY = "segmentation_autoencoder.spec"
"""The key of the ONNX file's metadata that holds the contract, as JSON."""

WEIGHT_BITS, SAFE_BITS = "weight_bits", "7"
"""In `network` of a file of integers: how many bits its weights have, and how many overflow on no processor."""

Profile = Literal["frame", "logits", "argmax", "restore"]
"""`restore` answers frames and knows no classes; the others answer classes."""


class TensorSpec(Strict):
    """One input or output of the graph: its name, dtype, axes and meaning. Axes are sizes, or names where dynamic; K are
    the values of a code."""

    name: str
    dtype: Literal["uint8", "int64", "float32"]
    layout: Literal["NHWC", "NCHW", "NHW", "NK", "N"]
    shape: tuple[int | str, ...]
    meaning: str


class SizePolicy(Strict):
    """Which frame sizes the graph takes.

    `fixed`: exactly height x width; `infer` stretches other frames, bilinear between the centres of pixels and without
    smoothing (OpenCV's INTER_LINEAR), and answers at their own size: class maps and confidence by the nearest centre
    (INTER_NEAREST_EXACT), restored frames bilinear. `dynamic`: any size; height and width are then the size it was
    trained and checked at.
    """

    kind: Literal["fixed", "dynamic"]
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]


class Origin(Strict):
    """Weights that a training began with: the run or file that they are of, and the data that made them. Hashes are hex
    SHA-256; null, like no data, is not known."""

    run: str
    data: tuple[str, ...] = ()
    data_hash: str | None = None
    weights_hash: str | None = None


class TrainingRecord(Strict):
    """What the weights were made from. Hashes are hex SHA-256.

    `data` are of the last training; `origins`, oldest first, are those that it went on from or is the mean of, null where none
    were recorded.
    `validation` is the data section to measure the model on again; an absolute root is cut to its last part, because a
    file that travels should not tell where its maker kept the data.
    """

    run: str
    origins: tuple[Origin, ...] | None = None
    data: tuple[str, ...]
    data_hash: str
    config_hash: str
    weights_hash: str
    steps: int
    validation: dict[str, Any]


class MetricRecord(Strict):
    """Figures from the run's validation; `protocol` says what exactly was measured."""

    protocol: str
    mean_iou: float | None
    iou: dict[str, float | None]


class ModelSpec(Strict):
    """Everything a program needs to run the network and to read its answers.

    `classes` is empty for profile `restore`, and only there.
    """

    version: Literal[1] = 1
    name: str
    profile: Profile
    ontology: str
    classes: tuple[ClassInfo, ...]
    color_order: Literal["RGB"] = "RGB"
    value_range: tuple[float, float]
    normalization: Literal["in graph"] = "in graph"
    size: SizePolicy
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    network: dict[str, str]
    training: TrainingRecord
    metrics: MetricRecord | None
    versions: dict[str, str]
    licence: str

    @model_validator(mode="after")
    def _classes_unless_restored(self) -> ModelSpec:
        if bool(self.classes) == (self.profile == "restore"):
            raise ValueError(f"{len(self.classes)} classes do not fit the profile {self.profile!r}")
        return self

    @property
    def corruptions(self) -> tuple[str, ...]:
        """What a network of profile `restore` learned to undo, by the names of a pretraining run's `corruption`."""
        return tuple(name for name in self.network.get("corruption", "").split(",") if name)

    def as_ontology(self) -> Ontology:
        """The classes as an ontology; SegError for profile `restore`, which has none."""
        if not self.classes:
            raise SegError(f"{self.name}: restores frames (profile {self.profile!r}) and knows no classes")
        return Ontology(name=self.ontology, classes=self.classes)

    def to_metadata(self) -> dict[str, str]:
        """The entries for an ONNX file's `metadata_props`."""
        return {METADATA_KEY: self.model_dump_json()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: str) -> ModelSpec:
        """Read the contract from an ONNX file's metadata.

        Raises:
            SegError: where `source` carries none, or one that this version does not understand.
        """
        if METADATA_KEY not in metadata:
            raise SegError(
                f"{source}: not a model of this project (no {METADATA_KEY!r} in its metadata); make one with `seg export`"
            )
        try:
            return cls.model_validate_json(metadata[METADATA_KEY])
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            why = f"{where}: {first['msg']}" if where else first["msg"]
            raise SegError(f"{source}: its deploy contract cannot be read ({why}); export it again") from None
