"""Reading tables from files: rows of cells, one after the other.

Unreadable                  the file cannot be read at all: the reason, and the line

A file is hostile until it has been read: a line of CSV may have no end, and a workbook may unpack to any size
(`web/files/workbook.py`).
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import IO, NamedTuple

from .cells import Cell

MOST_ROWS = 200_000
MOST_COLUMNS = 64
LINE_CHARACTERS = 64 << 10
ENCODINGS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # by byte order mark
DELIMITERS = ",;\t"


class Unreadable(ValueError):
    """A file that cannot be read further; `line` is where, if that is known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.reason, self.line = reason, line


class Row(NamedTuple):
    """A row, and the number of the line or row in the file where it begins."""

    line: int
    cells: list[Cell]


Rows = Callable[[], Iterator[Row]]  # reads a table from its beginning; may raise `Unreadable`


def not_empty(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows that have something in them; raise `Unreadable` if there are too many rows."""
    for number, row in enumerate(rows):
        if number > MOST_ROWS:
            raise Unreadable(f"the file has more than {MOST_ROWS:,} rows: split it", row.line)
        if any(not cell.is_empty for cell in row.cells):
            yield row


def csv_rows(file: IO[bytes]) -> Iterator[Row]:
    """Yield the rows of CSV; raise `Unreadable`."""
    file.seek(0)
    start = file.read(3)
    file.seek(0)
    encoding = next((name for mark, name in ENCODINGS.items() if start.startswith(mark)), "utf-8")
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    lines = _Lines(text)
    try:
        first = next(iter(lines), "")
        lines.again(first)
        reader = csv.reader(lines, delimiter=_delimiter(first), strict=True)
        begins = 1
        for cells in reader:
            if len(cells) > MOST_COLUMNS:
                raise Unreadable(f"a row has more than {MOST_COLUMNS} columns", begins)
            yield Row(begins, [Cell(each) for each in cells])
            begins = lines.number + 1
    except UnicodeDecodeError as error:
        where = f"byte 0x{error.object[error.start]:02x}" if isinstance(error.object, bytes) else "a byte"
        raise Unreadable(f"{where} is not {encoding}: save the file as CSV UTF-8", lines.number + 1) from None
    except csv.Error as error:
        raise Unreadable(f"this is not CSV ({error}): check the quotation marks", lines.number) from None
    finally:
        text.detach()  # the caller closes the file


class _Lines:
    """The lines of a text, each limited in length."""

    def __init__(self, text: IO[str]) -> None:
        self._text, self._again, self.number = text, list[str](), 0

    def again(self, line: str) -> None:
        """Return a line once more."""
        if line:
            self._again.append(line)
            self.number -= 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else self._text.readline(LINE_CHARACTERS + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > LINE_CHARACTERS:
            raise Unreadable(f"the line has more than {LINE_CHARACTERS:,} characters", self.number)
        if "\0" in line:
            raise Unreadable("the line has a zero byte: save the file as CSV UTF-8, or as XLSX", self.number)
        return line


def _delimiter(header: str) -> str:
    """Return what separates the columns: where a comma is the decimal sign, spreadsheets write semicolons."""
    return max(DELIMITERS, key=header.count)
