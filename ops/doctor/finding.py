"""The result of a check."""

from typing import NamedTuple


class Finding(NamedTuple):
    """The result of one check; `remedy`: what to do, empty if the check passed.

    `may_pass`: a healthy system that is busy or has just started may look like this for some seconds.
    """

    what: str
    found: str
    remedy: str = ""
    may_pass: bool = False

    @property
    def well(self) -> bool:
        """Whether the check passed."""
        return not self.remedy

    def as_json(self) -> dict[str, str | bool]:
        """Return it as JSON."""
        return {"what": self.what, "found": self.found, "remedy": self.remedy, "well": self.well}
