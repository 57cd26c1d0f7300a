"""CloudEvents on Kafka: the envelope of a record, in whichever content mode it was sent (protocol binding 1.0.2).

    structured   content-type `application/cloudevents+json`; the value is the envelope
    binary       the attributes are `ce_…` headers; the value is `data`, its content-type a header
    by hand      no such headers; the value is the envelope, of which `type` and `data` are enough

Batches and formats other than JSON are refused, and so is a record that contradicts itself.

BadMessage                     code, message, details: the sender can fix it
"""

import base64
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from streams.messages.envelope import CONTENT_TYPE

Headers = Iterable[tuple[str, bytes | None]]

# The attributes of our own commands. Envelopes with other attributes are checked more closely.
USUAL = frozenset(
    {"specversion", "id", "type", "source", "subject", "time", "correlationid", "causationid", "expectedversion",
     "principal", "validuntil", "data"}
)  # fmt: skip
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch"
OURS = tuple(CONTENT_TYPE)  # the headers of our own messages
_PREFIXES = ("ce_", "ce-")  # Kafka's, and that of HTTP, which some libraries use everywhere
_NAME = re.compile(r"[a-z0-9]+", re.ASCII)
_VERSION = re.compile(r"1(\.[0-9]{1,3}){1,2}", re.ASCII)
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s";]*)', re.IGNORECASE)
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})


