"""The result of a check."""

from typing import NamedTuple


class Finding(NamedTuple):
    """The result of one check; `remedy`: what to do, empty if the check passed."""

    what: str
    found: str
    remedy: str = ""

    @property
    def well(self) -> bool:
        """Whether the check passed."""
        return not self.remedy
