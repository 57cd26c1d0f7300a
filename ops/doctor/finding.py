"""What a look at something found."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at; `remedy`: what to do about it, where it is not as it must be."""

    what: str
    found: str
    remedy: str = ""

    @property
    def well(self) -> bool:
        """Whether it is as it must be."""
        return not self.remedy
