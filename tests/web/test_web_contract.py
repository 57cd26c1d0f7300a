"""The running API against its OpenAPI document: no fault, and no answer that the document does not describe.

Schemathesis makes up requests; ids that cannot exist are asked for on every path, because it hardly ever gets there.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator
from system import Api

from streams.runtime.settings import Settings
from web.documents.openapi import document
from web.documents.refusals import codes

SECONDS = 900  # on a machine with much else to do; it takes half a minute
# Left out are the checks that every valid request is accepted, because the rules may reject it, and that every invalid
# one is refused, because pages and probes accept any parameter.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method"
)


@pytest.mark.long
def test_every_answer_to_generated_requests_matches_the_openapi_document(
    installation: tuple[str, Settings], tmp_path: Path
) -> None:
    base = urlsplit(installation[0])
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [
            *(str(program), "run", f"{base.scheme}://{base.netloc}/openapi.json"),
            *("--phases", "examples,fuzzing", "--max-examples", "12", "--checks", CHECKS, "--generation-deterministic"),
            *("--exclude-path", "/api/v1/events", "--request-timeout", "60", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-8_000:]}\n{done.stderr}"
    assert re.search(r"[1-9]\d\d+ generated, \d+ passed", done.stdout), done.stdout


DOCUMENT = document()
FINE = {  # a product is created, and of no letters none are retried
    "PUT /inventory/{productId}", "POST /inventory/{productId}/receive", "POST /inventory/{productId}/count",
    "POST /letters/{aggregate}/{key}/retry",
}  # fmt: skip
WITH_IDS = [
    (path.removeprefix("/api/v1"), method.upper())
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
    if "{" in path and path.startswith("/api/v1")
]


@pytest.mark.parametrize(("path", "method"), WITH_IDS, ids=lambda each: str(each))
async def test_an_unknown_id_gets_a_documented_404(api: Api, path: str, method: str) -> None:
    operation = DOCUMENT["paths"]["/api/v1" + path][method.lower()]
    named = {"aggregate": "order", "topic": "order-events"}
    address = re.sub(r"{(\w+)}", lambda found: named.get(found[1], f"none-{uuid4()}"), path)
    query = {"key": "none"} if "{messageId}" in path else {}
    status, answer, _ = await api(method, address, _body_of(operation), params=query)
    described = {int(each) for each in operation["responses"]}
    assert status in described, (status, answer)
    empty = answer["success"] and answer["data"] == []
    assert status == (operation_status(operation) if f"{method} {path}" in FINE or empty else 404), answer
    if status == 404:
        assert answer["error"] in codes()[404]
        assert answer["error"].endswith("_NOT_FOUND")
    schema = _schema_of(operation["responses"][str(status)])
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer)


def operation_status(operation: Any) -> int:
    return min(int(each) for each in operation["responses"])


def _body_of(operation: Any) -> Any:
    if (body := operation.get("requestBody")) is None:
        return None
    return body["content"]["application/json"].get("example", {})


def _schema_of(response: Any) -> dict[str, Any]:
    if reference := response.get("$ref"):
        response = DOCUMENT["components"]["responses"][reference.rpartition("/")[2]]
    return dict(response["content"]["application/json"]["schema"])
