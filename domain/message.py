"""What every command and event is made of: frozen models, camelCase on the wire, and the values they share."""

import re
from datetime import UTC
from typing import Annotated, ClassVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

MAX_ID = 128  # characters
MAX_TEXT = 1_000  # characters
MAX_LINES = 200  # an order
MAX_QUANTITY = 1_000_000  # units a line
MAX_STOCK = 1_000_000_000_000  # units a product: far from the 64 bits documents have
MAX_AMOUNT = 1_000_000_000_000  # minor units a price
MAX_TOTAL = 1_000_000_000_000_000  # minor units an order

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_BREAKS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must not contain control characters")
    return text


def _readable(text: str) -> str:
    if _CONTROL_BUT_BREAKS.search(text):
        raise ValueError("must not contain control characters other than line breaks and tabs")
    return text


_DATETIME: TypeAdapter[AwareDatetime] = TypeAdapter(AwareDatetime)


def instant(value: object) -> str:
    """Return the time `value` as UTC with milliseconds, `2026-11-23T10:00:00.000Z`; a time without zone is UTC."""
    if not isinstance(value, str):
        raise ValueError("must be a time like 2026-11-23T10:00:00.000Z")
    if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        value += "T00:00:00Z"
    elif not re.search(r"(Z|[+-]\d\d:?\d\d)$", value, re.IGNORECASE):
        value += "Z"
    moment = _DATETIME.validate_strings(value).astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


Id = Annotated[str, Field(min_length=1, max_length=MAX_ID, strict=True), AfterValidator(_printable)]
Text = Annotated[str, Field(max_length=MAX_TEXT, strict=True), AfterValidator(_readable)]
Instant = Annotated[str, BeforeValidator(instant)]
Quantity = Annotated[int, Field(strict=True, gt=0, le=MAX_QUANTITY)]
Units = Annotated[int, Field(strict=True, ge=0, le=MAX_STOCK)]


class Value(BaseModel):
    """A frozen value that crosses the wire in camelCase; fields it does not know are ignored."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")


class Command(Value):
    """What somebody asks an aggregate to do; its class name is its type on the wire."""


class Event(Value):
    """What happened to an aggregate; its class name is its type on the wire."""

    schema_version: ClassVar[int] = 1
