"""Stock imported and orders exported as files, and lists as they were, over HTTP and on the command line."""

import csv
import io
import json
from asyncio import to_thread
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from openpyxl import Workbook
from pyarrow import parquet
from system import Api, System, eventually

from projections.mongo.client import Mongo
from projections.mongo.stock_imports import STOCK_IMPORTS
from web.files.stock_import import WINDOW

Unique = Callable[[str], str]
CSV = {"Content-Type": "text/csv"}


async def send(api: Api, content: str | bytes, query: str = "mode=receive") -> tuple[int, list[Any]]:
    """Send a file; return the status and the lines of the answer."""
    data = content.encode() if isinstance(content, str) else content
    async with api.session.post(f"stock/imports?{query}", data=data, headers=CSV) as response:
        return response.status, [json.loads(line) for line in (await response.text()).splitlines()]


def table(*lines: tuple[str, Any]) -> str:
    return "".join(f"{product},{quantity}\n" for product, quantity in (("productId", "quantity"), *lines))


async def on_hand(api: Api, product: str, wanted: int) -> None:
    async def ask() -> Any:
        status, answer, _ = await api("GET", f"/inventory/{product}")
        return answer["data"]["onHandQuantity"] if status == 200 else None

    assert await eventually(ask, lambda found: found == wanted) == wanted


async def test_a_file_is_checked_carried_out_and_not_repeated(api: Api, unique: Unique) -> None:
    boots, laces = unique("boots"), unique("laces")
    await api.stock(boots, 3)
    await on_hand(api, boots, 3)
    content = table((boots, 10), (laces, 5), (boots, 1))

    status, planned = await send(api, content, "mode=receive&dryRun=true")
    assert status == 200
    assert [(each["line"], each["status"], each.get("onHand")) for each in planned[:-1]] == [
        (2, "valid", 3), (3, "valid", None), (4, "valid", 3),
    ]  # fmt: skip
    assert planned[1]["new"]
    assert planned[-1]["summary"] | {"lines": 3, "valid": 3, "dryRun": True} == planned[-1]["summary"]

    _, done = await send(api, content)
    assert [each["status"] for each in done[:-1]] == ["accepted"] * 3
    await on_hand(api, boots, 14)
    await on_hand(api, laces, 5)
    _, again = await send(api, content)
    assert [each["status"] for each in again[:-1]] == ["repeated"] * 3
    assert again[-1]["summary"]["importId"] == done[-1]["summary"]["importId"] == planned[-1]["summary"]["importId"]
    _, other = await send(api, content, "mode=receive&reference=second")
    assert [each["status"] for each in other[:-1]] == ["accepted"] * 3
    await on_hand(api, boots, 25)
    _, counted = await send(api, table((boots, 7)), "mode=count")
    assert counted[0]["status"] == "accepted"
    await on_hand(api, boots, 7)


async def test_invalid_and_rejected_lines_are_reported_and_lose_no_other(api: Api, unique: Unique) -> None:
    boots = unique("boots")
    bad = f"{boots}\u200b"  # it looks like the other one
    content = table((boots, 1), (boots, "1.5"), (bad, 1), (boots, 2))
    status, refused = await send(api, content)
    assert (status, refused[0]["error"], refused[0]["details"]["invalid"]) == (422, "INVALID_LINES", 1)
    assert refused[0]["details"]["lines"][0]["line"] == 3
    assert (await api("GET", f"/inventory/{boots}"))[0] == 404, "nothing was sent"

    for accepted in ("accepted", "repeated"):
        _, lines = await send(api, content, "mode=receive&invalid=skip")
        assert [each["status"] for each in lines[:-1]] == [accepted, "invalid", "rejected", accepted]
        assert (lines[2]["code"], "U+200B" in lines[2]["message"]) == ("INVALID_ID", True)
        assert lines[-1]["summary"]["rejected"] == lines[-1]["summary"]["invalid"] == 1
    await on_hand(api, boots, 3)


