"""Reads values that newer code may have written: unknown fields are ignored.

Events and states ignore unknown fields by themselves; the values that they share with commands refuse them.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Struct

T = TypeVar("T")


def known(data: Any, kind: type[T]) -> T:
    """Return JSON's objects, arrays and scalars as `kind`."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError:
        return msgspec.convert(_without_unknown(data, kind), kind)


def known_in(value: Any, kind: type[T], decode: Callable[[Any], T]) -> T:
    """Return the JSON in `value` as `kind`, whose decoder is `decode`."""
    try:
        return decode(value)
    except msgspec.ValidationError:
        return known(msgspec.json.decode(value), kind)


def _without_unknown(data: Any, annotation: Any) -> Any:
    if isinstance(data, list | tuple):
        return [_without_unknown(each, annotation) for each in data]
    struct = _struct_in(annotation)
    if not isinstance(data, dict) or struct is None:
        return data
    hints = _hints(struct)
    return {name: _without_unknown(value, hints[name]) for name, value in data.items() if name in hints}


@cache
def _hints(struct: type[Struct]) -> dict[str, Any]:
    hints = get_type_hints(struct)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}


@cache
def _struct_in(annotation: Any) -> type[Struct] | None:
    """Return the struct in an annotation: `Address` of `Address | None`, `Line` of `tuple[Line, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return annotation
    return next((found for each in get_args(annotation) if (found := _struct_in(each))), None)
