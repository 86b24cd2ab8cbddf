"""The kinds of numbers that configs hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field


def _pair(value: object) -> object:
    if not (isinstance(value, list | tuple) and len(value) == 2):
        raise ValueError("expected [height, width], such as [512, 1024]")
    return value


Positive = Annotated[int, Field(ge=1)]
Size = Annotated[tuple[Positive, Positive], BeforeValidator(_pair)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
