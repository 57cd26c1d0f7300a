"""Stock files as people and spreadsheets write them, and as attackers do."""

import io
import zipfile
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from domain.inventory.commands import CountStock
from web.files.cells import BadCell, Cell, identifier_in, quantity_in
from web.files.reading import LINE_CHARACTERS, MOST_COLUMNS, MOST_ROWS, Rows, Unreadable, csv_rows, not_empty
from web.files.stock_import import Asked
from web.files.stock_lines import BadLine, Line, StockFile
from web.files.tables import ZIP, table_in
from web.files.workbook import xlsx_rows

HEADER = "productId,quantity\n"


def lines_of(content: bytes | str, kind: str = "receive", sheet: str | None = None) -> list[Line | BadLine]:
    return list(StockFile.of(rows(content, sheet), kind).lines())


def rows(content: bytes | str, sheet: str | None = None) -> Rows:
    """Read a workbook in this process: tests/web/test_web_files.py has one read as the api does."""
    data = content.encode() if isinstance(content, str) else content
    if data.startswith(ZIP):
        return lambda: not_empty(xlsx_rows(io.BytesIO(data), sheet))
    return lambda: not_empty(csv_rows(io.BytesIO(data)))


def good(content: bytes | str, **options: Any) -> list[tuple[int, str, int]]:
    found = lines_of(content, **options)
    assert all(isinstance(line, Line) for line in found), found
    return [(line.number, line.product_id, line.quantity) for line in found if isinstance(line, Line)]


def bad(content: bytes | str, **options: Any) -> list[tuple[int, str]]:
    return [(line.number, line.message) for line in lines_of(content, **options) if isinstance(line, BadLine)]


def workbook(*table: tuple[Any, ...], formats: dict[str, str] | None = None, sheets: int = 1) -> bytes:
    book, file = Workbook(), io.BytesIO()
    sheet = book.active
    assert sheet is not None
    for row in table:
        sheet.append(row)
    for place, number_format in (formats or {}).items():
        sheet[place].number_format = number_format
    for number in range(1, sheets):
        book.create_sheet(f"Other {number}")
    book.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "text",
    ["productId,quantity\nboots,10\n", "productId;quantity\nboots;10\n", "Product ID\tQty\nboots\t10",
     "\ufeffSKU,Units\r\nboots,10\r\n", "quantity,colour,product_id\n10,red, boots \n",
     'productId;quantity\n"boots";"10,00"\n'],
)  # fmt: skip
def test_columns_are_found_by_name_whatever_the_separator(text: str) -> None:
    assert good(text) == [(2, "boots", 10)]


def test_a_location_is_optional_on_each_line() -> None:
    found = lines_of("sku,qty,Warehouse\nboots,1,north\nboots,2,\nboots,3,south\n", kind="count")
    assert [(line.location, line.command) for line in found if isinstance(line, Line)] == [
        ("north", CountStock(quantity=1, location="north")),
        (None, CountStock(quantity=2)),
        ("south", CountStock(quantity=3, location="south")),
    ]


def test_a_line_with_more_columns_than_the_header_is_refused() -> None:
    assert bad(f"{HEADER}boots,10,0\nlaces,1,\n") == [
        (2, "the line has more columns than the header: put values with a comma in quotation marks")
    ]


def test_a_byte_order_mark_announces_utf_16() -> None:
    assert good("productId,quantity\nböötse,3\n".encode("utf-16")) == [(2, "böötse", 3)]


def test_a_line_break_in_a_cell_does_not_shift_the_numbers_of_lines() -> None:
    text = 'productId,note,quantity\nboots,"two\nlines",1\n\nlaces,,oops\n'
    assert bad(text) == [(5, "quantity is oops: enter a whole number of at least 0, in digits")]


@pytest.mark.parametrize(
    ("cell", "says"),
    [("1,000", "thousands or a fraction"), ("1.000", "thousands or a fraction"), ("1 000", "thousands"),
     ("2.5", "enter a whole number of units"), ("2,5", "enter a whole number of units"), ("-3", "at least 0"),
     ("", "is empty"), ("ten", "in digits"), ("9" * 20, "in digits"), ("0x10", "in digits"), ("١٢", "in digits")],
)  # fmt: skip
def test_a_quantity_that_is_not_certain_is_refused(cell: str, says: str) -> None:
    ((line, message),) = bad(f"productId;quantity\nboots;{cell}\n")
    assert line == 2
    assert says in message


