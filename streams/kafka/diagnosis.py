"""Finds out why Kafka cannot be used, as one sentence for logs, `/readyz` and the command line.

Both libraries report a wrong password, an untrusted certificate and an unreachable server alike: they cannot connect.
So when one of their clients fails, this module makes a connection of its own and looks at the error.
"""

import asyncio
import os
import socket
import ssl
from asyncio import IncompleteReadError
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from aiokafka import errors
from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import BrokerResponseError, KafkaError
from confluent_kafka import KafkaException

from streams.kafka.clients import connection_config
from streams.kafka.metadata import denied_in, request_for
from streams.kafka.tokens import NoToken
from streams.kafka.wire import Code
from streams.runtime.settings import Settings

CONNECT_SECONDS = 3.0
PROTOCOL = "FULFILLMENT_KAFKA_SECURITY_PROTOCOL"
LOGIN = "correct FULFILLMENT_KAFKA_USER or FULFILLMENT_KAFKA_PASSWORD"
UNREACHABLE = (ConnectionRefusedError, TimeoutError, socket.gaierror)
X509_NOT_YET_VALID, X509_EXPIRED, X509_OTHER_HOST, X509_OTHER_ADDRESS = 9, 10, 62, 64  # codes of OpenSSL
RIGHTS = {
    Code.TOPIC_AUTHORIZATION_FAILED: "topic", Code.GROUP_AUTHORIZATION_FAILED: "consumer group",
    Code.CLUSTER_AUTHORIZATION_FAILED: "cluster", Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional id",
}  # fmt: skip
TLS_ALERT = 0x1503  # the first bytes of a TLS alert, read as the length of an answer


class Trouble(NamedTuple):
    """Why Kafka cannot be used, and what to do; both without a full stop."""

    what: str
    remedy: str
    reached: bool = True  # whether a server answered at all

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


async def diagnose(settings: Settings, topics: Collection[str] = ()) -> Trouble | None:
    """Return what keeps this process from connecting to Kafka or from seeing `topics` (full names); None if nothing."""
    found = await asyncio.gather(*(_try(settings, *server, topics) for server in _servers(settings)))
    return None if None in found else _clearest(found)


def diagnosis(settings: Settings, topics: Collection[str] = ()) -> Trouble | None:
    """Return the same, for callers that block."""
    with ThreadPoolExecutor(1) as thread:  # the caller's own thread may run an event loop
        return thread.submit(lambda: asyncio.run(diagnose(settings, topics))).result()


def _clearest(found: Iterable[Trouble | None]) -> Trouble:
    """Return a trouble that a server reported, if one did."""
    return max(filter(None, found), key=lambda trouble: trouble.reached)


def _servers(settings: Settings) -> Iterator[tuple[str, int]]:
    for host, port, _ in collect_hosts(settings.kafka, randomize=False):
        yield host, port


async def _try(settings: Settings, host: str, port: int, topics: Collection[str]) -> Trouble | None:
    at = f"{host}:{port}"
    try:
        connection = await _connect(settings, host, port)
    except Exception as error:
        return _about_connecting(settings, at, error)
    try:
        answer = await asyncio.wait_for(connection.send(request_for(topics)), CONNECT_SECONDS)
    except (KafkaError, OSError, TimeoutError) as error:
        return _about_asking(settings, at, error)
    finally:
        connection.close()
    if not answer.brokers and settings.kafka_uses_oauth:  # aiokafka does not notice that its token was refused
        return _refused_token(at)
    if denied := denied_in(answer):
        return not_authorized("topic", denied)
    return await _about_advertised(settings, at, answer)


async def _connect(settings: Settings, host: str, port: int) -> AIOKafkaConnection:
    async with asyncio.timeout(CONNECT_SECONDS):
        return await create_conn(
            host, port, client_id=settings.named("diagnosis"), max_idle_ms=None, **connection_config(settings)
        )


async def _about_advertised(settings: Settings, at: str, answer: Any) -> Trouble | None:
    """Return why the addresses that the broker gives for the cluster cannot be used, if none of them can."""
    others = [(host, port) for _, host, port, *_ in answer.brokers if f"{host}:{port}" != at]
    if len(others) < len(answer.brokers) or not others:
        return None
    found = await asyncio.gather(*(_try_to_connect(settings, *other) for other in others))
    if None in found:
        return None
    trouble = _clearest(found)
    return trouble._replace(what=f"{at} answers, and gives {others[0][0]}:{others[0][1]} as an address. {trouble.what}")


async def _try_to_connect(settings: Settings, host: str, port: int) -> Trouble | None:
    try:
        (await _connect(settings, host, port)).close()
    except Exception as error:
        return _about_connecting(settings, f"{host}:{port}", error)
    return None


# --- what an error means


def not_authorized(kind: str, name: str) -> Trouble:
    """Return that this service lacks a right on a topic, a group or another resource."""
    return Trouble(f"Kafka does not authorize this service for the {kind} {name}".rstrip(), "grant it the right")


