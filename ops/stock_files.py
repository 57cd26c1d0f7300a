"""Importing a stock file through the HTTP API, which reports on every line.

InvalidFile                 the file cannot be imported; nothing was sent
"""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

from ops.errors import CommandFailed, file_error
from ops.http import HttpApi, Rejected

TYPES = {".csv": "text/csv", ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
INVALID = frozenset({"UNREADABLE_FILE", "INVALID_LINES", "BODY_TOO_LARGE", "VALIDATION_FAILED"})


class InvalidFile(CommandFailed):
    """The file cannot be imported; nothing was sent."""

    exit_code = os.EX_DATAERR


class StockFile(NamedTuple):
    """A file, and how to import it."""

    path: Path
    query: dict[str, str]  # the parameters of the API

    async def run(self, api: HttpApi, **more: str) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the report of each line, and last the summary; raise `CommandFailed` if the import ends before."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise file_error(error, self.path) from None
        headers = {"Content-Type": TYPES.get(self.path.suffix.lower(), "application/octet-stream")}
        last: dict[str, Any] = {}
        try:
            async with aclosing(api.lines("POST", "/stock/imports", data, headers, **self.query, **more)) as lines:
                async for last in lines:
                    if "error" not in last:
                        yield last
        except Rejected as no:
            raise (InvalidFile(f"{self.path}: {no}.") if no.code in INVALID else no) from None
        if "summary" not in last:
            ended = last.get("error", {"code": "INCOMPLETE", "message": "the report is incomplete"})
            raise CommandFailed(f"{self.path}: {ended['code']}: {ended['message']}.")
