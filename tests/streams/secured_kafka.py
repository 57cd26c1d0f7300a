"""A broker that asks for credentials: one listener for each way to log in, certificates, and an issuer of tokens."""

import base64
import json
import os
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import patch

from certificates import Authority, Certificate, authority
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from real_kafka import running_broker
from system import free_ports

from streams.runtime.settings import Settings

USER, PASSWORD = "shop", "pa,ss=w0rd"
CLIENT, SECRET = "shop-client", "s3cret/+:"
AUDIENCE, SCOPE = "kafka-brokers", "kafka"
# Other scopes, whose tokens are for another audience, of another issuer, too old, or signed with another key.
REFUSED = ("elsewhere", "of-another", "expired", "forged")
HASHES = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}
# A listener and how to log in there.
LISTENERS = {
    "SSL": {"kafka_security_protocol": "SSL"},
    "SASL_SSL": {"kafka_security_protocol": "SASL_SSL"},
    "SASL_PLAINTEXT": {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "SCRAM-SHA-256"},
    "OAUTH": {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER"},
    "EXPIRED": {"kafka_security_protocol": "SSL"},
    "MISNAMED": {"kafka_security_protocol": "SSL"},
}
JAAS = "org.apache.kafka.common.security"
PROPERTIES = """\
listeners=PLAINTEXT://{{address}},{listeners},CONTROLLER://127.0.0.1:{{controller}}
advertised.listeners=PLAINTEXT://{{address}},{listeners}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,\
SASL_PLAINTEXT:SASL_PLAINTEXT,OAUTH:SASL_SSL,EXPIRED:SSL,MISNAMED:SSL
inter.broker.listener.name=PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location={keys[0]}
ssl.truststore.type=PEM
ssl.truststore.location={trusted}
listener.name.ssl.ssl.client.auth=required
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location={keys[1]}
listener.name.misnamed.ssl.keystore.type=PEM
listener.name.misnamed.ssl.keystore.location={keys[2]}
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={jaas}.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={jaas}.scram.ScramLoginModule required;
listener.name.sasl_plaintext.sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config={jaas}.scram.ScramLoginModule required;
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config={jaas}.oauthbearer.OAuthBearerLoginModule required;
listener.name.oauth.oauthbearer.sasl.server.callback.handler.class=\
{jaas}.oauthbearer.OAuthBearerValidatorCallbackHandler
sasl.oauthbearer.jwks.endpoint.url={issuer}/keys
sasl.oauthbearer.jwt.validator.class={jaas}.oauthbearer.BrokerJwtValidator
sasl.oauthbearer.expected.issuer={issuer}
sasl.oauthbearer.expected.audience={audience}
"""


def openssl(*arguments: object, stdin: bytes = b"") -> bytes:
    """Run openssl and return what it prints."""
    return subprocess.run(
        ("openssl", *map(str, arguments)), input=stdin, check=True, capture_output=True
    ).stdout  # fmt: skip


@dataclass
class Issuer:
    """A token endpoint: it answers the right client credentials with a signed JWT, whose claims depend on the scope."""

    key: Path
    life_seconds: int = 300
    issued: int = 0
    address: str = field(default="", init=False)

    @contextmanager
    def running(self) -> Iterator["Issuer"]:
        """Serve until the end."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, {"keys": [issuer.public()]})

            def do_POST(self) -> None:
                asked = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                names = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode().split(":")
                assert asked["grant_type"] == ["client_credentials"]
                if list(map(urllib.parse.unquote, names)) == [CLIENT, SECRET]:
                    token = issuer.token(*asked["scope"])
                    self._answer(200, {"access_token": token, "expires_in": issuer.life_seconds})
                else:
                    self._answer(401, {"error": "invalid_client"})

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        for key in (self.key, self.other_key):
            openssl("genrsa", "-out", key, 2048)
        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = Thread(target=server.serve_forever)
            thread.start()
            self.address = f"http://127.0.0.1:{server.server_port}"
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    @property
    def other_key(self) -> Path:
        """A private key that the broker does not know."""
        return self.key.with_suffix(".other")

    def token(self, scope: str) -> str:
        """Return a token that the broker accepts for `life_seconds`, unless the scope is one of `REFUSED`."""
        self.issued += 1
        now = int(time.time()) - (7_200 if scope == "expired" else 0)
        claims = {"sub": USER, "iat": now, "exp": now + self.life_seconds, "scope": scope}
        claims["aud"] = "others" if scope == "elsewhere" else AUDIENCE
        claims["iss"] = "http://another" if scope == "of-another" else self.address
        parts = [{"alg": "RS256", "kid": "1", "typ": "JWT"}, claims]
        signed = b".".join(_base64(json.dumps(each).encode()) for each in parts)
        key = self.other_key if scope == "forged" else self.key
        signature = openssl("dgst", "-sha256", "-sign", key, stdin=signed)
        return (signed + b"." + _base64(signature)).decode()

    def public(self) -> dict[str, str]:
        """Return the public key as a JWK."""
        modulus = openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().strip().partition("=")[2]
        encoded = {"n": _base64(bytes.fromhex(modulus)).decode(), "e": "AQAB"}
        return {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", **encoded}


def _base64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


@dataclass
class Secured:
    """A running broker with its listeners, and the credentials for them."""

    ports: dict[str, int]
    plain: Settings  # the listener that asks for nothing, for the tests' own clients
    authority: Authority
    issuer: Issuer
    certificate: Certificate

    def settings(self, listener: str, **more: Any) -> Settings:
        """Return settings that log in at a listener."""
        return Settings(**self.options(listener) | more)

    def options(self, listener: str) -> dict[str, Any]:
        """Return the names and values of these settings."""
        found: dict[str, Any] = {"kafka": f"localhost:{self.ports[listener]}", **LISTENERS[listener]}
        if found["kafka_security_protocol"] != "SASL_PLAINTEXT":
            found["kafka_ca"] = self.authority.certificate
        if listener == "OAUTH":
            return found | {
                "kafka_oauth_token_endpoint": f"{self.issuer.address}/token", "kafka_oauth_client_id": CLIENT,
                "kafka_oauth_client_secret": SECRET, "kafka_oauth_scope": SCOPE,
            }  # fmt: skip
        if listener == "SSL":
            return found | {"kafka_certificate": self.certificate.certificate, "kafka_key": self.certificate.key}
        return (
            found if listener in ("EXPIRED", "MISNAMED") else found | {"kafka_user": USER, "kafka_password": PASSWORD}
        )

    def set_password(self, password: str, user: str = USER, mechanism: str = "SCRAM-SHA-512") -> None:
        """Set the password of a user."""
        client = AdminClient({"bootstrap.servers": self.plain.kafka})
        info = ScramCredentialInfo(HASHES[mechanism], 4096)
        change = UserScramCredentialUpsertion(user, info, password.encode())
        for future in client.alter_user_scram_credentials([change]).values():
            future.result(30)


@contextmanager
def secured_broker(folder: Path) -> Iterator[Secured]:
    """Run a broker that has a listener for each protocol."""
    trusted = authority(folder)
    certificates = (
        trusted.issue("broker"), trusted.expired("expired"), trusted.issue("misnamed", host="elsewhere"),
    )  # fmt: skip
    first = free_ports(len(LISTENERS))
    ports = {name: first + number for number, name in enumerate(LISTENERS)}
    with Issuer(folder / "issuer.key").running() as issuer:
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={issuer.address}/keys"
        listeners = ",".join(f"{name}://localhost:{port}" for name, port in ports.items())
        properties = PROPERTIES.format(
            listeners=listeners, keys=[each.both() for each in certificates], trusted=trusted.certificate,
            issuer=issuer.address, audience=AUDIENCE, jaas=JAAS, user=USER, password=PASSWORD,
        )  # fmt: skip
        options = patch.dict(os.environ, {"JAVA_TOOL_OPTIONS": allowed})
        with options, running_broker(folder / "broker", properties) as broker:
            found = Secured(ports, Settings(kafka=broker.address), trusted, issuer, trusted.issue(USER))
            for mechanism in HASHES:
                found.set_password(PASSWORD, mechanism=mechanism)
            yield found
