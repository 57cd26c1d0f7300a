"""Numbers in sentences."""


def counted(count: int, noun: str, many: str | None = None) -> str:
    """Return `1 order`, `0 orders` or `1,234 orders`.

    `many` is the plural if that is not the noun and an s; both may contain a verb: `"line is", "lines are"`.
    """
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"
