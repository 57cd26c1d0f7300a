"""Reading workbooks (XLSX), in a process of its own: `python -m web.files.workbook [SHEET] < WORKBOOK > ROWS`.

A workbook is an archive that may unpack to any size, and that takes long to read. The process has limits of memory and
time, and the parent continues to serve. It writes a JSON array for each row that is not empty, or `unreadable`.
"""

import io
import json
import logging
import resource
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import date, time, timedelta
from itertools import islice
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

from .cells import DATE, EMPTY, ZEROS, Cell
from .reading import MOST_COLUMNS, Row, Unreadable, not_empty

log = logging.getLogger(__name__)

SHEET_BYTES = 64 << 20  # size of one sheet, unpacked; it is read as a stream
STRINGS_BYTES = 32 << 20  # size of the texts of all cells, unpacked, which are kept in memory, or of a picture
PART_BYTES = 4 << 20  # size of any other part of a workbook
MOST_PARTS = 1_000
MEMORY_BYTES, CPU_SECONDS = 1 << 30, 120  # limits of the process
ROWS_BYTES = 64 << 20  # size of all rows, as they are written


def xlsx_rows(file: IO[bytes], sheet: str | None) -> Iterator[Row]:
    """Yield the rows of a sheet, the only one if it is not named; raise `Unreadable`."""
    _refuse_bomb(file)
    try:
        from openpyxl import load_workbook  # takes a fifth of a second

        with closing(load_workbook(file, read_only=True, data_only=True, keep_links=False)) as book:
            chosen = _sheet(book, sheet)
            chosen.reset_dimensions()  # the size in the file may be wrong
            for number, cells in enumerate(chosen.iter_rows(), 1):
                yield Row(number, [_cell(each) for each in islice(cells, MOST_COLUMNS)])
                if any(each.value is not None for each in cells[MOST_COLUMNS:]):
                    raise Unreadable(f"a row has more than {MOST_COLUMNS} columns", number)
    except (Unreadable, GeneratorExit, MemoryError):
        raise
    except Exception as error:  # the library may raise any exception for a broken file
        log.info("a workbook cannot be read", exc_info=error)
        raise Unreadable("this is not a workbook that can be read: save it again as XLSX, or as CSV") from None


def _cell(cell: Any) -> Cell:
    value = cell.value
    if isinstance(value, date | time | timedelta):
        return Cell(str(value), DATE)
    if cell.data_type == "n" and value is not None and ZEROS.fullmatch(cell.number_format):
        return Cell(value, cell.number_format)
    return Cell(value) if isinstance(value, str | int | float | bool) else EMPTY


def _sheet(book: Any, name: str | None) -> Any:
    names = [each.title for each in book.worksheets]
    if name is None and len(names) == 1:
        return book.worksheets[0]
    if name is not None and len(names) == 1:  # the id of an import has the name
        raise Unreadable("the workbook has only one sheet: leave out `sheet`")
    if name in names:
        return book[name]
    listed = ", ".join(names[:MOST_COLUMNS])
    problem = "has several sheets" if name is None else f"has no sheet {name!r:.80}"
    raise Unreadable(f"the workbook {problem}: name one of {listed} with `sheet`" if names else "it has no sheets")


def _refuse_bomb(file: IO[bytes]) -> None:
    """Raise `Unreadable` if a part of a workbook is too large when unpacked. No more than it states is unpacked."""
    try:
        with ZipFile(file) as archive:
            parts = archive.infolist()
    except (BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise Unreadable(f"this is not a workbook ({error}): save it again as XLSX, or as CSV") from None
    if len(parts) > MOST_PARTS:
        raise Unreadable(f"the workbook has more than {MOST_PARTS:,} parts: save only the sheet, or save it as CSV")
    for part in parts:
        name = part.filename.lower()
        # A part may be anything, whatever its name: texts may be among the pictures.
        are_large = any(each in name for each in ("sharedstrings", "/media/"))
        most = SHEET_BYTES if "worksheets/" in name else STRINGS_BYTES if are_large else PART_BYTES
        if part.file_size > most:
            raise Unreadable(f"{part.filename:.80} in the workbook is too large: split it, or save it as CSV")
    file.seek(0)


# --- the process


def main() -> None:
    """Write the rows of the workbook on stdin."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    file, size = io.BytesIO(sys.stdin.buffer.read()), 0
    try:
        for row in not_empty(xlsx_rows(file, sys.argv[1] if len(sys.argv) > 1 else None)):
            size += sys.stdout.write(json.dumps([row.line, row.cells]) + "\n")
            if size > ROWS_BYTES:
                raise Unreadable("the rows of the workbook are too large: split it", row.line)
    except Unreadable as error:
        sys.stdout.write(json.dumps({"unreadable": [error.reason, error.line]}) + "\n")


if __name__ == "__main__":
    main()
