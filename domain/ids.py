"""Checks that the id of a new thing can be told apart from others in a URL, in a terminal and on a page.

Only commands that create something check this. Existing orders and products keep the ids they have.
"""

import re
import unicodedata

from .errors import InvalidId

_PLAIN = re.compile(r"[A-Za-z0-9][!-.0-~]*(?: [!-.0-~]+)*")  # Nearly all ids: printable ASCII without a slash.
_DOTS = re.compile(r"(?:^|/)\.{1,2}(?:/|$)")
_BLANKS = re.compile(r"^ | $|  ")
# Characters that are invisible although they are neither spaces nor format characters: joiners, fillers and variation
# selectors (Unicode's Default_Ignorable_Code_Point), and the empty Braille pattern.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def refuse_confusable(field: str, identifier: str) -> None:
    """Raise InvalidId if `identifier`, the value of `field`, could be mistaken for another id."""
    if not _PLAIN.fullmatch(identifier) and (reason := confusable(identifier)) is not None:
        raise InvalidId(field=field, id=identifier, reason=reason)


def confusable(identifier: str) -> str | None:
    """Return why an id can be mistaken for another one, or None if it cannot."""
    if _DOTS.search(identifier):
        return "must not be . or .., alone or between slashes, because URLs drop them"
    if _BLANKS.search(identifier):
        return "must not begin or end with a space, or contain two in a row"
    for character in identifier:
        kind = unicodedata.category(character)
        if (kind[0] in "CZ" and character != " ") or _UNSEEN.match(character):
            name = unicodedata.name(character, "an unassigned or private character")
            return f"must not contain U+{ord(character):04X} ({name}): it is invisible or looks like another character"
    if not unicodedata.is_normalized("NFC", identifier):
        return "must be in Unicode's normalization form NFC: otherwise equal-looking ids could differ"
    if unicodedata.category(identifier[0])[0] == "M":
        return "must not begin with a combining mark"
    return None
