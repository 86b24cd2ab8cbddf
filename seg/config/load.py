"""From a YAML file and `key=value` overrides to a config, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml

from seg.config.pretrain import PretrainConfig
from seg.config.run import LoopConfig, RunConfig
from seg.errors import SegError
from seg.strict import Strict, parse, read_yaml

Config = TypeVar("Config", bound=LoopConfig)


def load_run_config(path: Path, overrides: list[str] | None = None) -> RunConfig:
    """Read the YAML of a run of `seg train` and apply `a.b.c=value` overrides.

    Values are YAML; list items go by number: `data.train.0.root=x`. `base: other.yaml`, a path beside the file, stands for
    that file's keys; the file's own replace them one by one, lists as a whole.

    Raises:
        SegError: naming the key that is unknown or ill-typed, with the nearest known key; for bases that go in a circle.
    """
    return load_config(RunConfig, path, overrides)


def load_pretrain_config(path: Path, overrides: list[str] | None = None) -> PretrainConfig:
    """The same for the YAML of a run of `seg pretrain`."""
    return load_config(PretrainConfig, path, overrides)


def load_config(kind: type[Config], path: Path, overrides: list[str] | None = None) -> Config:
    """The same for the YAML of a run of some kind."""
    data = _with_base(path)
    for override in overrides or [] if isinstance(data, dict) else []:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise SegError(f"override {override!r}: expected key=value, as in optimizer.lr=0.001")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise SegError(f"override {override!r}: the value is not valid YAML") from None
        _assign(data, key.split("."), value, override)
    return parse(kind, data, path)


def _with_base(path: Path, above: tuple[Path, ...] = ()) -> object:
    data = read_yaml(path)
    if not isinstance(data, dict) or "base" not in data:
        return data
    base = data.pop("base")
    if not isinstance(base, str):
        raise SegError(f"{path}: base: expected the path of a YAML file beside this one, got {base!r}")
    below = (path.parent / base).resolve()
    if below in above:
        raise SegError(f"{path}: base: {base} leads back to itself; one file of the circle must do without `base`")
    return _merged(_with_base(below, (*above, path.resolve())), data)


def _merged(base: object, own: object) -> object:
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return own
    return base | {key: _merged(base[key], value) if key in base else value for key, value in own.items()}


def _assign(node: Any, keys: list[str], value: object, override: str) -> None:
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            if not key.isdigit() or int(key) >= len(node):
                raise SegError(f"override {override!r}: {key!r} is not a position in a list of {len(node)}")
            if last:
                node[int(key)] = value
            else:
                node = node[int(key)]
        elif isinstance(node, dict):
            if last:
                node[key] = value
            else:
                node = node.setdefault(key, {})
        else:
            raise SegError(f"override {override!r}: {'.'.join(keys[:depth])} has no keys below it")


def dump_yaml(config: Strict) -> str:
    """A config as YAML that `load_run_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
