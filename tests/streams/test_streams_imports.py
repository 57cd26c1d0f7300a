"""An API refuses commands while an import of an archive is unfinished, because they would disturb it."""

from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from confluent_kafka.admin import AdminClient
from real_kafka import create
from system import eventually

from streams.runtime.settings import Settings
from streams.topic_setup import ensure_topics
from streams.topics import UNFINISHED_IMPORT
from web.main import create_app


async def reasons(api: TestClient[Any, Any]) -> dict[str, str]:
    return dict((await (await api.get("/readyz")).json())["reasons"])


async def test_commands_are_refused_until_the_import_is_finished(settings: Settings) -> None:
    # Commands without a key need no MongoDB.
    settings = settings.model_copy(update={"mongo": "mongodb://127.0.0.1:9", "command_timeout": 60.0})
    await ensure_topics(settings)
    topic = create(settings, UNFINISHED_IMPORT)
    async with TestClient(TestServer(create_app(settings).web.web_app)) as api:
        found = await eventually(lambda: reasons(api), lambda found: "import" in found and "kafka" not in found)
        assert "run `fulfillment import` again with the same archive" in found["import"]
        for method, path, body in (
            ("PUT", "/inventory/boots", {"quantity": 1}),
            ("POST", "/commands", {"type": "SetStock", "data": {"productId": "boots", "quantity": 1}}),
        ):
            refused = await api.request(method, f"/api/v1{path}", json=body)
            code = (await refused.json())["error"]
            assert (refused.status, code, refused.headers["Retry-After"]) == (503, "IMPORT_UNFINISHED", "2")
        client = AdminClient({"bootstrap.servers": settings.kafka})
        client.delete_topics([topic])[topic].result(120)
        await eventually(lambda: reasons(api), lambda found: "import" not in found)
        accepted = await api.put("/api/v1/inventory/boots", json={"quantity": 1}, headers={"Prefer": "respond-async"})
        assert accepted.status == 202
