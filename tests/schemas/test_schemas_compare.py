"""Which changes of a message break readers or writers: tried on the committed schemas."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import typer

from ops.schemas import __main__ as command
from ops.schemas.compare import compare
from ops.schemas.made import made, text_of

Edit = Callable[[dict[str, Any]], Any]
TODAY = made()


def changed(topic: str, edit: Edit) -> list[tuple[bool, str]]:
    """Return (breaking, sentence) for the change that `edit` makes to the definitions of a topic."""
    new = copy.deepcopy(TODAY[topic])
    edit(new["$defs"])
    return [(each.breaking, str(each)) for each in compare(topic, TODAY[topic], new, topic.endswith("commands"))]


def field(name: str, of: str, **changes: Any) -> Edit:
    return lambda defs: defs[of]["properties"][name].update(changes)


def added(name: str, of: str, required: bool = False) -> Edit:
    def edit(defs: dict[str, Any]) -> None:
        defs[of]["properties"][name] = {"type": "string"}
        defs[of].setdefault("required", []).extend([name] if required else [])

    return edit


def renamed(name: str, to: str, of: str) -> Edit:
    def edit(defs: dict[str, Any]) -> None:
        defs[of]["properties"][to] = defs[of]["properties"].pop(name)

    return edit


BREAKING: list[tuple[str, Edit, str]] = [
    (
        "order-commands",
        lambda defs: defs["Hold"]["properties"].pop("reason"),
        "Hold.data.reason: the field was removed",
    ),
    ("order-commands", renamed("reason", "why", "Hold"), "Hold.data.reason: the field was renamed to why"),
    ("order-commands", added("by", "Hold", required=True), "Hold.data.by: the field is new and required"),
    ("order-commands", lambda defs: defs["Hold"].update(required=["reason"]), "reason: the field is now required"),
    ("order-commands", field("reason", "Hold", maxLength=10), "maxLength was 1000, is 10: narrower"),
    ("order-commands", field("reason", "Hold", type="integer"), "the type was string, is integer"),
    ("order-commands", field("reason", "Hold", pattern="^a"), "pattern was"),
    (
        "order-commands",
        lambda defs: defs["OrderStatus"]["enum"].remove("SHIPPED"),
        "'SHIPPED' is no longer possible",
    ),
    ("order-commands", field("policy", "PlaceOrder", default="PARTIAL"), "the default was 'BACKORDER', is 'PARTIAL'"),
    ("order-commands", lambda defs: defs["PlaceOrder"]["properties"]["totalCost"]["anyOf"].pop(0), "object is no"),
    ("order-events", lambda defs: defs["OrderHeld"]["required"].remove("reason"), "the field may now be missing"),
    ("order-events", added("by", "OrderHeld", required=True), "OrderHeld.data.by: the field is new and required"),
    ("order-events", lambda defs: defs["AllocationPolicy"]["enum"].append("NEVER"), "'NEVER' is now possible"),
    ("order-events", field("carrier", "ShipmentCreated", anyOf=[{"type": "string"}]), "null is no longer possible"),
    (
        "order-events",
        lambda defs: defs["PlacedLine"]["properties"].pop("price"),
        "lines[].price: the field was removed",
    ),
]
COMPATIBLE: list[tuple[str, Edit, str]] = [
    ("order-commands", added("by", "Hold"), "Hold.data.by: the field is new"),
    ("order-commands", field("reason", "Hold", maxLength=5000), "maxLength was 1000, is 5000: wider"),
    ("order-commands", lambda defs: defs["OrderStatus"]["enum"].append("LOST"), "'LOST' is now possible"),
    ("order-commands", lambda defs: defs["Price-Input"]["required"].remove("currency"), "the field may now be missing"),
    ("order-commands", field("reason", "Hold", description="why"), "only descriptions changed"),
    ("order-events", added("by", "OrderHeld"), "OrderHeld.data.by: the field is new"),
]


@pytest.mark.parametrize(("topic", "edit", "says"), BREAKING, ids=[says for _, _, says in BREAKING])
def test_breaking_changes_are_named(topic: str, edit: Edit, says: str) -> None:
    found = changed(topic, edit)
    assert any(breaking and says in sentence for breaking, sentence in found), found


@pytest.mark.parametrize(("topic", "edit", "says"), COMPATIBLE, ids=[says for _, _, says in COMPATIBLE])
def test_compatible_changes_are_named_too(topic: str, edit: Edit, says: str) -> None:
    found = changed(topic, edit)
    assert any(says in sentence for _, sentence in found), found
    assert not any(breaking for breaking, _ in found), found


def message(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in schema["oneOf"] if each["title"] == name)


def test_messages_are_added_and_removed() -> None:
    fewer = copy.deepcopy(TODAY["order-events"])
    fewer["oneOf"].remove(message(fewer, "OrderHeld"))
    assert [(c.breaking, str(c)) for c in compare("order-events", TODAY["order-events"], fewer, False)] == [
        (True, "order-events OrderHeld: the message was removed")
    ]
    assert [(c.breaking, str(c)) for c in compare("order-events", fewer, TODAY["order-events"], False)] == [
        (False, "order-events OrderHeld: the message is new")
    ]


def test_a_raised_version_declares_a_break_and_a_lowered_one_is_a_break() -> None:
    old, new = TODAY["order-events"], copy.deepcopy(TODAY["order-events"])
    added("by", "OrderHeld", required=True)(new["$defs"])
    message(new, "OrderHeld")["properties"]["schemaversion"]["const"] = 2
    changes = compare("order-events", old, new, False)
    assert [(change.breaking, change.what) for change in changes] == [
        (False, "schemaversion 1 → 2: readers must be upgraded first"),
        (False, "the field is new and required (declared by the version)"),
    ]
    assert any(change.breaking for change in compare("order-events", new, old, False))


def test_the_committed_schemas_are_current() -> None:
    assert command.read() == TODAY, "run `make schemas`"


def test_the_command_refuses_to_write_a_breaking_change(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    command.main(write=True)
    command.main()
    richer = copy.deepcopy(TODAY["order-commands"])
    richer["$defs"]["Hold"]["properties"]["colour"] = {"type": "string"}
    file = tmp_path / "order-commands.json"
    file.write_text(text_of(richer))
    capsys.readouterr()
    for options in ({}, {"write": True}):
        with pytest.raises(typer.Exit) as refused:
            command.main(**options)
        assert refused.value.exit_code == 1
        said = capsys.readouterr()
        assert "breaking: order-commands Hold.data.colour: the field was removed" in said.out
        assert "--breaking" in said.err
    assert file.read_text() == text_of(richer)
    command.main(write=True, breaking=True)
    assert file.read_text() == text_of(TODAY["order-commands"])
