"""Values that do not change, without what Python asks for it."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make `cls` a dataclass with slots whose fields nothing assigns to: mypy refuses it, at run time nothing does.

    `dataclass(frozen=True)` assigns every field through `object.__setattr__`, which makes an order's line five times
    as expensive, and millions of them are made.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
