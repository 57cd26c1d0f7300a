"""The preconditions of a request (RFC 9110, 13): an entity tag is the version of an order or a product.

Commands: `If-Match` names the versions they are for, `*` any of them, and `If-None-Match: *` none, which is to create.
The aggregate decides. Reading: `If-Match` answers 412 and `If-None-Match` 304.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDictProxy

from domain.message import MAX_VERSION
from streams.messages.expected import EXISTS, Expected, one_of
from web.errors import Problem, invalid
from web.requests import NUMBER

CONDITIONS = ("If-Match", "If-None-Match")
TAG = re.compile(r'(W/)?"([!\x23-\x7e\x80-\U0010ffff]*)"|([0-9]+)')  # RFC 9110, 8.8.3
TAGS = re.compile(rf"[ \t,]*(?:{TAG.pattern})(?:[ \t]*,[ \t,]*(?:{TAG.pattern}))*[ \t,]*")


@dataclass(frozen=True, slots=True)
class Tag:
    """An entity tag; `value` is a version where it is one of ours. Bare numbers are taken for strong ones."""

    value: str
    weak: bool = False

    @property
    def version(self) -> int | None:
        """The version it names; None when no aggregate can have it."""
        return int(self.value) if NUMBER.fullmatch(self.value) and int(self.value) <= MAX_VERSION else None


ANY = Tag("*")


def tags(headers: CIMultiDictProxy[str], name: str) -> Sequence[Tag] | None:
    """Return the entity tags in `If-Match` or `If-None-Match`; `*` is one too, None: no such header."""
    lines = headers.getall(name, [])
    if not lines:
        return None
    sent = ",".join(lines).strip()
    if sent == "*":
        return (ANY,)
    if not TAGS.fullmatch(sent):
        raise invalid({name: 'must be * or entity tags, as in the ETag of an answer: "3"'})
    return [Tag(quoted or bare, bool(weak)) for weak, quoted, bare in TAG.findall(sent)]


def expected_version(headers: CIMultiDictProxy[str]) -> Expected | None:
    """Return the versions that the preconditions of a command allow; None: any, 0: it must not exist.

    Tags are compared strongly, as RFC 9110 (13.1.1) has it: a weak one never matches.
    """
    match, none_match = tags(headers, "If-Match"), tags(headers, "If-None-Match")
    if none_match is not None:
        if match is not None:
            raise invalid({"If-None-Match": "contradicts If-Match; send one of them"})
        if none_match != (ANY,):
            raise invalid({"If-None-Match": "of a command must be *: it must not exist yet"})
        return 0
    if match is None:
        return None
    if match == (ANY,):
        return EXISTS
    if foreign := [tag.value for tag in match if not (tag.value.isascii() and tag.value.isdecimal())]:
        raise invalid({"If-Match": f'must be versions, as in the ETag of an answer: "3", not "{foreign[0]}"'})
    strong = {tag.version for tag in match if not tag.weak and tag.version is not None}
    if (expected := one_of(strong)) is not None:
        return expected
    sentence = 'no version matches: weak tags such as W/"3" never do in If-Match; send "3"'
    raise Problem(412, "STALE_VERSION", sentence, {"expected": headers["If-Match"]})


def check_version(request: web.Request, version: int) -> bool:
    """Return whether the client has a document of this version already; a 412 when it is not one that is asked for."""
    match, none_match = tags(request.headers, "If-Match"), tags(request.headers, "If-None-Match")
    if match is not None and not any(tag == ANY or (tag.version == version and not tag.weak) for tag in match):
        details = {"expected": request.headers["If-Match"], "version": version}
        raise Problem(412, "STALE_VERSION", f"it is at version {version}", details)
    return none_match is not None and any(tag == ANY or tag.version == version for tag in none_match)


def condition_of(headers: CIMultiDictProxy[str]) -> str:
    """Return the preconditions of a request, to compare it with another one."""
    said = "\n".join(f"{name}: {each}" for name in CONDITIONS for each in headers.getall(name, []))
    return said.encode(errors="backslashreplace").decode()  # a header may be no UTF-8, and MongoDB keeps nothing else
