"""Health, metrics and the index."""

from collections.abc import Callable
from typing import Any

import yaml
from aiohttp.test_utils import make_mocked_request
from openapi_spec_validator import validate
from system import Api, eventually

from web.metrics import observe


async def test_the_process_runs_and_is_ready(api: Api) -> None:
    async with api.session.get("/livez") as response:
        assert (response.status, await response.json()) == (200, {"live": True})

    async def readyz() -> tuple[int, Any]:
        async with api.session.get("/readyz") as response:
            return response.status, await response.json()

    await eventually(readyz, lambda answer: answer == (200, {"ready": True, "reasons": {}}))


async def test_it_answers_the_health_check_of_the_system_it_replaces(api: Api) -> None:
    async with api.session.get("/health") as response:
        assert (response.status, await response.json()) == (200, {"status": "UP"})


async def test_requests_are_counted_by_route(api: Api, unique: Callable[[str], str]) -> None:
    nobody = unique("nobody")
    await api("GET", f"/orders/{nobody}")
    async with api.session.get("/metrics") as response:
        text = await response.text()
    assert 'method="GET",route="/api/v1/orders/{orderId}",status="404"' in text
    assert nobody not in text
    assert "fulfillment_http_commands_total" in text


async def test_the_openapi_document_is_served(api: Api) -> None:
    async with api.session.get("/openapi.json") as response:
        served = await response.json()
    validate(served)
    async with api.session.get("/openapi.yaml") as response:
        assert response.content_type == "application/yaml"
        assert yaml.safe_load(await response.text()) == served


async def test_the_links_of_the_index_work(api: Api) -> None:
    async with api.session.get("/") as response:
        links = (await response.json())["data"]["links"]
    for link in ("openapi", "ready", "live", "metrics", "orders", "inventory", "workQueue"):
        async with api.session.get(links[link]) as response:
            assert response.status == 200


def test_unknown_paths_share_one_series() -> None:
    request = make_mocked_request("BREW", "/x")
    request._match_info = _Unmatched()  # type: ignore[assignment]
    observe(request, 404, 0.1)


class _Unmatched:
    class route:
        resource = None
