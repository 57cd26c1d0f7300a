"""The file of named API tokens, as the command line reads and extends it."""

import os
from pathlib import Path

from ops.errors import Misconfigured, file_error
from streams.access.tokens import InvalidTokens, Token, parse


def read(path: Path) -> tuple[Token, ...]:
    """Return the tokens in a file."""
    try:
        return parse(path.read_text())
    except OSError as error:
        raise file_error(error, path) from error
    except (InvalidTokens, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}, {error}.") from None


def add(path: Path, token: Token) -> None:
    """Append a token to a file, which is made if it does not exist; only its owner may read it then."""
    text = f"{token.line}\n"
    try:
        if path.exists():
            read(path)
            before = path.read_text()
            text = text if not before or before.endswith("\n") else f"\n{text}"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
            file.write(text)
    except OSError as error:
        raise file_error(error, path) from error
