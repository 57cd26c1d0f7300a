"""Schemathesis against the running API: no fault, and no answer the OpenAPI document does not describe."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from streams.settings import Settings

SECONDS = 900  # on a machine with much else to do; it takes half a minute
# Not asked: that what is well formed is accepted (the rules may refuse it), and that what is not is refused (parameters
# nobody knows, or given twice, are ignored).
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method"
)


def test_no_request_meets_a_fault_or_an_answer_nobody_described(
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
