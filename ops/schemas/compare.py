"""Compare two schemas of a topic's messages, and decide which differences break clients.

Newer code must accept all commands that clients send today: no field may be removed, become required or be narrowed.
Readers of events, outcomes and letters must find all fields that existed before. Events may not be narrowed either,
because this service reads its old events. An event with a raised schema version declares its changes and has an
upcaster.
"""

from ops.schemas.differences import Change, Comparison, Schema


def compare(topic: str, old: Schema, new: Schema, taken: bool) -> list[Change]:
    """Return the differences; `taken`: clients send these messages, otherwise they read them."""
    if old == new:
        return []
    olds, news = _by_type(old), _by_type(new)
    changes = [Change(f"{topic} {name}", "the message was removed", True) for name in olds.keys() - news.keys()]
    changes += [Change(f"{topic} {name}", "the message is new") for name in news.keys() - olds.keys()]
    for name in olds.keys() & news.keys():
        changes += _message(f"{topic} {name}", olds[name], news[name], Comparison(old, new, taken))
    return sorted(changes) or [Change(topic, "only descriptions changed")]


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
    return [Change(name, f"schemaversion {was} → {now}: readers must be upgraded first"), *declared]


def _version(message: Schema) -> int | None:
    found = message["properties"].get("schemaversion", {}).get("const")
    return int(found) if found is not None else None


def _unversioned(message: Schema) -> Schema:
    properties = {name: each for name, each in message["properties"].items() if name != "schemaversion"}
    return {**message, "properties": properties}
