"""`POST /stock/imports`: receive or count the stock of many products with one file, and report on every line.

The file is read completely before anything is sent. The id of each command is derived from the content of the file and
the line, so that a file that is sent again changes nothing, and continues where it was interrupted.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import orjson
from aiohttp import web

from projections.mongo.leases import Leased
from streams.messages.envelope import derived_id
from streams.wording import counted
from web.errors import Problem, invalid, problem_of
from web.requests import identifier
from web.services import SERVICES, Services

from .reading import Unreadable
from .sending import Sending
from .stock_lines import COMMANDS, BadLine, Line, StockFile
from .stream import Streamed, streamed
from .tables import table_in
from .uploads import upload

T = TypeVar("T")
WINDOW = 200  # lines that are sent together. Stored progress is by window: never change it
NAMED = 20  # bad lines that an error names
HEADERS = {"Content-Type": "application/x-ndjson; charset=utf-8", "Cache-Control": "no-store"}
Report = dict[str, Any]  # the report of one line


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of a request."""

    mode: str
    dry_run: bool
    skip_invalid: bool
    sheet: str | None
    reference: str

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Asked":
        """Read them; raise a 400 if `mode` is missing."""
        if (mode := query.get("mode")) is None:
            raise invalid({"mode": f"is required: {' or '.join(COMMANDS)}"})
        names = {name: identifier(query[name], name) for name in ("sheet", "reference") if name in query}
        return cls(
            mode,
            query.get("dryRun") == "true",
            query.get("invalid") == "skip",
            names.get("sheet"),
            names.get("reference", ""),
        )

    def import_id(self, digest: str) -> str:
        """Return the id of the import of a file with this digest; each of several sheets has its own."""
        whole = derived_id("stock-import", digest, self.mode, self.reference)
        return whole if self.sheet is None else derived_id("sheet", whole, self.sheet)


async def import_stock(request: web.Request) -> web.StreamResponse:
    """Check a file or carry it out, and stream a report of its lines."""
    asked = Asked.of(request.query)
    async with upload(request) as found:
        import_id = asked.import_id(found.digest)
        try:
            file = await asyncio.to_thread(StockFile.of, await table_in(found.file, asked.sheet), asked.mode)
            if not asked.dry_run:
                await _check(file, asked.skip_invalid)
        except Unreadable as error:
            raise _unreadable(error) from None
        run = _Run(request.app[SERVICES], file, import_id, asked)
        async with streamed(request, {**HEADERS, "Import-Id": import_id}) as answer:
            await run.report(answer, Sending.of(request, import_id))
        return answer.response


async def _check(file: StockFile, skip_invalid: bool) -> None:
    """Read the whole file; raise a 422 if lines are invalid and shall not be skipped."""
    bad, count = list[BadLine](), 0
    async for lines in _windows(file.lines()):
        found = [line for line in lines if isinstance(line, BadLine)]
        bad, count = (bad + found)[:NAMED], count + len(found)
    if count and not skip_invalid:
        details = {"invalid": count, "lines": [{"line": each.number, "message": each.message} for each in bad]}
        first = "; ".join(f"line {each.number}: {each.message}" for each in bad[:3])
        are = counted(count, "line is", "lines are")
        sentence = f"nothing was sent, because {are} invalid: {first}. Correct them, or skip them"
        raise Problem("INVALID_LINES", sentence, details)


def _unreadable(error: Unreadable) -> Problem:
    details = {} if error.line is None else {"line": error.line}
    return Problem("UNREADABLE_FILE", f"nothing was sent: {error}", details)


async def _windows(found: Iterator[T]) -> AsyncIterator[list[T]]:
    """Yield items in windows, read in a thread, because a workbook takes long."""
    while window := await asyncio.to_thread(lambda: list(islice(found, WINDOW))):
        yield window


@dataclass(slots=True)
class _Run:
    """One pass over a file."""

    services: Services
    file: StockFile
    import_id: str
    asked: Asked

    async def report(self, answer: Streamed, sending: Sending) -> None:
        """Write the report of every line, and a summary. After an error that ends the import, write the error."""
        counts: dict[str, int] = {}
        try:
            async with aclosing(self._checked() if self.asked.dry_run else self._carried_out(sending)) as windows:
                async for reports in windows:
                    for each in reports:
                        counts[each["status"]] = counts.get(each["status"], 0) + 1
                    await answer.write(b"".join(map(_line, reports)))
        except Exception as error:
            problem = _unreadable(error) if isinstance(error, Unreadable) else problem_of(error)
            if problem is None or not answer.response.prepared:
                raise problem or error from None
            what = "" if self.asked.dry_run else ". Send the same file again to continue"
            await answer.write(_line({"error": {"code": problem.code, "message": f"{problem}{what}"}}))
            return
        summary = {"importId": self.import_id, "mode": self.asked.mode, "dryRun": self.asked.dry_run,
                   "lines": sum(counts.values()), **counts, "ignoredColumns": self.file.ignored}  # fmt: skip
        await answer.write(_line({"summary": summary}))

    async def _checked(self) -> AsyncGenerator[list[Report], None]:
        """Yield the reports of a dry run: what is invalid, and what the products have now."""
        async for lines in _windows(self.file.lines()):
            ids = list({line.product_id for line in lines if isinstance(line, Line)})
            known = {each["id"]: each for each in await self.services.queries.find_many("inventory", ids)}
            yield [_planned(line, known) if isinstance(line, Line) else _invalid(line) for line in lines]

    async def _carried_out(self, sending: Sending) -> AsyncGenerator[list[Report], None]:
        try:
            async with self.services.stock_imports.alone(self.import_id):
                async for lines in _windows(self.file.lines()):
                    good = [line for line in lines if isinstance(line, Line)]
                    done = await sending.carry_out(lines[0].number, good) if good else {}
                    yield [done[line.number] if isinstance(line, Line) else _invalid(line) for line in lines]
        except Leased as error:
            raise Problem("IMPORT_IN_PROGRESS", f"this file is being imported: {error}") from None


def _line(report: Mapping[str, Any]) -> bytes:
    return orjson.dumps(report) + b"\n"


def _invalid(line: BadLine) -> Report:
    return {"line": line.number, "status": "invalid", "message": line.message}


def _planned(line: Line, known: Mapping[str, Any]) -> Report:
    product = known.get(line.product_id)
    exists = product is not None and product["exists"]
    has = {"onHand": product["onHandQuantity"]} if product is not None and exists else {"new": True}
    return {**line.report("valid"), **has}