def test_a_quantity_that_the_domain_refuses_is_reported_on_its_line() -> None:
    ((line, message),) = bad("productId,quantity\nboots,1\nlaces,0\n")
    assert (line, "greater than" in message) == (3, True)


@pytest.mark.parametrize(
    ("cell", "says"),
    [("4.00638E+12", "a spreadsheet has rounded"), ("4,00638e+12", "has rounded"), ("", "is empty"),
     ("x" * 200, "128 characters")],
)  # fmt: skip
def test_an_id_that_a_spreadsheet_spoiled_is_refused(cell: str, says: str) -> None:
    ((_, message),) = bad(f"productId;quantity\n{cell};1\n")
    assert message.startswith("productId")
    assert says in message


def test_an_apostrophe_before_a_formula_is_removed_as_exports_add_it() -> None:
    assert good(f"{HEADER}'=boots,1\n'-5,2\n'boots,3\n") == [(2, "=boots", 1), (3, "-5", 2), (4, "'boots", 3)]


def test_a_file_is_counted_with_each_product_on_one_line() -> None:
    twice = f"{HEADER}boots,1\nlaces,0\nboots,2\n"
    assert bad(twice, kind="count") == [(4, "productId is also on line 2: add the quantities up on one line")]
    assert bad(f"{HEADER}boots,1\nboots,2\n") == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"\n\n\n", "the file is empty"),
        (b"sku,price\n", "there is no column quantity"),
        (b"sku,product,quantity\n", "two columns are productId"),
        (b"productId,quantity,lot\n", "'lot' is not supported yet"),
        (b'productId,quantity\n"boots,1\n', "line 2: this is not CSV"),
        (b'productId,quantity\n"a"b,1\n', "line 2: this is not CSV"),
        (b"productId,quantity\nb\xf6\xf6ts,1\n", "byte 0xf6 is not utf-8: save the file as CSV UTF-8"),
        (b"productId,quantity\nbo\0ts,1\n", "line 2: the line has a zero byte"),
        (b"productId,quantity\n" + b"x" * LINE_CHARACTERS + b",1\n", "characters"),
        (b"productId,quantity\n" + b"," * MOST_COLUMNS + b"\n", "more than 64 columns"),
        (b"PK\x03\x04 not really", "this is not a workbook"),
        (b"\xff\xfep", "is not utf-16"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(content: bytes, says: str) -> None:
    with pytest.raises(Unreadable, match=r".+") as refused:
        lines_of(content)
    assert says in str(refused.value)


def test_a_file_has_a_limited_number_of_rows() -> None:
    with pytest.raises(Unreadable, match="more than 200,000 rows"):
        for _ in rows(HEADER + "a,1\n" * (MOST_ROWS + 1))():
            pass


def test_a_workbook_is_read_like_csv() -> None:
    data = workbook(
        ("Product ID", None, "Quantity"), ("boots", "x", 10), (), ("laces", None, "7"), ("socks", None, 3.0)
    )
    assert good(data) == [(2, "boots", 10), (4, "laces", 7), (5, "socks", 3)]


def test_numbers_are_ids_with_the_zeros_that_their_format_shows() -> None:
    data = workbook(("sku", "qty"), (4006381333931, 1), (123, 1), formats={"A3": "00000"})
    assert good(data) == [(2, "4006381333931", 1), (3, "00123", 1)]


@pytest.mark.parametrize(
    ("product", "quantity", "says"),
    [(datetime(2026, 3, 1), 1, "productId is a date"), (True, 1, "productId is TRUE"), (1.5, 1, "the number 1.5"),
     (1e17, 1, "may be rounded"), ("boots", datetime(2026, 3, 1), "quantity is a date"), ("boots", False, "is FALSE"),
     ("boots", 1.5, "enter a whole number of units"), ("boots", "=1+1", "must have been calculated")],
)  # fmt: skip
def test_values_that_excel_changed_are_refused(product: Any, quantity: Any, says: str) -> None:
    ((line, message),) = bad(workbook(("sku", "qty"), (product, quantity)))
    assert line == 2
    assert says in message


def test_one_of_several_sheets_must_be_named() -> None:
    data = workbook(("sku", "qty"), ("boots", 1), sheets=2)
    with pytest.raises(Unreadable, match="several sheets: name one of Sheet, Other 1"):
        lines_of(data)
    with pytest.raises(Unreadable, match="no sheet 'Nope'"):
        lines_of(data, sheet="Nope")
    assert good(data, sheet="Sheet") == [(2, "boots", 1)]


async def test_a_sheet_is_named_only_if_there_are_several() -> None:
    one = workbook(("sku", "qty"), ("boots", 1))
    with pytest.raises(Unreadable, match="only one sheet"):
        lines_of(one, sheet="Sheet")
    with pytest.raises(Unreadable, match="CSV has no sheets"):
        await table_in(io.BytesIO(b"sku,qty\nboots,1\n"), "Sheet")


def test_each_sheet_of_a_workbook_is_an_import_of_its_own() -> None:
    asked: list[dict[str, str]] = [
        {}, {"sheet": "North"}, {"sheet": "South"}, {"reference": "North"}, {"reference": "North", "sheet": "South"},
    ]  # fmt: skip
    found = [Asked.of({"mode": "receive", **each}).import_id("digest") for each in asked]
    assert len(set(found)) == len(asked)
    assert found[1] == Asked.of({"mode": "receive", "sheet": "North"}).import_id("digest")


@pytest.mark.usefixtures("processes")
async def test_numbers_without_bounds_are_bad_cells() -> None:
    numbers = ("1e999", "-1e999", "9" * 400)
    rows = "".join(f'<row r="{at}"><c r="A{at}"><v>7</v></c><c r="B{at}"><v>{number}</v></c></row>'
                   for at, number in enumerate(numbers, 2))  # fmt: skip
    sheet = ROWS.partition(b'<row r="99')[0] + rows.encode() + b"</sheetData></worksheet>"
    table = await table_in(io.BytesIO(_with_part("xl/worksheets/sheet1.xml", sheet)), None)
    found = list(StockFile.of(table, "receive").lines())
    assert [each.number for each in found if isinstance(each, BadLine)] == [2, 3, 4]


def _with_part(name: str, content: bytes) -> bytes:
    """Return a workbook in which a part is replaced."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook(("sku", "qty"), ("boots", 1)))) as known,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for each in known.namelist():
            made.writestr(each, content if each == name else known.read(each))
    return file.getvalue()


def test_a_workbook_that_unpacks_to_too_much_is_refused_before_it_is_unpacked() -> None:
    bomb = _with_part("xl/styles.xml", b" " * (64 << 20))
    assert len(bomb) < 1 << 20
    with pytest.raises(Unreadable, match=r"xl/styles\.xml in the workbook is too large"):
        lines_of(bomb)


def test_a_picture_has_a_limit_because_it_may_be_something_else() -> None:
    file = io.BytesIO(workbook(("sku", "qty"), ("boots", 1)))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/media/photo.png", b" " * (8 << 20))
    assert good(file.getvalue()) == [(2, "boots", 1)]
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/media/texts.xml", b" " * (33 << 20))
    with pytest.raises(Unreadable, match=r"xl/media/texts\.xml in the workbook is too large"):
        lines_of(file.getvalue())


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha">
%b]><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1">
<c r="A1" t="inlineStr"><is><t>&z;</t></is></c></row></sheetData></worksheet>"""


def test_a_workbook_whose_entities_multiply_is_refused() -> None:
    names = "abcdefghijklmnopqrstuvwxyz"
    entities = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise(names))
    with pytest.raises(Unreadable, match="not a workbook that can be read"):
        lines_of(_with_part("xl/worksheets/sheet1.xml", LAUGHS % entities.encode()))


ROWS = b"""<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>
<row r="1"><c r="A1" t="inlineStr"><is><t>sku</t></is></c><c r="B1" t="inlineStr"><is><t>qty</t></is></c></row>
<row r="99999999999"><c r="A99999999999"><v>1</v></c></row></sheetData></worksheet>"""


def test_a_row_far_below_the_others_ends_at_the_limit() -> None:
    with pytest.raises(Unreadable, match="more than 200,000 rows"):
        lines_of(_with_part("xl/worksheets/sheet1.xml", ROWS))


@given(st.binary(max_size=400))
def test_no_bytes_make_reading_fail_in_another_way(content: bytes) -> None:
    with suppress(Unreadable):
        lines_of(content)


@given(st.text(max_size=40), st.text(max_size=20))
def test_every_cell_is_either_read_or_refused(product: str, quantity: str) -> None:
    with suppress(BadCell):
        assert identifier_in(Cell(product)) in product
    with suppress(BadCell):
        assert quantity_in(Cell(quantity)) >= 0


@given(st.integers(0, 10**9))
def test_every_whole_number_is_read_as_it_is_written(number: int) -> None:
    assert quantity_in(Cell(str(number))) == quantity_in(Cell(number)) == quantity_in(Cell(f"{number},0")) == number
