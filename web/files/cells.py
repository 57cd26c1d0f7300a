"""Cells of a table: what a person or a spreadsheet wrote, as an id or a quantity.

BadCell                     the reason, and what to do

Spreadsheets change what is typed into them: ids become numbers without their leading zeros, or dates. A change
that cannot be undone is refused, never guessed.
"""

import re
from typing import NamedTuple

LONGEST = 40  # characters of a cell that a sentence repeats
EXACT = 10**15  # spreadsheets store larger numbers without their last digits
ZEROS = re.compile(r"0{2,}")  # a number format that shows leading zeros
ROUNDED = re.compile(r"[+-]?\d(?:[.,]\d+)?[eE]\+?\d+")  # 4.00638E+12
WHOLE = re.compile(r"\+?([0-9]{1,15})(?:[.,]0{1,2})?")
GROUPED = re.compile(r"\d{1,3}(?:[., '\u00a0\u202f]\d{3})+")
FRACTION = re.compile(r"\d*[.,]\d+")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # first characters of a cell that a spreadsheet takes for a formula
AS_TEXT = "format the column as text, and enter the id again"
DATE = "date"  # the format of a text that a spreadsheet stores as a date or time
Value = str | int | float | bool | None


class BadCell(ValueError):
    """A cell that is not what its column needs."""


class Cell(NamedTuple):
    """The value of a cell, and the format in which a spreadsheet shows a number."""

    value: Value
    format: str = "General"

    @property
    def is_empty(self) -> bool:
        """Return whether the cell has nothing in it."""
        return self.value is None or (isinstance(self.value, str) and not self.value.strip())


EMPTY = Cell(None)


def identifier_in(cell: Cell) -> str:
    """Return the id in a cell, without the spaces around it."""
    match cell.value:
        case str() if cell.format == DATE:
            raise BadCell(f"is a date, {cell.value}: {AS_TEXT}")
        case str() if not cell.is_empty:
            return _identifier(cell.value.strip())
        case bool():
            raise BadCell(f"is {str(cell.value).upper()}, a truth value: {AS_TEXT}")
        case int() | float() as number if number % 1 == 0 and 0 <= number < EXACT:
            width = len(cell.format) if ZEROS.fullmatch(cell.format) else 0
            return f"{int(number):0{width}}"
        case int() | float():
            raise BadCell(f"is the number {cell.value}, which may be rounded: {AS_TEXT}")
    raise BadCell("is empty: enter the id, or delete the line")


def _identifier(text: str) -> str:
    if ROUNDED.fullmatch(text):
        raise BadCell(f"is {text:.{LONGEST}}, a number that a spreadsheet has rounded: {AS_TEXT}")
    return text[1:] if text[0] == "'" and is_formula(text) else text


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet may take a text for a formula; exports add an apostrophe, imports remove it."""
    return text.lstrip("' ").startswith(FORMULA)


def quantity_in(cell: Cell) -> int:
    """Return the whole number in a cell; a decimal point or comma may be followed by zeros."""
    match cell.value:
        case bool():
            raise BadCell(f"is {str(cell.value).upper()}: enter a whole number")
        case int() | float() as number if number % 1 == 0 and abs(number) < EXACT:
            return int(number)
        case int() | float():
            raise BadCell(f"is {cell.value}: enter a whole number of units")
        case str() if cell.format == DATE:
            raise BadCell(f"is a date, {cell.value}: format the column as a number, and enter the quantity again")
        case str() if not cell.is_empty:
            return _quantity(cell.value.strip())
    raise BadCell("is empty: enter a whole number; a formula must have been calculated when the file was saved")


def _quantity(text: str) -> int:
    if found := WHOLE.fullmatch(text):
        return int(found[1])
    said = f"is {text:.{LONGEST}}"
    if GROUPED.fullmatch(text):
        raise BadCell(f"{said}, which may be thousands or a fraction: enter the number without separators")
    if FRACTION.fullmatch(text):
        raise BadCell(f"{said}: enter a whole number of units")
    raise BadCell(f"{said}: enter a whole number of at least 0, in digits")
