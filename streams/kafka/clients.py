"""The options that every Kafka client begins with: where Kafka is, and how this service proves who it is.

`aiokafka_config`, `librdkafka_config` and `faust_config` are for the three kinds of clients, and
tests/streams/test_streams_clients.py finds clients that are built without them. A password or certificate is read again
for each connection of aiokafka and for each client of librdkafka, so a rotated one is used without a restart.
"""

import ssl
from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from yarl import URL

from streams.runtime.settings import Settings

Config = dict[str, Any]


def aiokafka_config(settings: Settings, brokers: Iterable[Any] = (), *, only: bool = False) -> Config:
    """Return the options of every client of aiokafka; `brokers` are known to another client already.

    `only` leaves out the configured ones, because one of them may be silent, unless no other is known.
    """
    known = [f"[{each.host}]:{each.port}" if ":" in each.host else f"{each.host}:{each.port}" for each in brokers]
    configured = [] if only else settings.kafka.split(",")
    servers = list(dict.fromkeys([*configured, *known])) if known else settings.kafka
    return {"bootstrap_servers": servers, **connection_config(settings)}


def connection_config(settings: Settings) -> Config:
    """Return the options of a single connection of aiokafka."""
    from streams.kafka import library_patches as library_patches  # in force before a client connects

    config: Config = {"security_protocol": settings.kafka_security_protocol}
    if settings.kafka_uses_tls:
        config["ssl_context"] = partial(tls, settings)
    if settings.kafka_uses_oauth:
        config |= {"sasl_mechanism": settings.kafka_sasl_mechanism, "sasl_oauth_token_provider": _tokens(settings)}
    elif settings.kafka_uses_sasl:
        config |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": partial(settings.secret, "kafka_user"),
            "sasl_plain_password": partial(settings.secret, "kafka_password"),
        }
    return config


def librdkafka_config(settings: Settings) -> Config:
    """Return the options of every client of librdkafka; its errors are raised, and not printed as well."""
    config: Config = {
        "bootstrap.servers": settings.kafka,
        "security.protocol": settings.kafka_security_protocol,
        "log_level": 0,
    }
    if settings.kafka_uses_tls:
        config |= _librdkafka_tls(settings)
    if settings.kafka_uses_oauth:
        config |= {"sasl.mechanism": settings.kafka_sasl_mechanism, "oauth_cb": _tokens(settings).for_librdkafka}
    elif settings.kafka_uses_sasl:
        config |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.secret("kafka_user"),
            "sasl.password": settings.secret("kafka_password"),
        }
    return config


def faust_config(settings: Settings) -> Config:
    """Return the options of a Faust app, whose consumer is a client of aiokafka."""
    import faust

    config, credentials = aiokafka_config(settings), None
    context = config.get("ssl_context")
    if settings.kafka_uses_oauth:
        credentials = faust.OAuthCredentials(oauth_cb=config["sasl_oauth_token_provider"], ssl_context=context)
    elif settings.kafka_uses_sasl:
        credentials = faust.SASLCredentials(
            username=config["sasl_plain_username"],
            password=config["sasl_plain_password"],
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    elif settings.kafka_uses_tls:
        credentials = faust.SSLCredentials(context)
    return {
        "broker": [URL(f"kafka://{server}") for server in settings.kafka.split(",")],
        "broker_credentials": credentials,
    }


def _tokens(settings: Settings) -> Any:
    from streams.kafka.tokens import Tokens

    return Tokens.of(settings)


# --- TLS


def tls(settings: Settings) -> ssl.SSLContext:
    """Return the context for TLS; a change of one of its files makes a new one. `OSError` if one is unusable."""
    files = (settings.kafka_ca, settings.kafka_certificate, settings.kafka_key)
    return _tls(settings, settings.secret("kafka_key_password"), tuple(map(_version, files)))


@lru_cache(maxsize=4)
def _tls(settings: Settings, password: str | None, _: tuple[Any, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.kafka_ca)
    context.check_hostname = settings.kafka_check_hostname
    if settings.kafka_certificate:
        key = settings.kafka_key or settings.kafka_certificate
        context.load_cert_chain(settings.kafka_certificate, key, password or "")  # without one, OpenSSL would prompt
    return context


def _version(file: Path | None) -> tuple[int, int, int] | None:
    if file is None:
        return None
    found = file.stat()
    return found.st_mtime_ns, found.st_ino, found.st_size


def _librdkafka_tls(settings: Settings) -> Config:
    config: Config = {"ssl.endpoint.identification.algorithm": "https" if settings.kafka_check_hostname else "none"}
    if settings.kafka_ca:
        config["ssl.ca.location"] = str(settings.kafka_ca)
    if settings.kafka_certificate:
        config["ssl.certificate.location"] = str(settings.kafka_certificate)
        config["ssl.key.location"] = str(settings.kafka_key or settings.kafka_certificate)
    if password := settings.secret("kafka_key_password"):
        config["ssl.key.password"] = password
    return config
