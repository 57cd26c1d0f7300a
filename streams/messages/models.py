"""Pydantic models made from our structs: they explain errors field by field, and produce the JSON Schemas.

Messages are read by msgspec, which is many times faster but refuses with a single sentence. A message that it refuses
is read again by the struct's model, which names each field that is wrong, and understands other spellings.
"""

from collections.abc import Callable, Mapping
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from domain.message import After, Also, Before, Missing, Told, Without

S = TypeVar("S", bound=Struct)
BOUNDS = ("gt", "ge", "lt", "le", "min_length", "max_length", "pattern")


class Model(BaseModel):
    """A value that clients send, in camelCase; `strict.read` refuses unknown fields."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")
    spellings: ClassVar[Mapping[str, str]] = {}  # other names that clients use for a field → its name on the wire

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add to the schema of a value that clients send that it has no other fields, and their other spellings."""
        found = handler(core)
        if handler.mode == "validation":
            schema = handler.resolve_ref_schema(found)
            schema["additionalProperties"] = False
            for other, name in cls.spellings.items():
                schema["properties"][other] = {**schema["properties"][name], "description": f"The same as `{name}`."}
        return found


@cache
def model_of(kind: type[Struct]) -> type[Model]:
    """Return the model of a struct."""
    hints = get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {
        each.name: (translated(hints[each.name]), _field(each, hints[each.name]))
        for each in msgspec.structs.fields(kind)
    }
    checks: dict[str, Any] = {"check": _check(kind)} if hasattr(kind, "__post_init__") else {}
    model = create_model(kind.__name__, __base__=Model, __doc__=kind.__doc__, __validators__=checks, **fields)
    model.spellings = getattr(kind, "spellings", {})
    return model


def as_struct(model: BaseModel, kind: type[S]) -> S:
    """Return the value of a model as the struct it was made from."""
    return msgspec.convert(model, kind, from_attributes=True)


def translated(annotation: Any) -> Any:
    """Return a struct's annotation as pydantic understands it."""
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return model_of(annotation)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        kind, *more = parts
        if (told := next((one.annotation for one in more if isinstance(one, Told)), None)) is not None:
            return translated(told)
        return Annotated[(translated(kind), *[_rule(one, kind) for one in more if not isinstance(one, Also)])]
    if origin in (Union, UnionType):
        return reduce(or_, [translated(part) for part in parts])
    if origin is tuple:
        item: Any = translated(parts[0])
        return tuple[item, ...]
    return annotation


def _field(one: msgspec.structs.FieldInfo, annotation: Any) -> Any:
    default = ... if one.default is msgspec.NODEFAULT else one.default
    if one.default_factory is not msgspec.NODEFAULT:
        default = one.default_factory()
    also = [each for each in get_args(annotation)[1:] if isinstance(each, Also)]
    if not also:
        return default
    return Field(
        default, validation_alias=AliasChoices(one.encode_name, *also[0].names), serialization_alias=one.encode_name
    )


def _rule(rule: Any, kind: Any) -> Any:
    """Return what an annotation says about a value as pydantic understands it."""
    match rule:
        case Meta():
            bounds = {name: bound for name in BOUNDS if (bound := getattr(rule, name)) is not None}
            return Field(strict=kind in (str, int) or None, **bounds)
        case Without():
            return _Refusing(rule)
        case Before(function):
            return BeforeValidator(function)
        case After(function):
            return AfterValidator(_checked(function))
    return rule


class _Refusing:
    """Refuses text with some characters in pydantic's core, which is faster than Python."""

    def __init__(self, without: Without) -> None:
        self._without = without

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        pattern = core_schema.str_schema(pattern=f"^[^{self._without.characters}]*$")
        sentence = self._without.sentence
        check = core_schema.custom_error_schema(pattern, "control_characters", custom_error_message=sentence)
        return core_schema.chain_schema([handler(source), check])


def _checked(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        try:
            return function(value)
        except Missing as missing:
            error: Any = {"type": "missing", "loc": (missing.name,), "input": value}
            raise ValidationError.from_exception_data(type(value).__name__, [error]) from None

    return check


def _check(kind: type[Struct]) -> Any:
    """Return the struct's own check as a validator of its model."""

    def check(self: Any) -> Any:
        kind.__post_init__(self)  # type: ignore[attr-defined]
        return self

    return model_validator(mode="after")(check)
