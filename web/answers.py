"""Answers: objects until they are sent, when the layer around the handlers encodes them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a JSON body; without a body if it is None."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """Return the body as JSON."""
        try:
            return orjson.dumps(self.body)
        except orjson.JSONEncodeError:  # an error message can quote a header that is not UTF-8
            return json.dumps(self.body, ensure_ascii=False).encode(errors="replace")

    def response(self, headers: Mapping[str, str]) -> web.Response:
        """Return the response to send; `headers` are added to the answer's own."""
        headers = {**self.headers, **headers}
        if self.body is None:
            return web.Response(status=self.status, headers=headers)
        body = self.encoded()
        return web.Response(
            body=body, status=self.status, headers=headers, content_type="application/json", charset="utf-8"
        )


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return `{"success":true,"data":…}`."""
    return Answer({"success": True, "data": data}, status, headers or {})


def page(items: Sequence[Any], next_cursor: str | None, headers: Mapping[str, str] | None = None) -> Answer:
    """Return one page of a list, and the cursor of the next page."""
    return Answer({"success": True, "data": items, "nextCursor": next_cursor}, 200, headers or {})