def missing_right(error: Any, name: str = "") -> Trouble | None:
    """Return what an error of either library says about a missing right on `name`; None if it says nothing of one."""
    if isinstance(error, KafkaError):
        code = error.errno if isinstance(error, BrokerResponseError) else None
        name = name or str(error.args[0] if error.args else "")
    else:
        code = (error.args[0] if isinstance(error, KafkaException) else error).code()
    return not_authorized(RIGHTS[code], name) if code in RIGHTS else None


def _about_connecting(settings: Settings, at: str, error: Exception) -> Trouble:
    if (trouble := _about(settings, at, error)) is not None:
        return trouble
    if settings.kafka_uses_tls and not isinstance(error, UNREACHABLE):
        return Trouble(f"Kafka at {at} does not use TLS on this port", f"correct FULFILLMENT_KAFKA or {PROTOCOL}")
    return _unreachable(at, error)


def _about_asking(settings: Settings, at: str, error: Exception) -> Trouble:
    if isinstance(error, TimeoutError):
        return _unreachable(at, error)
    if (trouble := _about(settings, at, error)) is not None:
        return trouble
    if settings.kafka_uses_oauth:
        return _refused_token(at)
    if settings.kafka_uses_sasl:
        return Trouble(f"Kafka at {at} closes the connection", "look at its log")
    return Trouble(f"Kafka at {at} requires a login", f"set {PROTOCOL} to SASL_SSL or SASL_PLAINTEXT")


def _about(settings: Settings, at: str, error: BaseException) -> Trouble | None:
    """Return what an error or one of its causes means; None if it only says that there is no connection."""
    match error:
        case ssl.SSLCertVerificationError():
            why = error.verify_message.rstrip(".")
            return Trouble(f"Kafka's certificate at {at} is not trusted ({why})", _remedy(settings, error.verify_code))
        case ssl.SSLError(reason=str(reason)) if "ALERT" in reason:
            why = reason.partition("ALERT_")[2].replace("_", " ").lower()
            return Trouble(f"Kafka at {at} does not accept this service's certificate ({why})", _certificate(settings))
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "RECORD_LAYER_FAILURE"):
            return None
        case ssl.SSLError() | FileNotFoundError() | PermissionError():
            return Trouble(
                f"The certificate or key cannot be used ({error})", "correct FULFILLMENT_KAFKA_CERTIFICATE or _KEY"
            )
        case errors.SaslAuthenticationFailed() if settings.kafka_uses_oauth:
            return _refused_token(at)
        case errors.SaslAuthenticationFailed():
            return Trouble(f"Kafka at {at} refuses the user or password ({settings.kafka_sasl_mechanism})", LOGIN)
        case errors.UnsupportedSaslMechanismError():
            what = f"Kafka at {at} does not offer {settings.kafka_sasl_mechanism}"
            return Trouble(what, "correct FULFILLMENT_KAFKA_SASL_MECHANISM")
        case errors.IllegalSaslStateError():
            return Trouble(f"Kafka at {at} has no login on this port", f"correct FULFILLMENT_KAFKA or {PROTOCOL}")
        case NoToken():
            return Trouble(str(error.args[0]), "correct the settings FULFILLMENT_KAFKA_OAUTH_…")
        case IncompleteReadError(expected=int(size)) if size >> 16 == TLS_ALERT:
            return Trouble(f"Kafka at {at} requires TLS", f"set {PROTOCOL} to SSL or SASL_SSL")
    return _about(settings, at, error.__cause__) if error.__cause__ else None


def _refused_token(at: str) -> Trouble:
    what = f"Kafka at {at} refuses the token"
    return Trouble(
        what, "correct FULFILLMENT_KAFKA_OAUTH_SCOPE, or the audience, the issuer and the keys that the broker expects"
    )


def _unreachable(at: str, error: Exception) -> Trouble:
    why = getattr(error, "strerror", None)
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, socket.gaierror):
        why = os.strerror(error.errno)  # asyncio's own text repeats the address
    what = f"Kafka is unreachable: {at} does not answer" + (f" ({why})" if why else "")
    return Trouble(what, "start it, or correct FULFILLMENT_KAFKA", reached=False)


def _remedy(settings: Settings, code: int) -> str:
    if code in (X509_EXPIRED, X509_NOT_YET_VALID):
        return "renew it on the broker, or correct this machine's clock"
    if code in (X509_OTHER_HOST, X509_OTHER_ADDRESS):
        return "use a host name of the certificate in FULFILLMENT_KAFKA, or set FULFILLMENT_KAFKA_CHECK_HOSTNAME=false"
    return "set FULFILLMENT_KAFKA_CA to the certificate of the authority that signed it"


def _certificate(settings: Settings) -> str:
    if settings.kafka_certificate is None:
        return "set FULFILLMENT_KAFKA_CERTIFICATE and FULFILLMENT_KAFKA_KEY"
    return f"renew {settings.kafka_certificate}, or have the broker trust its authority"
