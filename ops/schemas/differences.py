"""Find the differences of two JSON schemas, limited to the keywords that pydantic uses for our messages."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Schema = Mapping[str, Any]
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")  # narrower when larger
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")  # narrower when smaller
WORDS = frozenset({"title", "description", "examples", "$defs", "$schema"})
_MISSING: Any = object()


class Change(NamedTuple):
    """A difference: its place, a description, and whether it breaks clients."""

    where: str
    what: str
    breaking: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares schemas of two documents; `taken`: clients send these messages, otherwise they read them."""

    old: Schema
    new: Schema
    taken: bool

    def of(self, where: str, old: Schema, new: Schema) -> Iterator[Change]:
        """Yield the differences of two schemas."""
        old, new = _resolved(old, self.old), _resolved(new, self.new)
        if "anyOf" in old or "anyOf" in new:
            yield from self._alternatives(where, old, new)
            return
        yield from self._values(where, old, new)
        yield from self._bounds(where, old, new)
        if "properties" in old or "properties" in new:
            yield from self._properties(where, old, new)
        if (closed := new.get("additionalProperties") is False) != (old.get("additionalProperties") is False):
            what = "unknown fields are now refused" if closed else "unknown fields are now possible"
            yield Change(where, what, closed or not self.taken)
        if "items" in old and "items" in new:
            yield from self.of(f"{where}[]", old["items"], new["items"])
        for name in (old.keys() | new.keys()) - _UNDERSTOOD:
            if old.get(name) != new.get(name):  # an unknown keyword is treated as breaking
                yield Change(where, f"{name} was {old.get(name)!r}, is {new.get(name)!r}", True)

    def _alternatives(self, where: str, old: Schema, new: Schema) -> Iterator[Change]:
        olds, news = _by_kind(old, self.old), _by_kind(new, self.new)
        for kind in sorted(olds.keys() - news.keys()):
            yield Change(where, f"{kind} is no longer possible", True)
        for kind in sorted(news.keys() - olds.keys()):
            yield Change(where, f"{kind} is now possible", not self.taken)
        for kind in sorted(olds.keys() & news.keys()):
            yield from self.of(where, olds[kind], news[kind])
        yield from self._default(where, old, new)

    def _values(self, where: str, old: Schema, new: Schema) -> Iterator[Change]:
        if (was := _kind(old)) != (now := _kind(new)):
            wider = was == "integer" and now == "number" and self.taken
            yield Change(where, f"the type was {was}, is {now}", not wider)
            return
        olds, news = _allowed(old), _allowed(new)
        if olds is None or news is None:
            if olds != news:
                narrower = olds is None
                yield Change(where, "only some values are now possible" if narrower else "any value is now possible",
                             narrower or not self.taken)  # fmt: skip
        else:
            for value in sorted(olds - news):
                yield Change(where, f"{value} is no longer possible", True)
            for value in sorted(news - olds):
                yield Change(where, f"{value} is now possible", not self.taken)
        yield from self._default(where, old, new)

    def _default(self, where: str, old: Schema, new: Schema) -> Iterator[Change]:
        was, now = old.get("default", _MISSING), new.get("default", _MISSING)
        if _MISSING not in (was, now) and was != now:
            yield Change(where, f"the default was {was!r}, is {now!r}", True)

    def _bounds(self, where: str, old: Schema, new: Schema) -> Iterator[Change]:
        for names, sign in ((LOWER, 1), (UPPER, -1)):
            for name in names:
                was, now = old.get(name), new.get(name)
                if was != now:
                    narrower = now is not None and (was is None or sign * now > sign * was)
                    yield Change(where, f"{name} was {was}, is {now}: {'narrower' if narrower else 'wider'}", narrower)
        if old.get("pattern") != new.get("pattern"):
            what = f"pattern was {old.get('pattern')!r}, is {new.get('pattern')!r}"
            yield Change(where, what, new.get("pattern") is not None)

    def _properties(self, where: str, old: Schema, new: Schema) -> Iterator[Change]:
        olds, news = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        gone, added = sorted(olds.keys() - news.keys()), sorted(news.keys() - olds.keys())
        for name in gone:
            same = [other for other in added if _bare(news[other]) == _bare(olds[name])]
            yield Change(
                f"{where}.{name}", f"the field was renamed to {same[0]}" if same else "the field was removed", True
            )
        for name in added:
            yield Change(
                f"{where}.{name}",
                "the field is new and required" if name in needs else "the field is new",
                name in needs,
            )
        for name in sorted(olds.keys() & news.keys()):
            if name in needs - needed:
                yield Change(f"{where}.{name}", "the field is now required", True)
            if name in needed - needs:
                yield Change(f"{where}.{name}", "the field may now be missing", not self.taken)
            yield from self.of(f"{where}.{name}", olds[name], news[name])


_UNDERSTOOD = WORDS | {
    *(*LOWER, *UPPER, "pattern", "properties", "additionalProperties", "required", "items"),
    *("type", "enum", "const", "default"),
}


def _resolved(schema: Schema, document: Schema) -> Schema:
    while "$ref" in schema:
        rest = {name: each for name, each in schema.items() if name != "$ref"}
        schema = {**document["$defs"][schema["$ref"].removeprefix("#/$defs/")], **rest}
    return schema


def _by_kind(schema: Schema, document: Schema) -> dict[str, Schema]:
    each = [_resolved(one, document) for one in schema.get("anyOf", [schema])]
    return {_kind(one): one for one in each}


def _kind(schema: Schema) -> str:
    """Return the JSON type of a schema; if it only lists values, the type of the first."""
    if "type" in schema:
        return str(schema["type"])
    values = _allowed(schema)
    return "string" if values and all(value.startswith("'") for value in values) else "any"


def _allowed(schema: Schema) -> frozenset[str] | None:
    """Return the values that a schema lists, as text; None if it does not list any."""
    if "const" in schema:
        return frozenset({repr(schema["const"])})
    return frozenset(map(repr, schema["enum"])) if "enum" in schema else None


def _bare(schema: Schema) -> Schema:
    return {name: each for name, each in schema.items() if name not in WORDS}
