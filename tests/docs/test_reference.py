"""The reference pages say what the code says."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import web

from ops.reference.commandline import all_commands
from ops.reference.errors import cause_of
from ops.reference.markdown import rewritten
from ops.reference.pages import DOCS, PAGES, stale
from ops.reference.remedies import CAUSES, REMEDIES
from streams.runtime.settings import Settings
from web import PREFIX
from web.app import install
from web.documents.refusals import codes
from web.services import Services


def test_generated_parts_are_current() -> None:
    assert [page.name for page, _ in stale()] == [], "run `make reference`"


def test_a_part_that_is_out_of_date_is_found_and_rewritten() -> None:
    page = DOCS / "reference/settings.md"
    older = page.read_text().replace("FULFILLMENT_KAFKA", "FULFILLMENT_BROKER")
    assert rewritten(older, PAGES["reference/settings.md"]) == page.read_text()
    with pytest.raises(ValueError, match="one generated part 'settings', found 0"):
        rewritten("# Settings", PAGES["reference/settings.md"])


def test_every_error_has_a_cause_and_a_remedy() -> None:
    assert REMEDIES.keys() == {code for names in codes().values() for code in names}
    assert CAUSES.keys() <= REMEDIES.keys()
    assert all(cause_of(code).endswith(".") and REMEDIES[code].endswith(".") for code in REMEDIES)


def test_every_command_and_setting_is_described() -> None:
    text = (DOCS / "reference/cli.md").read_text()
    names = [name for name, _ in all_commands()]
    assert len(names) > 20
    assert all(f"### {name}\n" in text for name in names)
    settings = (DOCS / "reference/settings.md").read_text()
    assert all(f"| `FULFILLMENT_{name.upper()}` |" in settings for name in Settings.model_fields)


def routes() -> Iterator[tuple[str, str]]:
    """Yield method and path of every route the API has."""
    application = web.Application()
    install(application, cast(Services, SimpleNamespace(settings=Settings())))  # only handlers need the other services
    for route in application.router.routes():
        if route.method != "HEAD" and route.resource is not None:
            yield route.method, route.resource.canonical


@pytest.mark.parametrize(("method", "path"), list(routes()))
def test_every_route_is_described(method: str, path: str) -> None:
    text = (DOCS / "reference/http.md").read_text()
    assert f"`{method} {path}`" in text or f"`{method} {path.removeprefix(PREFIX)}`" in text
