"""The index that answers a question about a list, so that a page reads hardly more than it shows. Pure.

An index on (a, b, sort key, `_id`) has the answer to a question with one value of `a` and `b` in one place, in order.
For several values, MongoDB merges one scan per combination. A question without `a` is a question with all values of
`a`, if `a` has few (`values` of `projections.projection.Model`).

MongoDB chooses an index by trying several, and keeps its choice for questions of the same form, although another one
may be better for other values. It is therefore told which one to use.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from pymongo import IndexModel

from projections.document import Document

SCANS = 150  # MongoDB merges at most 200 scans in one query, and sorts in memory beyond

Key = list[tuple[str, int]]


class Plan(NamedTuple):
    """The index to use (`hint`), and the equalities of each query; the answer is the union of all queries."""

    hint: Key
    equalities: tuple[Document, ...]


def plan(
    indexes: Iterable[IndexModel], values: Mapping[str, Sequence[Any]], where: Mapping[str, Any], key: str
) -> Plan | None:
    """Return how to find the documents `where` fields have values, sorted by `key`; None if no index is made for it."""
    found = [(index, wanted) for index in indexes if (wanted := _wanted(index, values, where, key)) is not None]
    if not found:
        return None
    best, wanted = min(found, key=lambda each: prod(map(len, each[1].values())))
    return Plan(list(best.document["key"].items()), tuple(_split(wanted)))


def _wanted(
    index: IndexModel, values: Mapping[str, Sequence[Any]], where: Mapping[str, Any], key: str
) -> dict[str, list[Any]] | None:
    """Return the wanted values of the fields before the sort key; None if the index does not have the answer."""
    fields, partial = list(index.document["key"]), index.document.get("partialFilterExpression", {})
    end = ["_id"] if key == "_id" else [key, "_id"]
    begin = fields[: -len(end)]
    if fields[-len(end) :] != end or not all(_implies(where.get(name), each) for name, each in partial.items()):
        return None
    if where.keys() - set(begin) - partial.keys() or any(name not in where and name not in values for name in begin):
        return None
    return {name: _values(where[name]) if name in where else list(values[name]) for name in begin}


def _implies(asked: Any, partial: Any) -> bool:
    """Return whether documents with a value that is asked for are part of a partial index."""
    if partial != {"$gt": ""} or (isinstance(asked, Mapping) and "$gt" in asked):
        return bool(asked == partial)
    return asked is not None and all(isinstance(each, str) and each > "" for each in _values(asked))


def _values(condition: Any) -> list[Any]:
    return list(condition["$in"]) if isinstance(condition, dict) else [condition]


def _split(wanted: Mapping[str, list[Any]]) -> Iterable[Document]:
    """Yield the equalities in as many queries as are needed to keep each within `SCANS`."""
    scans = prod(map(len, wanted.values()))
    if scans <= SCANS:
        yield {name: each[0] if len(each) == 1 else {"$in": each} for name, each in wanted.items()}
        return
    name = max(wanted, key=lambda each: len(wanted[each]))
    half = len(wanted[name]) // 2
    for some in (wanted[name][:half], wanted[name][half:]):
        yield from _split({**wanted, name: some})
