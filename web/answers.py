"""Answers: one JSON shape for all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return `body` as JSON."""
    return raw_response(orjson.dumps(body), status, headers)


def raw_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a body that is JSON already."""
    return web.Response(body=body, status=status, headers=headers, content_type="application/json", charset="utf-8")


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return `{"success":true,"data":…}`."""
    return json_response({"success": True, "data": data}, status, headers)


def page(items: Sequence[Any], next_cursor: str | None, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a list, and where the next one begins."""
    return json_response({"success": True, "data": items, "nextCursor": next_cursor}, headers=headers)
