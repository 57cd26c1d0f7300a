"""The base classes of commands, events and states: immutable structs, and the annotated types they share.

A class defines a message once: the codec, the JSON Schemas and the sentences of validation errors follow from it.
Reading a message checks all annotations; constructing one in code checks only its `__post_init__`.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, dataclass_transform

from msgspec import Meta, Struct, StructMeta, field
from pydantic import AwareDatetime, TypeAdapter, ValidationError

MAX_ID = 128  # in characters
MAX_TEXT = 1_000  # in characters
MAX_LINES = 200  # per order
MAX_QUANTITY = 1_000_000  # units per line
MAX_STOCK = 1_000_000_000_000  # units per product
MAX_MOVED = 2**51  # units a product ever received, for instance: the sum of three such totals is exact in JavaScript
MAX_VERSION = 2**53 - 1  # the largest integer that every JSON reader represents exactly; documents have 64 bits
MAX_AMOUNT = 1_000_000_000_000  # minor units per price
MAX_TOTAL = 1_000_000_000_000_000  # minor units per order


# --- annotations beyond msgspec's `Meta`; `streams.messages.models` turns them into sentences


class Without(Struct, frozen=True):
    """Text that must not contain these characters."""

    characters: str  # as within the brackets of a regular expression
    sentence: str


class Before(Struct, frozen=True):
    """A function that converts alternative spellings to the stored one, or raises ValueError."""

    function: Callable[[Any], Any]


class After(Struct, frozen=True):
    """A check of the whole value that raises ValueError; the struct's `__post_init__` makes the same check."""

    function: Callable[[Any], Any]


class Told(Struct, frozen=True):
    """The annotation used for error messages and JSON Schemas when the type itself accepts too much."""

    annotation: Any


class Also(Struct, frozen=True):
    """Alternative names that clients use for a field."""

    names: tuple[str, ...]


class Missing(ValueError):
    """A required field is missing; `name` is its name on the wire."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is missing")
        self.name = name


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
    """Return the time `value` in UTC as `2026-11-23T10:00:00.000Z`; a time without a zone is read as UTC."""
    if not isinstance(value, str):
        raise ValueError("must be a time like 2026-11-23T10:00:00.000Z")
    if _INSTANT.fullmatch(value):  # As in our own messages: only its numbers can be invalid.
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
        raise ValueError("must be in the years 1 to 9999") from None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def require_canonical(time: str) -> None:
    """Raise ValueError unless `time` is written as `instant` returns it."""
    if instant(time) != time:
        raise ValueError("must be a time like 2026-11-23T10:00:00.000Z")


Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID), PRINTABLE]
Text = Annotated[str, Meta(max_length=MAX_TEXT), READABLE]
Instant = Annotated[str, Before(instant)]
Quantity = Annotated[int, Meta(gt=0, le=MAX_QUANTITY)]
Units = Annotated[int, Meta(ge=0, le=MAX_STOCK)]


# --- structs


class _ByName(StructMeta):
    """Makes the fields of every subclass keyword-only; msgspec does not inherit that setting."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> Any:
        return super().__new__(cls, name, bases, namespace, **{"kw_only": True, **config})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class Value(Struct, metaclass=_ByName, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    """A value on the wire: camelCase, without fields that are None; unknown fields are ignored.

    Values are acyclic, so that the garbage collector need not track them.
    """


class Asked(Value, forbid_unknown_fields=True):
    """A value of a command: unknown fields are refused, because a request must not be silently ignored.

    Events and states contain some of these values too; `streams.messages.tolerant` ignores fields that newer code
    added.
    """


class Command(Asked):
    """A request to an aggregate; its class name is its type on the wire."""

    may_lack_data: ClassVar[bool] = (
        False  # whether older clients send the command without `data`, because it had no fields
    )


class Event(Value):
    """A fact about an aggregate; its class name is its type on the wire."""

    schema_version: ClassVar[int] = 1


def written(default: Any) -> Any:
    """Return a default that, unlike None, is written to the wire."""
    return field(default_factory=type(default) if default in (0, "") else lambda: default)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class State(Struct, frozen=True, gc=False, omit_defaults=True):
    """A value in memory and in changelogs: snake_case, without fields that have their default."""


def differing(asked: Struct, kept: Struct, compared: Mapping[str, bool]) -> list[str]:
    """Return the wire names of the fields in which `asked` differs from `kept`, where they have the same names.

    `compared` says of fields that are kept in another form whether they are the same. A field that is in neither raises
    AttributeError: a field that is added to a command cannot be left out of the comparison unnoticed.
    """
    names = zip(asked.__struct_fields__, asked.__struct_encode_fields__, strict=True)
    return [on_wire for name, on_wire in names if not _is_same(name, asked, kept, compared)]


def _is_same(name: str, asked: Struct, kept: Struct, compared: Mapping[str, bool]) -> bool:
    return compared[name] if name in compared else bool(getattr(asked, name) == getattr(kept, name))
