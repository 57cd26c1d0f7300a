"""Orders as tables: a row for each line of an order, in CSV or Parquet.

ParquetNotInstalled         the optional package that writes Parquet is missing
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Protocol

from .cells import is_formula

Kind = Literal["text", "whole", "money", "time"]
GROUP_ROWS = 10_000  # rows that Parquet keeps together, and in memory
DIGITS, DECIMALS = 38, 4  # no currency has more decimals
TYPES_OF: Mapping[str, str] = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


class ParquetNotInstalled(Exception):
    """The optional package that writes Parquet is missing."""

    def __init__(self) -> None:
        super().__init__("Parquet needs the extra `parquet`: install it, or export CSV")


class Column(NamedTuple):
    """A column, and its value for an order and one of its lines, as the API shows them."""

    name: str
    kind: Kind
    value: Callable[[Any, Any], Any]


def _of_order(name: str, kind: Kind = "text") -> Column:
    return Column(name, kind, lambda order, _: order[name])


def _of_line(name: str, kind: Kind = "whole") -> Column:
    return Column(name, kind, lambda _, line: line[name])


def _reasons(order: Any) -> str | None:
    """Return why an order is held; None if it is not."""
    holds = order.get("holds") or ([order["hold"]] if order["hold"] else [])
    return "; ".join(hold["reason"] for hold in holds) or None


UNITS = ("quantity", "pending", "backordered", "allocated", "shipped", "delivered", "cancelled", "rejected", "returned",
         "damaged")  # fmt: skip
COLUMNS = (
    Column("orderId", "text", lambda order, _: order["id"]),
    *map(_of_order, ("customerId", "status", "allocationStatus", "returnStatus")),
    Column("holdReasons", "text", lambda order, _: _reasons(order)),
    _of_order("policy"),
    *(_of_order(name, "time") for name in ("issuedAt", "createdAt", "updatedAt")),
    _of_order("version", "whole"),
    Column("currency", "text", lambda order, _: order["totalCost"]["currency"]),
    Column("totalCost", "money", lambda order, _: order["totalCost"]["value"]),
    *(_of_line(name, "text") for name in ("lineId", "productId")),
    Column("price", "money", lambda _, line: line["price"]["value"]),
    *map(_of_line, UNITS),
)
Row = Sequence[Any]


def rows_of(orders: Iterable[Any]) -> list[Row]:
    """Return a row for each line of `orders`."""
    return [[column.value(order, line) for column in COLUMNS] for order in orders for line in order["items"]]


class Table(Protocol):
    """A file that is made piece by piece."""

    def begin(self) -> bytes:
        """Return its first bytes."""

    def add(self, rows: Sequence[Row]) -> bytes:
        """Return the bytes that rows add to it; none if they are kept for later."""

    def end(self) -> bytes:
        """Return its last bytes."""


def table_of(kind: str) -> Table:
    """Return an empty table; raise `ParquetNotInstalled`."""
    return Csv() if kind == "csv" else Parquet()


class Csv:
    """RFC 4180, in UTF-8."""

    def begin(self) -> bytes:
        """Return the header."""
        return _csv([[column.name for column in COLUMNS]])

    def add(self, rows: Sequence[Row]) -> bytes:
        """Return the rows."""
        kinds = [column.kind for column in COLUMNS]
        return _csv([_harmless(each) if kind == "text" else each for each, kind in zip(row, kinds, strict=True)]
                    for row in rows)  # fmt: skip

    def end(self) -> bytes:
        """Return nothing."""
        return b""


def _csv(rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _harmless(text: str | None) -> str | None:
    """Return a text that no spreadsheet takes for a formula: ids and reasons come from clients."""
    return f"'{text}" if text and is_formula(text) else text


class Parquet:
    """Parquet with typed columns, compressed, a group of rows at a time."""

    def __init__(self) -> None:
        try:
            import pyarrow  # an optional package, the extra `parquet`
            import pyarrow.parquet
        except ImportError:
            raise ParquetNotInstalled from None
        types = {
            "text": pyarrow.string(),
            "whole": pyarrow.int64(),
            "money": pyarrow.decimal128(DIGITS, DECIMALS),
            "time": pyarrow.timestamp("ms", tz="UTC"),
        }
        self._arrow, self._sink, self._rows = pyarrow, _Sink(), list[Row]()
        self._schema = pyarrow.schema([(column.name, types[column.kind]) for column in COLUMNS])
        self._writer = pyarrow.parquet.ParquetWriter(self._sink, self._schema, compression="zstd")

    def begin(self) -> bytes:
        """Return the magic number."""
        return self._sink.take()

    def add(self, rows: Sequence[Row]) -> bytes:
        """Return a group of rows once it is complete."""
        self._rows += rows
        if len(self._rows) >= GROUP_ROWS:
            self._write()
        return self._sink.take()

    def end(self) -> bytes:
        """Return the last rows, and the description of the file."""
        if self._rows:
            self._write()
        self._writer.close()
        return self._sink.take()

    def _write(self) -> None:
        columns = [
            list(map(CONVERT[column.kind], values))
            for column, values in zip(COLUMNS, zip(*self._rows, strict=True), strict=True)
        ]
        self._writer.write_batch(self._arrow.record_batch(columns, schema=self._schema))
        self._rows = []


CONVERT: Mapping[Kind, Callable[[Any], Any]] = {
    "text": lambda text: text,
    "whole": lambda number: number,
    "money": lambda text: text and Decimal(text),
    "time": lambda text: text and datetime.fromisoformat(text),
}


class _Sink(io.RawIOBase):
    """A file that hands out what is written to it."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        """Return that it is."""
        return True

    def write(self, data: Any) -> int:
        """Keep `data`."""
        self._written += data
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken, self._written = bytes(self._written), bytearray()
        return taken
