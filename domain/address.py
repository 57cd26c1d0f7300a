"""Postal addresses."""

from typing import Annotated

from pydantic import AliasChoices, AliasGenerator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from .message import Text, Value

Line = Annotated[Text, Field(min_length=1, max_length=200)]


class Address(Value):
    """Where an order goes; the seed system's clients write `zipcode`, ours answers `zipCode`."""

    model_config = ConfigDict(alias_generator=AliasGenerator(serialization_alias=to_camel))

    street: Line
    city: Line
    state: Annotated[Text, Field(max_length=200)] = ""
    zip_code: Line = Field(
        validation_alias=AliasChoices("zipCode", "zipcode", "zip_code"), serialization_alias="zipCode"
    )
    country: Line
