"""Data that others send, read strictly: what is not understood is refused, never guessed.

Events, changelogs and documents are read tolerantly by the same models, because newer code may have written them.
"""

from collections.abc import Iterator, Mapping
from functools import cache, reduce
from operator import getitem
from typing import Any, TypeVar, get_args

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo

from domain.message import Value

from .spelling import LONGEST, unknown

Model = TypeVar("Model", bound=BaseModel)
MOST_ERRORS = 200  # that are told one by one
# Fields that the previous system's clients may send back as they were shown, and that only this service decides.
# They are accepted and ignored; every other unknown field is refused. By the command's type, or its HTTP body's.
IGNORED: Mapping[str, frozenset[str]] = {
    "OrderRequest": frozenset({"status", "createdAt", "updatedAt"}),
    "PlaceOrder": frozenset({"status", "createdAt", "updatedAt"}),
    "SetStock": frozenset({"availableQuantity", "allocatedQuantity", "status", "createdAt", "updatedAt"}),
}


def read(model: type[Model], data: Any) -> Model:
    """Return `data` as `model`, in camelCase and without unknown fields; raise `ValidationError` when it is not."""
    validate = model.__pydantic_validator__.validate_python
    try:
        return validate(data, extra="forbid", by_alias=True, by_name=False)  # type: ignore[no-any-return]
    except ValidationError as error:
        if error.error_count() > MOST_ERRORS or not (harmless := list(_harmless(model, error, data))):
            raise
    for path in harmless:
        data = _without(data, path)
    return validate(data, extra="forbid", by_alias=True, by_name=False)  # type: ignore[no-any-return]


def _harmless(model: type[BaseModel], error: ValidationError, data: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of fields that change nothing: ignored ones, and second spellings with the same value."""
    ignored = IGNORED.get(model.__name__, ())
    for item in error.errors(include_url=False, include_context=False):
        path = item["loc"]
        if item["type"] == "extra_forbidden" and (
            (len(path) == 1 and path[0] in ignored) or _repeats(_spellings(model, path), path, data)
        ):
            yield path


def _repeats(spellings: list[str], path: tuple[Any, ...], data: Any) -> bool:
    """Whether the field at `path` has the value that was read under another of its spellings."""
    around = reduce(getitem, path[:-1], data)
    read_under = next((name for name in spellings if name in around), path[-1])
    return bool(read_under != path[-1] and around[read_under] == around[path[-1]])


def _without(data: Any, path: tuple[Any, ...]) -> Any:
    """Return a copy of `data` without the field at `path`; what is beside the path is shared."""
    first, *rest = path
    if not rest:
        return {name: value for name, value in data.items() if name != first}
    changed = list(data) if isinstance(data, list) else dict(data)
    changed[first] = _without(changed[first], tuple(rest))
    return changed


def field_errors(error: ValidationError, model: type[BaseModel]) -> dict[str, str]:
    """Return path → sentence of what is wrong, `items.0.quantity` → `Input should be …`."""
    if (count := error.error_count()) > MOST_ERRORS:
        return {"data": f"{count} things are wrong with it: unknown fields, or values that cannot be"}
    found = error.errors(include_url=False, include_context=False, include_input=False)
    within = {item["loc"][:end] for item in found for end in range(len(item["loc"]))}
    return {
        ".".join(str(part)[:LONGEST] for part in item["loc"]) or "data": _sentence(item, model)
        for item in found
        if not (item["type"] == "too_short" and item["loc"] in within)  # its items were refused, not left out
    }


def _sentence(item: Any, model: type[BaseModel]) -> str:
    if item["type"] != "extra_forbidden":
        return str(item["msg"].removeprefix("Value error, "))
    path = item["loc"]
    if spellings := _spellings(model, path):
        others = ", ".join(f"`{each}`" for each in spellings if each != path[-1])
        return f"is given twice with different values: it is the same field as {others}"
    return unknown("field", str(path[-1]), fields_at(model, path[:-1]))


def _spellings(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Return the spellings of the field at `path`, in the order they are looked for; none when no field is there."""
    inner = _model_at(model, path[:-1])
    found = (_names(*field) for field in inner.model_fields.items()) if inner else ()
    return next((names for names in found if path[-1] in names), [])


@cache
def fields_at(model: type[BaseModel], path: tuple[Any, ...] = ()) -> tuple[str, ...]:
    """Return the names of the fields that an object at `path` of a model may have."""
    inner = _model_at(model, path)
    return tuple(_names(*field)[0] for field in inner.model_fields.items()) if inner else ()


def _names(name: str, field: FieldInfo) -> list[str]:
    match field.validation_alias:
        case AliasChoices(choices=choices):
            return [str(each) for each in choices]
        case str(alias):
            return [alias]
    return [name]


@cache
def _model_at(model: type[BaseModel], path: tuple[Any, ...]) -> type[BaseModel] | None:
    found: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int) or found is None:
            continue  # an item of a list is what the list is of
        fields = (field for name, field in found.model_fields.items() if part in _names(name, field))
        found = next((_model_in(field.annotation) for field in fields), None)
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model an annotation is about: `Address` of `Address | None`, `NewLine` of `tuple[NewLine, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, Value):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)
