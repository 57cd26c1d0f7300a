"""The fast reader of commands accepts only commands that the explaining reader accepts, and reads them alike."""

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import MsgspecError

from streams.messages import codec
from streams.messages.codec import INVENTORY_COMMANDS, ORDER_COMMANDS, RecordAt, decode_command
from web.documents.asyncapi_examples import examples

ODD = [None, 0, -1, 1.5, 1.0, True, "", "x" * 129, "a\nb", "a\x00", "\u2028", "é漢", "x" * 1001, [], {}, [1], 10**13,
       10**20, "EUR", "XXX", "2026-13-01", "2026-11-23", {"amount": 1, "currency": "EUR"}, "PARTIAL", "a\x7fb",
       "a\x85b", "\\", '"', [{}]]  # fmt: skip
NAMES = ["line_id", "lineId", "zip_code", "zipCode", "zipcode", "recipient", "unknown", "totalCost", "policy", "reason",
         "keep", "issuedAt", "expectedversion", "orderId", "productId", "status"]  # fmt: skip
TYPES = [(name, types) for types in (ORDER_COMMANDS, INVENTORY_COMMANDS) for name in types]


def paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [found for name, each in items for found in ((*path, name), *paths(each, (*path, name)))]


def mutate(envelope: dict[str, Any], draw: st.DataObject) -> None:
    *way, last = draw.draw(st.sampled_from(paths(envelope) or [("data",)]))
    parent: Any = envelope
    for name in way:
        parent = parent[name]
    match draw.draw(st.sampled_from(["remove", "rename", "add", "set"])):
        case "remove" if last in parent or isinstance(parent, list):
            parent.pop(last)
        case "rename" if isinstance(parent, dict) and last in parent:
            parent[draw.draw(st.sampled_from(NAMES))] = parent.pop(last)
        case "add" if isinstance(parent, dict):
            parent[draw.draw(st.sampled_from(NAMES))] = copy.deepcopy(draw.draw(st.sampled_from(ODD)))
        case _:
            parent[last] = copy.deepcopy(draw.draw(st.sampled_from(ODD)))


@given(st.data(), st.integers(0, 3), st.booleans())
def test_both_readers_agree(draw: st.DataObject, mutations: int, escaped: bool) -> None:
    name, types = draw.draw(st.sampled_from(TYPES))
    envelope = {"specversion": "1.0", "id": "c-1", "type": name, "source": "web", "subject": "o-1",
                "correlationid": "c-1", "time": "2026-11-23T10:00:00.000Z",
                "data": json.loads(json.dumps(examples()[name]))}  # fmt: skip
    for _ in range(mutations):
        mutate(envelope, draw)
    value = json.dumps(envelope, ensure_ascii=escaped).encode()
    at = RecordAt("commands", 0, 7, 1_795_428_000.0, b"o-1")
    id_field = "orderId" if types is ORDER_COMMANDS else "productId"
    try:
        quick = codec._usual(value, at, types)
    except (MsgspecError, ValueError):
        quick = None
    if mutations == 0:
        assert quick is not None
    if quick is not None:
        assert quick == codec._explained(value, at, types, id_field, ())
        assert quick == decode_command(value, at, types, id_field)