class BadMessage(Exception):
    """The bytes are not a valid message; `details` names each invalid field and its problem."""

    def __init__(self, code: str, message: str, envelope: Mapping[str, Any] | None = None, **details: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details
        self.envelope = envelope or {}


def refused(message: str, envelope: Mapping[str, Any] | None = None, **details: Any) -> BadMessage:
    """Return the error for an invalid message."""
    return BadMessage("INVALID_MESSAGE", message, envelope, **details)


def envelope_of(value: bytes | None, headers: Headers = ()) -> dict[str, Any]:
    """Return the envelope of a record; raise `BadMessage` if it has none, or two that differ.

    Attributes that our own commands do not have (`USUAL`) are left to `checked`.
    """
    envelope = json_object(value) if not headers or headers == OURS else by_headers(value, headers)
    if (version := envelope.get("specversion", "1.0")) != "1.0":
        _check_version(version, envelope)
    return envelope


def checked(envelope: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Return an envelope that has more than our own commands, `data_base64` decoded; `fields`: those of its data.

    An unknown attribute is an extension, and ignored, unless it is one of the data's fields or cannot be an attribute.
    """
    of_data = {name.lower(): name for name in fields}
    for name, value in envelope.items():
        if name not in USUAL and name != "data_base64":
            _check_extension(name, value, of_data, envelope)
    content_type, schema = envelope.get("datacontenttype"), envelope.get("dataschema")
    if content_type is not None and (problem := json_problem(content_type)) is not None:
        raise refused(f"datacontenttype {problem}", envelope, datacontenttype=problem)
    if schema is not None and not isinstance(schema, str):
        raise refused("dataschema must be a URI", envelope, dataschema="must be a URI")
    return decoded(envelope)


def glimpse(value: bytes | None, headers: Headers | None = ()) -> dict[str, Any]:
    """Return the readable part of an envelope, for displays of messages; it may be empty."""
    try:
        return by_headers(value, headers or ())
    except BadMessage as bad:
        return dict(bad.envelope)
    except RecursionError:  # nested too deep for Python
        return {}


def json_object(value: bytes | None) -> dict[str, Any]:
    """Return the JSON object in a Kafka value."""
    try:
        envelope = orjson.loads(value or b"")
    except orjson.JSONDecodeError as error:
        raise refused(f"not JSON: {error}") from error
    if not isinstance(envelope, dict):
        raise refused("a message must be a JSON object with type and data")
    return envelope


def json_problem(content_type: Any) -> str | None:
    """Return why data of a content type is refused; None if it is JSON."""
    if not isinstance(content_type, str):
        return f"{content_type!r:.80} is not a content type; send JSON (application/json)"
    return _json_problem(content_type)


@lru_cache(maxsize=128)
def _json_problem(content_type: str) -> str | None:
    media = _media(content_type)
    if media not in ("application/json", "text/json") and not media.endswith("+json"):
        return f"{content_type!r:.80} is not understood; send JSON (application/json)"
    charset = _CHARSET.search(content_type)
    if charset is not None and charset[1].lower() not in _UTF8:
        return f"{content_type!r:.80} is not understood; send UTF-8"
    return None


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


# --- headers


def by_headers(value: bytes | None, headers: Headers) -> dict[str, Any]:
    """Return the envelope of a record whose headers may contain attributes."""
    attributes, content_type = _attributes(headers)
    media, read = _media(content_type or ""), _json(value)
    inside = read if isinstance(read, dict) and (not attributes or _is_envelope(read)) else {}
    if media.startswith(BATCH):
        raise refused(f"{content_type!r:.80} is a batch; send one command per record, as {STRUCTURED}", attributes)
    if content_type is not None and (problem := _json_problem(content_type)) is not None:
        raise refused(f"content-type {problem}", {**inside, **attributes})
    if inside or media == STRUCTURED or not attributes:  # the value is an envelope
        return _merged(json_object(value), attributes)
    if not value:
        return attributes
    if isinstance(read, orjson.JSONDecodeError):
        raise refused(f"data is not JSON: {read}", attributes)
    return {**attributes, "data": read}


def _is_envelope(value: Mapping[str, Any]) -> bool:
    """Return whether an object is an envelope: a command's data has none of these fields."""
    return "specversion" in value or "data" in value or "data_base64" in value or "type" in value


def _json(value: bytes | None) -> Any:
    """Return the parsed JSON, or the error if it cannot be parsed."""
    try:
        return orjson.loads(value or b"")
    except orjson.JSONDecodeError as error:
        return error


def _attributes(headers: Headers) -> tuple[dict[str, Any], str | None]:
    """Return the CloudEvents attributes in headers, and the content type."""
    found: dict[str, Any] = {}
    content_type = None
    for name, raw in headers:
        lowered = name.lower()
        if lowered == "content-type":
            if content_type is not None:
                raise refused("the header content-type occurs twice", found)
            content_type = _text(name, raw, found)
        elif lowered.startswith(_PREFIXES):
            attribute = lowered[3:]
            if not attribute.isascii():
                raise refused(f"the header {name!a:.80} is not a CloudEvents attribute", found)
            if attribute in found:
                raise refused(f"the header ce_{attribute:.80} occurs twice", found)
            if attribute in ("data", "data_base64"):
                raise refused(f"{attribute} is not an attribute; send data as the value, not as a header", found)
            found[attribute] = _text(name, raw, found)
    return found, content_type


def _text(name: str, raw: bytes | None, found: Mapping[str, Any]) -> str:
    try:
        return (raw or b"").decode()
    except UnicodeDecodeError:
        raise refused(f"the header {name!a:.80} is not UTF-8", found) from None


def _merged(envelope: dict[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an envelope with the attributes that only headers contain; attributes in both must be the same."""
    for name, value in attributes.items():
        inside = envelope.get(name)
        if inside is not None and str(inside) != str(value):
            sentence = f"{name} is {value!r:.150} in the header ce_{name} and {inside!r:.150} in the value"
            raise refused(sentence, envelope, **{name: sentence})
    return {**envelope, **attributes} if attributes else envelope


# --- attributes


def _check_extension(name: str, value: Any, of_data: Mapping[str, str], envelope: Mapping[str, Any]) -> None:
    """Refuse an attribute that is probably a mistake: as an extension it would be ignored."""
    known = re.sub(r"[^a-z0-9]", "", name.lower())
    if known in of_data:
        sentence = f"{name!r:.80} is beside data; {of_data[known]} goes into it"
    elif not _NAME.fullmatch(name):
        hint = f"did you mean {known}?" if known in USUAL else "they are a-z and 0-9, and all else goes into data"
        sentence = f"{name!r:.80} is not a CloudEvents attribute; {hint}"
    elif isinstance(value, dict | list):
        sentence = f"{name!r:.80} is {'an object' if isinstance(value, dict) else 'an array'}; it goes into data"
    else:
        return
    raise refused(sentence, envelope, **{name[:80]: sentence})


def decoded(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return an envelope with its `data_base64`, if there is any, as data."""
    if (encoded := envelope.get("data_base64")) is None:
        return envelope
    if envelope.get("data") is not None:
        raise refused("give either data or data_base64, not both", envelope, data_base64="beside data")
    rest = {name: value for name, value in envelope.items() if name != "data_base64"}
    try:
        return {**rest, "data": orjson.loads(base64.b64decode(encoded, validate=True))}
    except (TypeError, ValueError) as error:  # errors of base64 and of JSON
        raise refused(f"data_base64 is not JSON in base64: {error}", envelope, data_base64="not JSON") from error


def _check_version(version: Any, envelope: Mapping[str, Any]) -> None:
    if version is not None and not (isinstance(version, str) and _VERSION.fullmatch(version)):
        sentence = f"specversion {version!r:.40} is not supported; send 1.0"
        raise refused(sentence, envelope, specversion=sentence)