@pytest.mark.parametrize(
    ("content", "query", "status", "code"),
    [
        (b"productId,quantity\nb\xf6,1\n", "mode=receive", 400, "UNREADABLE_FILE"),
        (b"PK\x03\x04", "mode=receive", 400, "UNREADABLE_FILE"),
        (b"\xd0\xcf\x11\xe0", "mode=receive", 400, "UNREADABLE_FILE"),
        (b"productId,quantity\n", "mode=give", 400, "VALIDATION_FAILED"),
        (b"productId,quantity\n", "dryRun=true", 400, "VALIDATION_FAILED"),
    ],
)
async def test_a_file_that_cannot_be_imported_is_refused(
    api: Api, content: bytes, query: str, status: int, code: str
) -> None:
    found, (answer,) = await send(api, content, query)
    assert (found, answer["error"]) == (status, code), answer


async def test_a_form_and_a_compressed_file_are_refused(api: Api) -> None:
    for headers in ({"Content-Type": "text/plain"}, {**CSV, "Content-Encoding": "gzip"}):
        async with api.session.post("stock/imports?mode=receive", data=b"x", headers=headers) as response:
            assert (response.status, (await response.json())["error"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_an_import_that_was_killed_continues(faulty: Any, api: Api, unique: Unique, mongo: Mongo) -> None:
    """Kill an api when a window is sent and its outcomes are not known, and when they are known and not recorded."""
    products = [unique("boots") for _ in range(3)]
    lines = [(products[number % 3], 1) for number in range(2 * WINDOW + 10)]
    content, import_id = table(*lines), ""
    for name, point in (("killed-1", "sent@2"), ("killed-2", "answered@1")):
        async with faulty(name, f"kill:{point}") as (process, other):
            with pytest.raises(Exception, match=r".*"):  # the connection ends somewhere
                await send(other, content)
            await process.wait()

    async def ask() -> list[Any]:
        status, answer = await send(api, content)
        assert status == 200 or answer[0]["error"] == "IMPORT_IN_PROGRESS", answer
        return answer

    report = await eventually(ask, lambda answer: "summary" in answer[-1], pause=1.0)
    assert [each["line"] for each in report[:-1]] == list(range(2, len(lines) + 2))
    assert {each["status"] for each in report[:-1]} <= {"accepted", "repeated"}
    assert [each["status"] for each in report[:WINDOW]] == ["repeated"] * WINDOW
    for number, product in enumerate(products):
        await on_hand(api, product, len(lines[number::3]))
    import_id = report[-1]["summary"]["importId"]
    assert await mongo.collection(STOCK_IMPORTS).count_documents({"_id": {"$regex": f"^{import_id}/"}}) == 3


async def test_an_old_window_is_looked_up_in_the_ledger(api: Api, unique: Unique, mongo: Mongo) -> None:
    boots = unique("boots")
    content = table((boots, 4))
    _, done = await send(api, content)
    await on_hand(api, boots, 4)
    windows, outcomes = mongo.collection(STOCK_IMPORTS), (await api_outcomes(mongo))
    window = {"_id": f"{done[-1]['summary']['importId']}/2"}
    found = await windows.update_one(window, {"$set": {"began": "2026-01-01T00:00:00.000Z"}, "$unset": {"rejected": 1}})
    assert found.modified_count == 1
    await eventually(lambda: forget(outcomes, boots), lambda deleted: deleted == 1)
    _, again = await send(api, content)
    assert again[0]["status"] == "repeated"
    await on_hand(api, boots, 4)


async def api_outcomes(mongo: Mongo) -> Any:
    names = await mongo.database.list_collection_names()
    return mongo.collection(next(name for name in names if name.startswith("commands_v")))


async def forget(outcomes: Any, product: str) -> int:
    return int((await outcomes.delete_many({"aggregateId": product})).deleted_count)


async def test_the_command_line_imports_a_workbook(system: System, api: Api, unique: Unique, tmp_path: Path) -> None:
    boots, book = unique("boots"), Workbook()
    file, other = tmp_path / "delivery.xlsx", tmp_path / "bad.csv"
    assert book.active is not None
    for row in (("SKU", "Qty", "Colour"), (boots, 10, "red")):
        book.active.append(row)
    book.save(file)

    async def run(*arguments: str) -> CompletedProcess[str]:
        return await to_thread(system.run, "stock", "import", *arguments, check=False)

    dry = await run(str(file), "--mode", "receive", "--dry-run")
    assert (dry.returncode, dry.stdout) == (
        0, f"line 2: {boots} 10: valid, a new product\n1 line: 1 valid; ignored columns: Colour\n",
    )  # fmt: skip
    done = await run(str(file), "--mode", "receive")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"line 2: {boots} 10: accepted")
    assert "1 repeated" in (await run(str(file), "--mode", "receive")).stdout
    await on_hand(api, boots, 10)
    other.write_text(table((boots, "x"), (boots, 1)))
    refused = await run(str(other), "--mode", "receive")
    assert (refused.returncode, refused.stdout[:7]) == (65, "line 2:")
    assert "Nothing was sent: 1 line is invalid" in refused.stderr
    skipped = await run(str(other), "--mode", "receive", "--skip-invalid", "--json")
    assert skipped.returncode == 1
    assert [json.loads(line).get("status") for line in skipped.stdout.splitlines()] == ["invalid", "accepted", None]


async def some_orders(api: Api, unique: Unique, count: int = 3) -> tuple[str, list[str]]:
    """Place orders of one customer, the first of them `=…`, and hold the last one; return customer and ids."""
    customer, product = unique("customer"), unique("boots")
    await api.stock(product, 100)
    ids = [unique("=o" if number == 0 else "o") for number in range(count)]
    for each in ids:
        await api.place((product, 1), (product, 2), customerId=customer, orderId=each)
        await api.order(each, lambda order: order["allocationStatus"] == "ALLOCATED")
    return customer, ids


async def test_orders_are_exported_as_a_stream(api: Api, unique: Unique) -> None:
    customer, ids = await some_orders(api, unique)
    query = f"customerId={customer}&status=REGISTERED&status=SHIPPED"
    async with api.session.get(f"exports/orders?format=csv&{query}") as response:
        assert response.status == 200
        assert response.headers["Content-Disposition"] == 'attachment; filename="orders.csv"'
        rows = list(csv.DictReader(io.StringIO(await response.text())))
    assert [row["orderId"] for row in rows] == [f"'{ids[0]}"] * 2 + [ids[1]] * 2 + [ids[2]] * 2
    assert [row["allocated"] for row in rows] == ["1", "2"] * 3
    async with api.session.get(f"exports/orders?format=parquet&{query}") as response:
        found = parquet.read_table(io.BytesIO(await response.read())).to_pylist()
    assert [row["orderId"] for row in found] == [each for each in ids for _ in range(2)]
    async with api.session.head(f"exports/orders?format=csv&{query}") as response:
        assert response.headers["Order-Count"] == "3"
    as_of = "2020-01-01T00:00:00Z"
    async with api.session.head(f"exports/orders?format=csv&{query}&asOf={as_of}") as response:
        assert (response.status, response.headers.get("Order-Count")) == (200, None), "today's orders are not counted"
    for wrong in ("", "format=xml", "format=csv&sort=createdAt", "format=csv&status=LOST", "format=csv&archived=TRUE"):
        assert (await api("GET", f"/exports/orders?{wrong}"))[0] == 400


async def test_the_command_line_exports_orders(system: System, api: Api, unique: Unique, tmp_path: Path) -> None:
    customer, ids = await some_orders(api, unique)
    file = tmp_path / "orders.parquet"
    done = await to_thread(
        system.run, "orders", "export", "--format", "parquet", "--customer", customer, "--output", str(file)
    )
    assert done.stdout == f"{file}: 3 orders\n"
    assert "orders: 3 of 3 (100%)" in done.stderr
    assert parquet.read_table(file).num_rows == 6
    assert not file.with_name("orders.parquet.part").exists()
    text = (await to_thread(system.run, "orders", "export", "--customer", customer, "--to", "2020-01-01")).stdout
    assert text.splitlines()[0].startswith("orderId,customerId,")
    assert len(text.splitlines()) == 1
    assert len(ids) == 3


async def pages(api: Api, path: str, **query: Any) -> list[Any]:
    """Return the documents of all pages of a list."""
    found, cursor = [], {}
    while True:
        status, answer, _ = await api("GET", path, params={**query, **cursor})
        assert status == 200, answer
        found += answer["data"]
        if answer["nextCursor"] is None:
            return found
        cursor = {"cursor": answer["nextCursor"]}


async def test_lists_as_they_were(api: Api, unique: Unique) -> None:
    customer, ids = await some_orders(api, unique)
    mine = {"customerId": customer}
    product = (await api.order(ids[0]))["items"][0]["productId"]
    lists: list[tuple[str, dict[str, Any]]] = [
        ("/orders", mine), ("/orders", {**mine, "sort": "createdAt", "limit": 2}),
        ("/orders", {**mine, "allocationStatus": "ALLOCATED"}), ("/orders", {**mine, "status": "SHIPPED"}),
        ("/work-queue", mine), ("/work-queue", {**mine, "sort": "-since", "limit": 1}),
    ]  # fmt: skip
    was = [await pages(api, path, **query) for path, query in lists]
    assert list(map(len, was)) == [3, 3, 3, 0, 3, 3]
    stock_was = (await api("GET", f"/inventory/{product}"))[1]["data"]
    as_of = max(order["updatedAt"] for order in was[0])

    async def later() -> bool:
        return datetime.now(UTC).isoformat() > as_of

    await eventually(later, bool)
    assert (await api("POST", f"/orders/{ids[1]}/shipments", {}))[0] == 201
    assert (await api("POST", f"/orders/{ids[2]}/hold", {"reason": "why"}))[0] == 200
    young = await api.place((product, 1), customerId=customer)
    await api.order(ids[1], lambda order: order["status"] == "SHIPPED")
    await api.order(ids[2], lambda order: order["hold"] is not None)
    await api.order(young["id"], lambda order: order["allocationStatus"] == "ALLOCATED")

    assert len(await pages(api, "/orders", **mine)) == 4
    assert [await pages(api, path, **query, asOf=as_of) for path, query in lists] == was
    products = await pages(api, "/inventory", asOf=as_of, limit=500)
    assert next(each for each in products if each["id"] == product) == stock_was
    assert await pages(api, "/orders", **mine, asOf="2001-01-01") == []
    assert await pages(api, "/work-queue", **mine, asOf="2001-01-01") == []
    async with api.session.get(f"exports/orders?format=csv&customerId={customer}&asOf={as_of}") as response:
        assert len((await response.text()).splitlines()) == 1 + 6


async def test_lists_of_the_past_refuse_the_rest(api: Api, unique: Unique) -> None:
    for query in ("sort=updatedAt&asOf=2026-01-01", "asOf=yesterday", "asOf=2026-01-01&version=1"):
        status, answer, _ = await api("GET", f"/orders?{query}")
        assert (status, answer["error"]) == (400, "VALIDATION_FAILED"), answer
    customer, _ = await some_orders(api, unique, 2)
    as_of = datetime.now(UTC).isoformat()
    _, answer, _ = await api("GET", "/orders", params={"customerId": customer, "limit": 1, "asOf": as_of})
    other = {"customerId": customer, "limit": 1, "asOf": "2026-01-01", "cursor": answer["nextCursor"]}
    assert (await api("GET", "/orders", params=other))[0] == 400, "a cursor belongs to one moment"
