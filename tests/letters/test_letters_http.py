"""Letters over HTTP are listed by aggregate, shown in full, retried and discarded; a parked command is pending."""

import asyncio
from typing import Any

from kafka import messages, produce
from letters_desk import ORDER
from system import Api, System, eventually, wait_until


async def parked(api: Api, key: str, count: int) -> dict[str, Any]:
    """Return an order's letters once it has this number of them."""
    found = await eventually(
        lambda: api("GET", f"/letters/order/{key}"),
        lambda answer: answer[0] == 200 and answer[1]["data"]["letters"] == count,
    )
    return dict(found[1]["data"])


async def test_a_parked_command_is_pending_until_it_is_discarded(system: System, api: Api, worker: Any) -> None:
    with worker("projector"), worker("orders", FULFILLMENT_FAULTS="raise:Hold"):
        await api.place(("http-boots", 1), orderId="http-a")
        await api.place(("http-boots", 1), orderId="http-b")
        options = {"headers": {"Prefer": "wait=1"}}
        for key in ("http-a", "http-b"):
            status, answer, _ = await api("POST", f"/orders/{key}/hold", {"reason": "r"}, **options)
            assert (status, answer["data"]["status"]) == (202, "pending")
        held = answer["data"]["commandId"]
        large = b'{"type": "Release", "data": {}}' + b" " * 10_000
        produce(system.settings, "order-commands", "http-b", large)
        shown = await parked(api, "http-b", 2)
        assert [(item["commandType"], item["code"]) for item in shown["items"]] == [
            ("Hold", "PROCESSING_FAILED"),
            ("Release", "PARKED_BEHIND"),
        ]
        assert "Traceback" in shown["items"][0]["traceback"]
        assert held in shown["items"][0]["value"]
        assert "value" not in shown["items"][1]
        assert shown["items"][1]["valuePreview"].startswith('{"type": "Release"')
        assert shown["items"][1]["valueBytes"] == len(large)
        page = (await api("GET", "/letters/order/http-b?limit=1"))[1]["data"]
        assert [item["commandId"] for item in page["items"]] == [held]
        rest = (await api("GET", f"/letters/order/http-b?limit=1&cursor={page['nextCursor']}"))[1]["data"]
        assert ([item["commandType"] for item in rest["items"]], rest["nextCursor"]) == (["Release"], None)
        whole = (await api("GET", page["items"][0]["href"].removeprefix("/api/v1")))[1]["data"]
        assert (whole["value"], whole["traceback"]) == (shown["items"][0]["value"], shown["items"][0]["traceback"])

        status, answer, _ = await api("GET", f"/commands/{held}")
        assert (status, answer["data"]["status"], answer["data"]["reason"]) == (200, "pending", "parked")

        status, page, _ = await api("GET", "/letters?aggregate=order&limit=1")
        assert ([key["aggregateId"] for key in page["data"]], status) == (["http-a"], 200)
        status, rest, _ = await api("GET", "/letters", params={"limit": "1", "cursor": page["nextCursor"]})
        assert ([key["aggregateId"] for key in rest["data"]], rest["nextCursor"]) == (["http-b"], None)
        assert (await api("GET", "/letters?aggregate=inventory"))[1]["data"] == []

        key = {"headers": {"Idempotency-Key": "discard-http-b"}}
        status, answer, _ = await api("POST", "/letters/order/http-b/discard", {"reason": "a double"}, **key)
        assert (status, answer["data"]["discarded"], answer["data"]["left"]) == (200, 1, 1)
        again = await api("POST", "/letters/order/http-b/discard", {"reason": "a double"}, **key)
        assert (again[:2], again[2]["Idempotency-Replayed"]) == ((200, answer), "true")  # and not the next one, too
        status, answer, _ = await api("POST", "/letters/order/http-b/retry")
        assert (status, answer["data"]["retried"], answer["data"]["left"]) == (200, 1, 0)
        key = {"Idempotency-Key": "retry-http-a"}
        assert (await api("POST", "/letters/order/http-a/retry", headers=key | {"Prefer": "respond-async"}))[0] == 202
        status, answer, _ = await api("POST", "/letters/order/http-a/retry", headers=key)  # its outcome, after the 202
        assert (answer["data"]["retried"], answer["data"]["left"]) == (0, 1)
        assert answer["data"]["failed"]["message"] == "Injected: an injected fault: Hold"
        _, answer, _ = await eventually(
            lambda: api("GET", "/letters?kind=discarded"), lambda answer: bool(answer[1]["data"])
        )
        discarded = answer["data"]
        assert [(each["commandId"], each["reason"]) for each in discarded] == [(held, "a double")]
        cli = await asyncio.to_thread(system.run, "letters", "discard", "http-a", "--reason", "enough")
        assert cli.stdout == "1 discarded, 0 left\n"
        await eventually(lambda: api("GET", "/letters"), lambda answer: answer[1]["data"] == [])


async def test_an_invalid_request_is_refused(api: Api) -> None:
    assert (await api("GET", "/letters/order/unknown"))[0] == 404
    assert (await api("GET", "/letters/shipment/unknown"))[0] == 400
    assert (await api("POST", "/letters/order/unknown/discard", {"reason": "r"}))[0] == 404
    assert (await api("POST", "/letters/order/unknown/discard", {"reason": " ", "commandId": "c"}))[0] == 400
    conditional = await api("POST", "/letters/order/unknown/retry", headers={"If-Match": "*"})
    assert (conditional[0], list(conditional[1]["errors"])) == (400, ["If-Match"])
    assert (await api("GET", "/letters?kind=parked"))[0] == 400
    assert (await api("GET", "/letters?cursor=nonsense"))[0] == 400


async def test_a_full_queue_stops_its_partition_until_the_code_is_fixed(system: System, worker: Any) -> None:
    def send(command_id: str, name: str, **data: Any) -> None:
        produce(system.settings, "order-commands", "full", {"id": command_id, "type": name, "data": data})

    send("full-1", "PlaceOrder", **ORDER)
    with worker("orders", FULFILLMENT_FAULTS="raise:Hold", FULFILLMENT_PARKED_LIMIT="2") as broken:
        for number in range(2, 6):
            send(f"full-{number}", "Hold", reason=str(number))
        said = "2 letters are parked, which is the limit (FULFILLMENT_PARKED_LIMIT)"
        wait_until(lambda: said in broken.reason(), "the partition to stop")
        assert broken.ask("readyz")[0] == 503
        assert broken.parked() == {"order-commands": 2}
        broken.stop()
    with worker("orders", FULFILLMENT_PARKED_LIMIT="2") as mended:
        wait_until(lambda: mended.parked() == {}, "the letters to be handled")
        wait_until(lambda: len(events(system, "full")) == 5, "the letters' events")
        held = events(system, "full")
        assert [event["data"].get("reason") for event in held] == [None, "2", "3", "4", "5"]
        assert [event["sequence"] for event in held] == [1, 2, 3, 4, 5]


def events(system: System, key: str) -> list[Any]:
    return messages(system.settings, "order-events", lambda message: message["subject"] == key)
