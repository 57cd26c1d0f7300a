"""Postal addresses."""

from typing import Annotated

from pydantic import AliasChoices, AliasGenerator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from .message import READABLE, Value

MAX_PART = 200  # characters
Line = Annotated[str, Field(min_length=1, max_length=MAX_PART, strict=True), READABLE]
Region = Annotated[str, Field(max_length=MAX_PART, strict=True), READABLE]


class Address(Value):
    """Where an order goes; the seed system's clients write `zipcode`, ours answers `zipCode`."""

    model_config = ConfigDict(alias_generator=AliasGenerator(serialization_alias=to_camel))

    street: Line
    city: Line
    state: Region = ""
    zip_code: Line = Field(
        validation_alias=AliasChoices("zipCode", "zipcode", "zip_code"), serialization_alias="zipCode"
    )
    country: Line
