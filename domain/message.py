"""What every command and event is made of: frozen models, camelCase on the wire, and the values they share."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

MAX_ID = 128  # characters
MAX_TEXT = 1_000  # characters
MAX_LINES = 200  # an order
MAX_QUANTITY = 1_000_000  # units a line
MAX_STOCK = 1_000_000_000_000  # units a product
MAX_MOVED = 2**51  # units a product ever received, for instance: any sum of three such totals is exact in JavaScript
MAX_VERSION = 2**53 - 1  # the largest whole number that every JSON reader has exactly; documents have 64 bits
MAX_AMOUNT = 1_000_000_000_000  # minor units a price
MAX_TOTAL = 1_000_000_000_000_000  # minor units an order


@dataclass(frozen=True, slots=True)
class Without:
    """Refuses text with characters of a class; checked in pydantic's core, faster than Python could."""

    characters: str  # as in a regular expression's brackets
    sentence: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        pattern = core_schema.str_schema(pattern=f"^[^{self.characters}]*$")
        check = core_schema.custom_error_schema(pattern, "control_characters", custom_error_message=self.sentence)
        return core_schema.chain_schema([handler(source), check])


PRINTABLE = Without(r"\x00-\x1f\x7f-\x9f\u2028\u2029", "must not contain control characters")
READABLE = Without(
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f",
    "must not contain control characters other than line breaks and tabs",
)
_DATETIME: TypeAdapter[AwareDatetime] = TypeAdapter(AwareDatetime)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ZONED = re.compile(r"(Z|[+-]\d\d:?\d\d)$", re.IGNORECASE | re.ASCII)


def instant(value: object) -> str:
    """Return the time `value` as UTC with milliseconds, `2026-11-23T10:00:00.000Z`; a time without zone is UTC."""
    if not isinstance(value, str):
        raise ValueError("must be a time like 2026-11-23T10:00:00.000Z")
    if _INSTANT.fullmatch(value):  # what our own messages carry: only its numbers can be wrong
        datetime.fromisoformat(value)
        return value
    if _DAY.fullmatch(value):
        value += "T00:00:00Z"
    elif not _ZONED.search(value):
        value += "Z"
    try:
        moment = _DATETIME.validate_strings(value).astimezone(UTC)
    except ValidationError:
        raise ValueError("must be a time like 2026-11-23T10:00:00.000Z") from None
    except OverflowError:
        raise ValueError("must be a time between the years 1 and 9999") from None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Id = Annotated[str, Field(min_length=1, max_length=MAX_ID, strict=True), PRINTABLE]
Text = Annotated[str, Field(max_length=MAX_TEXT, strict=True), READABLE]
Instant = Annotated[str, BeforeValidator(instant)]
Quantity = Annotated[int, Field(strict=True, gt=0, le=MAX_QUANTITY)]
Units = Annotated[int, Field(strict=True, ge=0, le=MAX_STOCK)]


class Value(BaseModel):
    """A frozen value that crosses the wire in camelCase.

    In what we wrote ourselves, unknown fields are ignored, because newer code may have written it. In commands they are
    refused (`streams.messages.strict` reads them), because what they ask for would be ignored.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")
    spellings: ClassVar[Mapping[str, str]] = {}  # how others write a field's name → its name on the wire

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Say of what is sent to us (only commands and HTTP bodies are validated) that it has no other fields."""
        found = handler(core)
        if handler.mode == "validation":
            schema = handler.resolve_ref_schema(found)
            schema["additionalProperties"] = False
            for other, name in cls.spellings.items():
                schema["properties"][other] = {**schema["properties"][name], "description": f"The same as `{name}`."}
        return found


class Command(Value):
    """What somebody asks an aggregate to do; its class name is its type on the wire."""

    model_config = ConfigDict(extra="forbid")


class Fact(Value):
    """A value that decisions make of what was validated before: making one checks nothing, reading one does.

    Validating once more what was just decided would take a quarter of a decision's time.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.__init__ = _maker(cls)  # type: ignore[method-assign]


def _maker(cls: type[BaseModel]) -> Callable[..., None]:
    """Return an `__init__` that sets what pydantic's sets, written by the fields as `dataclass` writes its own."""
    fields = cls.model_fields.items()
    asked = [name if field.is_required() else f"{name}=_{name}" for name, field in fields]
    scope: dict[str, Any] = {f"_{name}": field.default for name, field in fields if not field.is_required()}
    scope |= {f"set{slot}": BaseModel.__dict__[slot].__set__ for slot in BaseModel.__slots__}
    source = f"""def __init__(self, {"*, " if asked else ""}{", ".join(asked)}):
        set__dict__(self, {{{", ".join(f"{name!r}: {name}" for name, _ in fields)}}})
        set__pydantic_fields_set__(self, names)
        set__pydantic_extra__(self, None)
        set__pydantic_private__(self, None)"""
    scope["names"] = {name for name, _ in fields}
    exec(source, scope)
    maker: Callable[..., None] = scope["__init__"]
    maker.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # so that reading one does not come by here
    return maker


class Event(Fact):
    """What happened to an aggregate; its class name is its type on the wire."""

    schema_version: ClassVar[int] = 1
