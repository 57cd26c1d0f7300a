"""The preconditions of a request (RFC 9110, 13): an entity tag is the version of an order or a product.

On a command, `If-Match` lists the versions that the aggregate may have, `*` means that it must exist, and
`If-None-Match: *` that it must not exist; the aggregate decides. On a GET, `If-Match` can lead to a 412 and
`If-None-Match` to a 304. `Valid-Until` is our own: the aggregate refuses the command from that time on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDictProxy

from domain.message import MAX_VERSION, instant
from streams.messages.expected import EXISTS, Expected, one_of
from web.errors import Problem, invalid
from web.requests import NUMBER

CONDITIONS = ("If-Match", "If-None-Match")
TAG = re.compile(r'(W/)?"([!\x23-\x7e\x80-\U0010ffff]*)"|([0-9]+)')  # RFC 9110, 8.8.3
TAGS = re.compile(rf"[ \t,]*(?:{TAG.pattern})(?:[ \t]*,[ \t,]*(?:{TAG.pattern}))*[ \t,]*")


@dataclass(frozen=True, slots=True)
class Tag:
    """An entity tag; the `value` of our tags is a version. A bare number is accepted as a strong tag."""

    value: str
    weak: bool = False

    @property
    def version(self) -> int | None:
        """The version that the tag names; None if no aggregate can have it."""
        return int(self.value) if NUMBER.fullmatch(self.value) and int(self.value) <= MAX_VERSION else None


ANY = Tag("*")


def tags(headers: CIMultiDictProxy[str], name: str) -> Sequence[Tag] | None:
    """Return the entity tags in `If-Match` or `If-None-Match`, `*` among them; None without the header."""
    lines = headers.getall(name, [])
    if not lines:
        return None
    sent = ",".join(lines).strip()
    if sent == "*":
        return (ANY,)
    if not TAGS.fullmatch(sent):
        raise invalid({name: 'must be * or entity tags from the ETag of an answer, such as "3"'})
    return [Tag(quoted or bare, bool(weak)) for weak, quoted, bare in TAG.findall(sent)]


def expected_version(headers: CIMultiDictProxy[str]) -> Expected | None:
    """Return the versions that a command's preconditions allow; None allows any, 0 none at all.

    The comparison is strong, as RFC 9110 (13.1.1) requires, so a weak tag never matches.
    """
    match, none_match = tags(headers, "If-Match"), tags(headers, "If-None-Match")
    if none_match is not None:
        if match is not None:
            raise invalid({"If-None-Match": "cannot be combined with If-Match"})
        if none_match != (ANY,):
            raise invalid({"If-None-Match": "must be * on a command: the order or product must not exist"})
        return 0
    if match is None:
        return None
    if match == (ANY,):
        return EXISTS
    if foreign := [tag.value for tag in match if not (tag.value.isascii() and tag.value.isdecimal())]:
        raise invalid({"If-Match": f'must be versions from the ETag of an answer, such as "3", not "{foreign[0]}"'})
    strong = {tag.version for tag in match if not tag.weak and tag.version is not None}
    if (expected := one_of(strong)) is not None:
        return expected
    sentence = 'no version matches, because weak tags such as W/"3" never match in If-Match; send "3"'
    raise Problem("STALE_VERSION", sentence, {"expected": headers["If-Match"]})


def valid_until(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the time from which a command is refused; None if it is never too late."""
    if (sent := headers.get("Valid-Until")) is None:
        return None
    try:
        return instant(sent.strip())
    except ValueError as error:
        raise invalid({"Valid-Until": str(error)}) from error


def check_version(request: web.Request, version: int) -> bool:
    """Return whether the client already has the document of this version; raise a 412 if it asks for another one."""
    match, none_match = tags(request.headers, "If-Match"), tags(request.headers, "If-None-Match")
    if match is not None and not any(tag == ANY or (tag.version == version and not tag.weak) for tag in match):
        details = {"expected": request.headers["If-Match"], "version": version}
        raise Problem("STALE_VERSION", f"the current version is {version}", details)
    return none_match is not None and any(tag == ANY or tag.version == version for tag in none_match)


def condition_of(headers: CIMultiDictProxy[str]) -> str:
    """Return the preconditions of a request as text, to compare two requests."""
    said = "\n".join(f"{name}: {each}" for name in CONDITIONS for each in headers.getall(name, []))
    return said.encode(errors="backslashreplace").decode()  # MongoDB stores only UTF-8
