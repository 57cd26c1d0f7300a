"""Tells whether something in an answer is sealed, without the library that opens it."""

import orjson

from projections.mongo.sources import Shown

MARK = b'"sealed:'  # how a sealed value begins in JSON


def has_sealed(document: Shown) -> bool:
    """Return whether a document contains something sealed; another text that begins like it counts, too."""
    return MARK in orjson.dumps(document)
