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


Colours = tuple[float, float, float]
"""A value each for red, green and blue."""

Deviation = Annotated[float, Field(gt=0)]


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

    `fixed`: exactly height x width; other frames are stretched to it as `frame` says (OpenCV's INTER_LINEAR), and answers
    go back to the frame's own size: maps of classes and confidence as `map` says, for pixel i of m from n
    (`seg.geometry.nearest`), restored frames bilinear. `dynamic`: any size; height and width are then the size it was
    trained and checked at.
    """

    kind: Literal["fixed", "dynamic"]
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    frame: Literal["stretched, bilinear between pixel centres, no antialiasing"] = (
        "stretched, bilinear between pixel centres, no antialiasing"
    )
    map: Literal["nearest, (2 * i + 1) * n // (2 * m)"] = "nearest, (2 * i + 1) * n // (2 * m)"


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

    `classes` is empty for profile `restore`, and only there. A frame is fed with values in `value_range`, of which red, green
    and blue then lose their `mean` and are divided by their `std`, in planes ordered as `color_order` says; bytes are fed as
    they are. `model` is the network's config (`seg.config.ModelConfig`), from which `seg import` builds it again; null in
    files from before it was recorded, and for profile `restore`.
    """

    version: Literal[1] = 1
    name: str
    profile: Profile
    ontology: str
    classes: tuple[ClassInfo, ...]
    color_order: Literal["RGB", "BGR"] = "RGB"
    value_range: tuple[float, float]
    mean: Colours = (0.0, 0.0, 0.0)
    std: tuple[Deviation, Deviation, Deviation] = (1.0, 1.0, 1.0)
    normalization: Literal["in graph"] = "in graph"
    size: SizePolicy
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    network: dict[str, str]
    model: dict[str, Any] | None = None
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
        """Read the contract from an ONNX file's metadata. Keys that it does not know are left alone: a newer program may
        add some, and what would change the meaning of others comes with another `version`.

        Raises:
            SegError: where `source` carries none, or one that this version does not understand.
        """
        if METADATA_KEY not in metadata:
            raise SegError(
                f"{source}: not a model of this project (no {METADATA_KEY!r} in its metadata); make one with `seg export`"
            )
        try:
            return cls.model_validate_json(metadata[METADATA_KEY], extra="ignore")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            why = f"{where}: {first['msg']}" if where else first["msg"]
            what = (
                "a newer segmentation-autoencoder wrote it, upgrade this one"
                if where == "version"
                else "export it again"
            )
            raise SegError(f"{source}: its deploy contract cannot be read ({why}); {what}") from None
