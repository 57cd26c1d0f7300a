"""The lines of a stock file: each has a product and a quantity, or the reason why it is invalid."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from domain.inventory.commands import CountStock, ReceiveStock
from domain.message import Command
from web.commands.bodies import checked
from web.errors import Problem
from web.requests import identifier

from .cells import EMPTY, BadCell, Cell, identifier_in, quantity_in
from .reading import Row, Rows, Unreadable

COMMANDS: Mapping[str, type[Command]] = {"receive": ReceiveStock, "count": CountStock}  # by mode
PRODUCT, QUANTITY, LOCATION = "productId", "quantity", "location"
NAMES = {
    PRODUCT: ("product", "sku", "article", "itemId"),
    QUANTITY: ("qty", "units", "count", "counted", "received"),
    LOCATION: ("warehouse", "locationId"),
}
REQUIRED = (PRODUCT, QUANTITY)
NOT_YET = ("lot", "expiresOn", "serials")  # leaving them out would lose information


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, and its command."""

    number: int
    product_id: str
    quantity: int
    location: str | None
    command: Command

    def report(self, status: str) -> dict[str, Any]:
        """Return what a report says of the line."""
        where = {} if self.location is None else {"location": self.location}
        return {"line": self.number, "productId": self.product_id, "quantity": self.quantity, **where, "status": status}


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be carried out, with the column, the problem and the remedy."""

    number: int
    message: str


class Columns:
    """Where the columns are; raises `Unreadable` if one is missing or named twice. Others are ignored."""

    def __init__(self, header: list[Cell], line: int) -> None:
        self.at: dict[str, int] = {}
        self._width = len(header)
        self.ignored: list[str] = []
        for place, cell in enumerate(header):
            if cell.is_empty:
                continue
            name = str(cell.value).strip()
            if (known := _column(name)) is None:
                self.ignored.append(name[:80])
            elif known in self.at:
                raise Unreadable(f"two columns are {known}: rename or delete one of them", line)
            elif known in NOT_YET:
                raise Unreadable(f"the column {name!r:.40} is not supported yet: delete it, or import such stock "
                                 "by itself", line)  # fmt: skip
            else:
                self.at[known] = place
        if missing := [name for name in REQUIRED if name not in self.at]:
            raise Unreadable(f"there is no column {' or '.join(missing)}: name the columns in the first row", line)

    def refuse_more(self, cells: list[Cell]) -> None:
        """Raise `BadCell` if a row has more than the header: a separator within a value moves what follows it."""
        if any(not cell.is_empty for cell in cells[self._width :]):
            raise BadCell("the line has more columns than the header: put values with a comma in quotation marks")

    def cell(self, cells: list[Cell], name: str) -> Cell:
        """Return the cell of a column; an empty one if there is none, or the row ends before it."""
        place = self.at.get(name)
        return cells[place] if place is not None and place < len(cells) else EMPTY


def _column(name: str) -> str | None:
    """Return the column that a header names, whatever its case and separators."""
    names = {_bare(each): known for known, others in NAMES.items() for each in (known, *others)}
    return (names | {_bare(each): each for each in NOT_YET}).get(_bare(name))


def _bare(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


@dataclass(frozen=True, slots=True)
class StockFile:
    """A table of stock, which can be read several times."""

    rows: Rows
    kind: str
    ignored: list[str]  # columns

    @classmethod
    def of(cls, rows: Rows, kind: str) -> "StockFile":
        """Read the header; raise `Unreadable` if it names no product or no quantity."""
        header = next(rows(), None)
        if header is None:
            raise Unreadable("the file is empty: the first row names the columns productId and quantity")
        return cls(rows, kind, Columns(header.cells, header.line).ignored)

    def lines(self) -> Iterator[Line | BadLine]:
        """Yield every line below the header that is not empty; raise `Unreadable` where the file cannot be read."""
        found = self.rows()
        header = next(found)
        columns, counted = Columns(header.cells, header.line), dict[tuple[str, str | None], int]()
        for row in found:
            line = self._line(columns, row)
            shelf = (line.product_id, line.location) if isinstance(line, Line) else None
            first = row.line if shelf is None else counted.setdefault(shelf, row.line)
            if self.kind == "count" and first != row.line:
                line = BadLine(row.line, f"{PRODUCT} is also on line {first}: add the quantities up on one line")
            yield line

    def _line(self, columns: Columns, row: Row) -> Line | BadLine:
        column = ""
        try:
            columns.refuse_more(row.cells)
            column = f"{PRODUCT} "
            product_id = identifier(identifier_in(columns.cell(row.cells, PRODUCT)), PRODUCT)
            column = f"{QUANTITY} "
            quantity = quantity_in(columns.cell(row.cells, QUANTITY))
            column = f"{LOCATION} "
            cell = columns.cell(row.cells, LOCATION)
            location = None if cell.is_empty else identifier(identifier_in(cell), LOCATION)
            command = checked(COMMANDS[self.kind], {"quantity": quantity, "location": location})
        except BadCell as error:
            return BadLine(row.line, f"{column}{error}")
        except Problem as error:
            return BadLine(row.line, str(error))
        return Line(row.line, product_id, quantity, location, command)
