"""An error of MongoDB is reported as one sentence: which server, and what failed."""

import socket

import pymongo
import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError, ServerSelectionTimeoutError, WriteConcernError

from projections.mongo.failures import cause, describe


async def failure(uri: str) -> PyMongoError:
    """Return the error of a ping without an answer."""
    client = AsyncMongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=200)
    with pytest.raises(PyMongoError) as caught:
        await client.admin.command("ping")
    await client.close()
    return caught.value


async def test_a_refused_connection_names_the_server() -> None:
    error = await failure("mongodb://me:hunter2@127.0.0.1:1")
    assert describe(error) == "MongoDB is unreachable (127.0.0.1:1: Connection refused)"


async def test_each_unreachable_server_of_a_replica_set_is_named() -> None:
    error = await failure("mongodb://127.0.0.1:1,127.0.0.1:2/?replicaSet=rs")
    named = sorted(cause(error).split(", "))
    assert named == ["127.0.0.1:1: Connection refused", "127.0.0.1:2: Connection refused"]


async def test_an_unknown_host_keeps_the_words_of_the_resolver() -> None:
    error = await failure("mongodb://no-such-host.invalid:27017")
    assert cause(error).startswith("no-such-host.invalid:27017: ")
    assert "Topology" not in cause(error)


@pytest.mark.parametrize("options", ["", "/?replicaSet=rs"])
async def test_a_server_that_never_answers_is_unreachable(options: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        client = AsyncMongoClient[dict[str, object]](f"mongodb://127.0.0.1:{port}{options}")
        with pymongo.timeout(0.2), pytest.raises(PyMongoError) as caught:
            await client.admin.command("ping")
        await client.close()
    assert describe(caught.value) == f"MongoDB is unreachable (127.0.0.1:{port}: no answer)"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OperationFailure("Authentication failed.", 18, {"ok": 0.0, "codeName": "AuthenticationFailed"}),
            "MongoDB at db refused the credentials (Authentication failed)",
        ),
        (
            OperationFailure("not authorized on f to execute command { find }", 13, {"ok": 0.0}),
            "MongoDB at db refused the credentials (not authorized on f to execute command { find })",
        ),
        (
            ServerSelectionTimeoutError(
                "db:1: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate "
                "(_ssl.c:1006) (configured timeouts: connectTimeoutMS: 20000.0ms), Timeout: 2.0s, "
                "Topology Description: <>"
            ),
            "MongoDB at db has a certificate that is not trusted (db:1: certificate verify failed: "
            "self-signed certificate)",
        ),
        (
            WriteConcernError("waiting for replication timed out", 64, {"wtimeout": True}),
            "MongoDB at db reported an error (waiting for replication timed out)",
        ),
        (
            WriteConcernError("operation was interrupted", 11602, {"codeName": "InterruptedDueToReplStateChange"}),
            "MongoDB at db is unreachable (operation was interrupted)",
        ),
        (
            OperationFailure("Read concern majority is not available yet", 134, {"ok": 0.0}),
            "MongoDB at db is unreachable (Read concern majority is not available yet)",
        ),
    ],
)
def test_the_complete_reply_of_the_server_is_left_out(error: PyMongoError, sentence: str) -> None:
    assert describe(error, "MongoDB at db") == sentence
