"""Strict parsing: an unknown or ill-typed key is an error that names the key and suggests the nearest one."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from seg.errors import SegError


class Strict(BaseModel):
    """Base of every config and contract: immutable; unknown keys, NaN, infinity and `true` for a number are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, data: Any) -> Any:
        """Spell booleans out where a number belongs: pydantic would take `true` for 1, and refuses the word."""
        if not isinstance(data, dict):
            return data
        numbers = {name for name, field in cls.model_fields.items() if _is_number(field.annotation)}
        return {key: _spelt(value) if key in numbers else value for key, value in data.items()}


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], data: object, where: str | Path) -> Model:
    """Validate `data` as a `model`.

    Raises:
        SegError: naming `where`, the key, what was expected and what came; for an unknown key, the nearest known one.
    """
    if not isinstance(data, dict):
        raise SegError(f"{where}: expected a mapping of keys, got {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SegError(f"{where}: " + "; ".join(_explain(model, data, item) for item in _causes(error))) from None


def read_yaml(path: Path) -> object:
    """The document in a YAML file; SegError if it is missing or is not YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  (a safe loader)
    except FileNotFoundError:
        raise SegError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SegError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise SegError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, but for keys that are given twice, of which it would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping; a YAML error naming the line of a second key."""
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # refused below
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} is given twice; keep one of them", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def nearest(word: str, known: list[str]) -> str:
    """A half-sentence that suggests the known word closest to `word`, or lists them all."""
    matches = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {matches[0]!r}?" if matches else f"known: {', '.join(sorted(known))}"


def _causes(error: ValidationError) -> list[Any]:
    """The errors themselves: a list whose items are all wrong is also reported as too short, which says nothing."""
    items = list(error.errors())
    deeper = [item["loc"] for item in items]
    return [
        item
        for item in items
        if item["type"] != "too_short"
        or not any(loc != item["loc"] and loc[: len(item["loc"])] == item["loc"] for loc in deeper)
    ]


def _explain(model: type[BaseModel], data: object, error: Any) -> str:
    key = _dotted(data, error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {nearest(str(error['loc'][-1]), _keys_at(model, error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"missing key {key!r}"
    said = error["msg"].removeprefix("Value error, ")
    # about keys that do not fit together, which it names
    if error["type"] == "value_error" and isinstance(error["input"], dict):
        return f"{key}: {said}" if key else said
    got = repr(error.get("input"))
    shown = got if len(got) <= 80 else f"{got[:77]}..."
    return f"{key or 'value'}: {said} (got {shown})"


def _dotted(data: object, location: tuple[str | int, ...]) -> str:
    """The key as the user would write it: without the tags of unions, which stand in a location but not in the data."""
    parts: list[str] = []
    node: Any = data
    for depth, part in enumerate(location):
        if isinstance(node, dict):
            inside = part in node
        else:  # a tuple may be too short for the place that misses
            inside = isinstance(part, int) and isinstance(node, list | tuple) and part < len(node)
        if not inside and depth < len(location) - 1:
            continue
        parts.append(str(part))
        node = node[part] if inside else None
    return ".".join(parts)


def _keys_at(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """The keys that are allowed at `location`, walking through lists, optionals and tagged unions."""
    candidates: list[Any] = [model]
    for part in location:
        following: list[Any] = []
        for candidate in candidates:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel) and part in candidate.model_fields:
                following += _models_in(candidate.model_fields[str(part)].annotation)
        # a list index or a union's tag stands in the location without being a field: stay where we are,
        # narrowed to the union member that carries the tag
        tagged = [c for c in candidates if _has_tag(c, part)]
        candidates = following or tagged or candidates
    return sorted({key for c in candidates for key in c.model_fields})


def _has_tag(model: type[BaseModel], tag: str | int) -> bool:
    return any(tag in typing.get_args(field.annotation) for field in model.model_fields.values())


def _is_number(annotation: Any) -> bool:
    """Whether int or float is among an annotation's types, and nothing that takes a boolean or a word as it is."""
    types_in = _types_in(annotation)
    return bool(types_in & {int, float}) and not types_in & {bool, str, object, Any}


def _types_in(annotation: Any) -> set[Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None or origin is typing.Literal:
        return {annotation}
    return set().union(*(_types_in(part) for part in (arguments[:1] if origin is typing.Annotated else arguments)))


def _spelt(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return [_spelt(item) for item in value] if isinstance(value, list | tuple) else value


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for argument in typing.get_args(annotation) for model in _models_in(argument)]
