"""Two schemas of a topic's messages, and which of their differences break somebody.

Who sends commands must be understood by newer code as before: nothing is taken away from them, asked of them or
narrowed. Who reads events, outcomes and letters must find what was there before; and we read our own old events, so
that they may not be narrowed either. An event whose schema version was raised says so itself and has an upcaster.
"""

from ops.schemas.differences import Change, Comparison, Schema


def compare(topic: str, old: Schema, new: Schema, taken: bool) -> list[Change]:
    """Return the differences of a topic's messages; `taken`: we read what others send, else they read ours."""
    if old == new:
        return []
    olds, news = _by_type(old), _by_type(new)
    changes = [Change(f"{topic} {name}", "the message is gone", True) for name in olds.keys() - news.keys()]
    changes += [Change(f"{topic} {name}", "a new message") for name in news.keys() - olds.keys()]
    for name in olds.keys() & news.keys():
        changes += _message(f"{topic} {name}", olds[name], news[name], Comparison(old, new, taken))
    return sorted(changes) or [Change(topic, "only words")]


def _by_type(schema: Schema) -> dict[str, Schema]:
    return {each["properties"]["type"]["const"]: each for each in schema["oneOf"]}


def _message(name: str, old: Schema, new: Schema, comparison: Comparison) -> list[Change]:
    was, now = _version(old), _version(new)
    changes = list(comparison.of(name, _unversioned(old), _unversioned(new)))
    if was == now:
        return changes
    if was is None or now is None or now < was:
        return [*changes, Change(name, f"schemaversion {was} → {now}", True)]
    declared = [Change(change.where, f"{change.what} (declared by the version)") for change in changes]
    return [Change(name, f"schemaversion {was} → {now}: readers of it must know the new one first"), *declared]


def _version(message: Schema) -> int | None:
    found = message["properties"].get("schemaversion", {}).get("const")
    return int(found) if found is not None else None


def _unversioned(message: Schema) -> Schema:
    properties = {name: each for name, each in message["properties"].items() if name != "schemaversion"}
    return {**message, "properties": properties}
