"""Reads data from clients strictly: an unknown field is refused.

Events, changelogs and documents are read tolerantly, because newer code may have written them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, reduce
from operator import getitem
from typing import Any, TypeVar, get_args

from msgspec import Struct
from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo

from streams.messages.models import Model, as_struct, model_of
from streams.messages.spelling import LONGEST, unknown

C = TypeVar("C", bound=Struct)
M = TypeVar("M", bound=BaseModel)
MOST_ERRORS = 200  # the most errors that are listed
# Fields that clients of the previous system may send back as they received them, although only this service sets them.
# They are accepted and ignored; every other unknown field is refused. The key is the type of the command or HTTP body.
IGNORED: Mapping[str, frozenset[str]] = {
    "OrderRequest": frozenset({"status", "createdAt", "updatedAt"}),
    "PlaceOrder": frozenset({"status", "createdAt", "updatedAt"}),
    "SetStock": frozenset({"availableQuantity", "allocatedQuantity", "status", "createdAt", "updatedAt"}),
}


def read_command(kind: type[C], data: Any) -> C:
    """Return `data` as a command or a body; raise `ValidationError` with all errors if it is not one."""
    return as_struct(read(model_of(kind), data), kind)


def read(model: type[M], data: Any) -> M:
    """Return `data` as `model`; raise `ValidationError` if it is invalid or has unknown fields."""
    try:
        return model.model_validate(data, extra="forbid", by_alias=True, by_name=False)
    except ValidationError as error:
        if error.error_count() > MOST_ERRORS or (understood := _understood(model, error, data)) is data:
            raise
        data = understood
    return model.model_validate(data, extra="forbid", by_alias=True, by_name=False)


def _understood(model: type[BaseModel], error: ValidationError, data: Any) -> Any:
    """Return `data` without ignored fields and with canonical names; itself if nothing changes."""
    ignored = IGNORED.get(model.__name__, ())
    for item in error.errors(include_url=False, include_context=False):
        if item["type"] == "extra_forbidden":
            *around, name = path = item["loc"]
            if len(path) == 1 and name in ignored:
                data = _without(data, path)
            elif (meant := _spelled(model, path)) is not None:
                beside = reduce(getitem, around, data)
                if meant not in beside:
                    data = _with(_without(data, path), (*around, meant), beside[name])
                elif beside[meant] == beside[name]:
                    data = _without(data, path)
    return data


def _spelled(model: type[BaseModel], path: tuple[Any, ...]) -> str | None:
    """Return the canonical name of the field at `path`."""
    inner = _model_at(model, path[:-1])
    return inner.spellings.get(path[-1]) if inner else None


def _without(data: Any, path: Sequence[Any]) -> Any:
    """Return a copy of `data` without the field at `path`; other values are shared."""
    return _changed(data, path, lambda fields, name: fields.pop(name))


def _with(data: Any, path: Sequence[Any], value: Any) -> Any:
    """Return a copy of `data` with a field at `path`; other values are shared."""
    return _changed(data, path, lambda fields, name: fields.update({name: value}))


def _changed(data: Any, path: Sequence[Any], change: Callable[[dict[str, Any], str], Any]) -> Any:
    first, *rest = path
    copy: Any = list(data) if isinstance(data, list) else dict(data)
    if rest:
        copy[first] = _changed(copy[first], rest, change)
    else:
        change(copy, first)
    return copy


def field_errors(error: ValidationError, model: type[BaseModel]) -> dict[str, str]:
    """Return path → sentence for each error, such as `items.0.quantity` → `Input should be …`."""
    if (count := error.error_count()) > MOST_ERRORS:
        return {"data": f"{count} things are wrong with it: unknown fields, or values that cannot be"}
    found = error.errors(include_url=False, include_context=False, include_input=False)
    within = {item["loc"][:end] for item in found for end in range(len(item["loc"]))}
    return {
        ".".join(str(part)[:LONGEST] for part in item["loc"]) or "data": _sentence(item, model)
        for item in found
        if not (item["type"] == "too_short" and item["loc"] in within)  # its items were refused, not omitted
    }


def _sentence(item: Any, model: type[BaseModel]) -> str:
    if item["type"] != "extra_forbidden":
        return str(item["msg"].removeprefix("Value error, "))
    path = item["loc"]
    if (meant := _spelled(model, path)) is not None:
        return f"is given twice with different values: it is the same field as `{meant}`"
    inner = _model_at(model, path[:-1])
    return unknown("field", str(path[-1]), fields_at(model, path[:-1]), inner.spellings if inner else ())


@cache
def fields_at(model: type[BaseModel], path: tuple[Any, ...] = ()) -> tuple[str, ...]:
    """Return the names of the fields that an object at `path` of a model may have."""
    inner = _model_at(model, path)
    return tuple(_name(*field) for field in inner.model_fields.items()) if inner else ()


def _name(name: str, field: FieldInfo) -> str:
    match field.validation_alias:
        case AliasChoices(choices=[first, *_]):
            return str(first)
        case str(alias):
            return alias
    return name


@cache
def _model_at(model: type[BaseModel], path: tuple[Any, ...]) -> type[Model] | None:
    found = _model_in(model)
    for part in path:
        if isinstance(part, int) or found is None:
            continue  # skip the index of a list
        fields = (field for name, field in found.model_fields.items() if part == _name(name, field))
        found = next((_model_in(field.annotation) for field in fields), None)
    return found


def _model_in(annotation: Any) -> type[Model] | None:
    """Return the model in an annotation: `Address` of `Address | None`, `NewLine` of `tuple[NewLine, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)
