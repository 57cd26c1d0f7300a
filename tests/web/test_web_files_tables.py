"""Orders as tables: harmless for spreadsheets, exact for programs."""

import csv
import io
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.files.cells import Cell, identifier_in
from web.files.order_tables import COLUMNS, GROUP_ROWS, Csv, Parquet, ParquetNotInstalled, rows_of, table_of

UNITS = ("pending", "backordered", "allocated", "shipped", "delivered", "cancelled", "rejected", "returned", "damaged")


def an_order(order_id: str = "o-1", lines: int = 2, **changes: Any) -> dict[str, Any]:
    items = [
        {"lineId": str(number), "productId": f"p-{number}", "quantity": number,
         "price": {"currency": "EUR", "value": "10.50"}, **dict.fromkeys(UNITS, 0)}
        for number in range(1, lines + 1)
    ]  # fmt: skip
    return {
        "id": order_id, "customerId": "c-1", "items": items, "status": "REGISTERED", "allocationStatus": None,
        "returnStatus": "NONE", "hold": None, "policy": "BACKORDER", "totalCost": {"currency": "EUR", "value": "31.50"},
        "version": 3, "issuedAt": None, "createdAt": "2026-11-23T10:00:00.000Z", "updatedAt": "2026-11-23T10:00:01.5Z",
    } | changes  # fmt: skip


def as_csv(*orders: dict[str, Any]) -> list[dict[str, str]]:
    table = Csv()
    text = (table.begin() + table.add(rows_of(orders)) + table.end()).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_row_for_each_line() -> None:
    rows = as_csv(an_order(), an_order("o-2", lines=1, hold={"reason": 'check, "soon"'}))
    assert [(row["orderId"], row["lineId"], row["quantity"]) for row in rows] == [
        ("o-1", "1", "1"), ("o-1", "2", "2"), ("o-2", "1", "1"),
    ]  # fmt: skip
    assert (rows[0]["totalCost"], rows[0]["price"], rows[0]["currency"]) == ("31.50", "10.50", "EUR")
    assert (rows[0]["allocationStatus"], rows[2]["holdReasons"]) == ("", 'check, "soon"')


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r", " ="])
def test_no_text_of_a_client_becomes_a_formula(begins: str) -> None:
    evil = f"{begins}HYPERLINK(1)"
    (row,) = as_csv(an_order(evil, lines=1, customerId=evil, hold={"reason": evil}))
    assert row["orderId"] == row["customerId"] == row["holdReasons"] == f"'{evil}"


@given(st.text("=+-@'a \t", min_size=1, max_size=6).filter(lambda text: text == text.strip()))
def test_an_import_reads_the_ids_of_an_export(product: str) -> None:
    order = an_order(lines=1)
    order["items"][0]["productId"] = product
    (row,) = as_csv(order)
    assert identifier_in(Cell(row["productId"])) == product


def test_parquet_has_typed_columns_and_the_same_rows() -> None:
    from pyarrow import parquet

    table = Parquet()
    first, rest = [an_order(f"=o-{number}", lines=4) for number in range(GROUP_ROWS // 4)], [an_order("last", lines=1)]
    parts = [table.begin(), table.add(rows_of(first)), table.add(rows_of(rest)), table.end()]
    file = parquet.ParquetFile(io.BytesIO(b"".join(parts)))
    assert parts[1]
    assert not parts[2], "kept until a group is complete"
    assert file.metadata.num_row_groups == 2
    assert file.schema_arrow.names == [column.name for column in COLUMNS]
    rows = file.read().to_pylist()
    assert len(rows) == GROUP_ROWS + 1
    assert (rows[0]["orderId"], rows[-1]["orderId"]) == ("=o-0", "last")
    assert (rows[0]["totalCost"], rows[0]["allocationStatus"]) == (Decimal("31.5"), None)
    assert rows[0]["createdAt"] == datetime(2026, 11, 23, 10, tzinfo=UTC)


def test_an_empty_table_is_a_whole_file() -> None:
    from pyarrow import parquet

    table = Parquet()
    assert parquet.read_table(io.BytesIO(table.begin() + table.end())).num_rows == 0
    assert as_csv() == []


def test_without_the_extra_parquet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ParquetNotInstalled, match="install it, or export CSV"):
        table_of("parquet")
    assert table_of("csv").begin().startswith(b"orderId,customerId")
