"""The OpenAPI document: valid, complete, and with examples that its own schemas accept."""

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

import web
from streams.access.denials import Denied
from streams.messages import codec
from web.commands.bodies import checked
from web.commands.handling import CommandRoute
from web.commands.routes import COMMAND_ROUTES
from web.documents.openapi import document
from web.documents.refusals import codes
from web.errors import not_found
from web.queries.routes import QUERY_ROUTES
from web.statuses import REFUSALS

DOCUMENT = document()


def test_it_is_valid() -> None:
    validate(DOCUMENT)


def test_every_operation_has_a_unique_id_and_lists_its_errors() -> None:
    operations = [each for path in DOCUMENT["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    for each in operations:
        if each["tags"] != ["operations"]:
            assert {"400", "401", "403", "429", "500", "503"} <= set(each["responses"])


@pytest.mark.parametrize("route", COMMAND_ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_schemas_and_models_accept_the_examples(route: CommandRoute) -> None:
    operation: dict[str, Any] = DOCUMENT["paths"]["/api/v1" + route.path][route.method.lower()]
    if route.example is None:
        assert "requestBody" not in operation
        return
    content = operation["requestBody"]["content"]["application/json"]
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(content["example"])
    ids = {"shipmentId": "s-1", "returnId": "r-1", "transferId": "t-1", "location": "berlin", "lineId": "1"}
    own = {name: value for name, value in ids.items() if f"{{{name}}}" in route.path}
    data = {**content["example"], **own}
    if route.body is None:
        assert isinstance(checked(route.command, data), route.command)
    else:
        assert isinstance(checked(route.body, data).command(), route.command)


def test_every_code_an_answer_can_carry_is_listed_with_its_status() -> None:
    listed = {code for names in codes().values() for code in names}
    assert set(DOCUMENT["components"]["schemas"]["Error"]["properties"]["error"]["enum"]) == listed
    written = re.compile(r'(?:Problem|unavailable|invalid|BadMessage)\(\s*(?:[^()]*, )?"([A-Z_]{5,})"')
    sources = [*Path(web.__path__[0]).rglob("*.py"), Path(codec.__file__)]
    found = {code for source in sources for code in written.findall(source.read_text())}
    found.remove("UNKNOWN_EVENT")  # only events in the log have it
    found |= {not_found(kind) for source in sources for kind in re.findall(r'missing\("(\w+)"', source.read_text())}
    found |= {not_found(route.shape.name) for route in QUERY_ROUTES if not route.many and route.ask is None}
    found |= {each.code for each in Denied.__subclasses__()}
    assert "CUSTOMER_NOT_FOUND" in found
    assert {"NOT_JSON", "UNAUTHORIZED", "UNKNOWN_TYPE", "INVALID_ORDER", "KAFKA_UNAVAILABLE"} <= found <= listed
    for status, refusal in REFUSALS.items():
        sentence = DOCUMENT["components"]["responses"][refusal.name]["description"]
        assert all(f"`{code}`" in sentence for code in codes()[status])
