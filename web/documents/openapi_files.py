"""The paths of files in the OpenAPI document."""

from typing import Any

from web.files.order_export import ORDERS
from web.files.order_tables import TYPES_OF
from web.files.reading import MOST_ROWS
from web.files.stock_lines import COMMANDS
from web.files.uploads import XLSX

from .parameters import CONSISTENCY, IDENTIFIER, MAYBE_EMPTY, in_header, in_query
from .refusals import OF_BODIES, OF_QUERIES, refusals
from .schemas import TEXT, Schema

FILE: Schema = {"type": "string", "format": "binary"}
IMPORT = f"""The first row of the file names the columns `productId`, `quantity` and, if needed, `location`; others are
ignored. CSV is in UTF-8 or, with a byte order mark, in UTF-16; commas, semicolons or tabs separate its columns. A file
has up to {MOST_ROWS:,} rows.

Nothing is sent before the whole file has been read. The report is a stream of JSON objects, one on each line: first the
lines of the file, each with its `line`, its `status` (`accepted`, `repeated`, `rejected`, `invalid` or `pending`; in a
dry run `valid` or `invalid`) and a `message` that says what to do; then the `summary`, or the `error` that ended the
import. Sending the same file again changes nothing, or continues an interrupted import."""
EXPORT = """The filters are those of `GET /orders`. The file is streamed while it is made; it is incomplete if the
connection ends before the last chunk. It contains no addresses, because a file outlives the erasure of personal data.
In CSV, an apostrophe is added before text that a spreadsheet would take for a formula."""
LINE = '{"line":2,"productId":"boots","quantity":10,"status":"accepted","version":7}\n'
SUMMARY = '{"summary":{"importId":"…","mode":"receive","dryRun":false,"lines":1,"accepted":1,"ignoredColumns":[]}}\n'
FLAG: Schema = {"enum": ["true", "false"], "default": "false"}


def file_paths() -> dict[str, dict[str, Any]]:
    """Return the operations, by path below the prefix."""
    return {"/stock/imports": {"post": _import()}, "/exports/orders": {"get": _export()}}


def _export() -> Schema:
    chosen = in_query("format", "the format of the file", {"enum": list(TYPES_OF)})
    content = {kind: {"schema": FILE} for kind in TYPES_OF.values()}
    return {
        "summary": "Export orders as a table with a row for each line; HEAD answers `Order-Count`, except with `asOf`",
        "operationId": "get_orders_export",
        "tags": ["orders"],
        "description": EXPORT,
        "parameters": [{**chosen, "required": True}, *ORDERS.parameters(sorted_=False), *CONSISTENCY],
        "responses": {"200": {"description": "The file.", "content": content}, **refusals((*OF_QUERIES, 501))},
    }


def _import() -> Schema:
    parameters = [
        {**in_query("mode", "whether the quantities are units that arrived, or all units on hand",
                    {"enum": list(COMMANDS)}), "required": True},
        in_query("dryRun", "check the file and send nothing", FLAG),
        in_query("invalid", "with `skip`, import the valid lines of a file that has invalid ones",
                 {"enum": ["refuse", "skip"], "default": "refuse"}),
        in_query("sheet", "the name of the sheet, if a workbook has several", IDENTIFIER),
        in_query("reference", "a name for this import; the same file under another reference is another import",
                 IDENTIFIER),
    ]  # fmt: skip
    report = {"application/x-ndjson": {"schema": TEXT, "example": LINE + SUMMARY}}
    return {
        "summary": "Receive or count stock with a CSV or XLSX file, and stream a report of its lines",
        "operationId": "post_stock_imports",
        "tags": ["stock"],
        "description": IMPORT,
        "parameters": [
            *parameters,
            in_header("Correlation-Id", "An id for the logs and events of the import.", MAYBE_EMPTY),
        ],
        "requestBody": {"required": True, "content": {"text/csv": {"schema": FILE}, XLSX: {"schema": FILE}}},
        "responses": {"200": {"description": "The report.", "content": report}, **refusals((*OF_BODIES, 409, 422))},
    }
