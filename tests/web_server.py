"""A worker's web server alone, in the test's own process, with Kafka and MongoDB unreachable."""

from typing import Any

import aiohttp
from system import free_ports

from agents.main import build
from projections.mongo import client as mongo_client
from streams.runtime.settings import Settings
from web.main import create_app

NOWHERE: dict[str, Any] = {"kafka": "127.0.0.1:9", "mongo": "mongodb://127.0.0.1:9"}


class Server:
    """The web server of a role, as `fulfillment worker` starts it; `headers` are those of the last answer."""

    def __init__(self, role: Any, **changes: Any) -> None:
        settings = Settings(**{**NOWHERE, "http_port": free_ports(1), **changes})
        self.port, patience = settings.http_port, mongo_client.SERVER_SELECTION_MS
        mongo_client.SERVER_SELECTION_MS = 50
        try:
            self.web = (create_app(settings) if role == "api" else build(role, settings)).web
        finally:
            mongo_client.SERVER_SELECTION_MS = patience
        self.headers: Any = {}

    async def __aenter__(self) -> "Server":
        await self.web.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.web.stop_server()

    async def ask(self, method: str, path: str, *, token: str | None = None, **headers: str) -> tuple[int, Any, Any]:
        """Return status, error code and JSON of an answer; a header's name has underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            named["Authorization"] = f"Bearer {token}"
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, headers=named) as answer:
            self.headers = answer.headers
            body = await answer.json() if answer.content_type == "application/json" else await answer.text()
            return answer.status, body.get("error") if isinstance(body, dict) else None, body
