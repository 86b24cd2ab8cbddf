"""Strict parsing: what the user mistyped is named, with the nearest key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from seg.errors import SegError
from seg.strict import Strict, nearest, parse, read_yaml


class Cat(Strict):
    kind: Literal["cat"]
    whiskers: int = 3


class Dog(Strict):
    kind: Literal["dog"]
    tricks: int = 0


class House(Strict):
    rooms: int
    area: float = 1.0
    size: tuple[int, int] | None = None
    garden: bool | int = False
    main: Cat | None = None
    pets: tuple[Annotated[Cat | Dog, Field(discriminator="kind")], ...] = ()
    annex: House | None = None

    @model_validator(mode="after")
    def _a_garden_lies_around_rooms(self) -> House:
        if self.garden and not self.rooms:
            raise ValueError("a garden without rooms: add rooms")
        return self


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rooms": 1, "romos": 2}, "unknown key 'romos'; did you mean 'rooms'?"),
        ({"rooms": 1, "main": {"kind": "cat", "wiskers": 1}}, "unknown key 'main.wiskers'; did you mean 'whiskers'?"),
        (
            {"rooms": 1, "pets": [{"kind": "cat"}, {"kind": "dog", "trick": 1}]},
            "unknown key 'pets.1.trick'; did you mean 'tricks'?",
        ),
        ({"rooms": 1, "zzz": 2}, "unknown key 'zzz'; known: annex, area, garden, main, pets, rooms, size"),
        ({}, "missing key 'rooms'"),
        ({"rooms": "many"}, "rooms: Input should be a valid integer"),
        ({"rooms": True}, "rooms: Input should be a valid integer"),
        ({"rooms": True}, "(got 'true')"),
        ({"rooms": 1, "area": False}, "area: Input should be a valid number"),
        ({"rooms": 1, "area": float("nan")}, "area: Input should be a finite number"),
        ({"rooms": 1, "area": float("inf")}, "area: Input should be a finite number"),
        ({"rooms": 1, "size": [1, True]}, "size.1: Input should be a valid integer"),
        ({"rooms": 1, "main": {"kind": "cat", "whiskers": True}}, "main.whiskers: Input should be a valid integer"),
        ({"rooms": 1, "pets": [{"kind": "dog", "tricks": True}]}, "pets.0.tricks: Input should be a valid integer"),
        ({"rooms": 1, "pets": [{"kind": "cow"}]}, "got {'kind': 'cow'}"),
        ([1], "expected a mapping of keys, got list"),
    ],
)
def test_mistakes_are_named(data: object, message: str) -> None:
    with pytest.raises(SegError) as caught:
        parse(House, data, "house.yaml")
    assert str(caught.value).startswith("house.yaml: ")
    assert message in str(caught.value)


def test_keys_that_do_not_fit_together_are_named_without_all_the_others() -> None:
    for data, said in (
        ({"rooms": 0, "garden": True}, "house.yaml: a garden without rooms: add rooms"),
        ({"rooms": 1, "annex": {"rooms": 0, "garden": True}}, "house.yaml: annex: a garden without rooms: add rooms"),
    ):
        with pytest.raises(SegError) as caught:
            parse(House, data, "house.yaml")
        assert str(caught.value) == said


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(SegError) as caught:
        parse(House, {"rooms": "x", "pest": []}, "house.yaml")
    assert "rooms:" in str(caught.value)
    assert "did you mean 'pets'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_good_data_parse() -> None:
    house = parse(House, {"rooms": 2, "pets": [{"kind": "dog", "tricks": 4}]}, "house.yaml")
    assert house.pets == (Dog(kind="dog", tricks=4),)
    assert parse(House, {"rooms": 2, "area": 3, "size": [4, 5], "garden": True}, "house.yaml").garden is True


def test_nearest() -> None:
    assert nearest("epohcs", ["epochs", "seed"]) == "did you mean 'epochs'?"
    assert nearest("qqq", ["epochs", "seed"]) == "known: epochs, seed"


def test_read_yaml_names_what_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(SegError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(SegError, match="cannot be read"):
        read_yaml(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(SegError, match="cannot be read"):
        read_yaml(binary)
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1,\nb: 2")
    with pytest.raises(SegError, match="not valid YAML") as caught:
        read_yaml(broken)
    assert "\n" not in str(caught.value)


def test_a_key_given_twice_is_told_with_its_line(tmp_path: Path) -> None:
    """YAML keeps the last: a label file would lose a class in silence."""
    path = tmp_path / "labels.yaml"
    path.write_text("raw:\n  7: road\n  8: sky\n  7: lane\n")
    with pytest.raises(SegError, match=r"7 is given twice.*line 4"):
        read_yaml(path)
    path.write_text("base: &base {a: 1, b: 2}\nmore: {<<: *base, b: 3}\n")
    assert read_yaml(path) == {"base": {"a": 1, "b": 2}, "more": {"a": 1, "b": 3}}
    path.write_text("? [1, 2]\n: 3\n")
    with pytest.raises(SegError, match="not valid YAML"):
        read_yaml(path)
