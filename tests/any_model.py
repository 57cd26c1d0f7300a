"""Structs of any values, for hypothesis."""

from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import fields

from domain.address import Sealed
from domain.message import instant

WORDS = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and text.strip() != "")
SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "currency": st.sampled_from(["EUR", "JPY", "KWD"]),
    "issued_at": st.none() | st.datetimes().map(lambda time: instant(f"{time.isoformat()}Z")),
}


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of a type that are valid whatever the field is."""
    arguments = get_args(kind)
    if kind == Sealed:
        return WORDS.map("sealed:{}".format)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return st.fixed_dictionaries(any_fields(kind)).map(lambda values: kind(**values))
    if get_origin(kind) in (Union, UnionType):
        return st.one_of([any_of(each) for each in arguments])
    if get_origin(kind) is Annotated:
        return any_of(arguments[0])
    if get_origin(kind) is tuple:
        return st.lists(any_of(arguments[0]), min_size=1, max_size=3).map(tuple)
    if get_origin(kind) is dict:
        return st.dictionaries(WORDS, WORDS | st.integers(0, 9) | st.none(), max_size=2)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    return {str: WORDS, int: st.integers(1, 1_000_000), bool: st.booleans(), NoneType: st.none()}[kind]


def any_fields(kind: Any) -> dict[str, st.SearchStrategy[Any]]:
    """Return a strategy for each field of a struct."""
    hints = get_type_hints(kind, include_extras=True)
    types = {field.name: hints[field.name] for field in fields(kind)}
    return {name: SPECIAL[name] if name in SPECIAL else any_of(each) for name, each in types.items()}
