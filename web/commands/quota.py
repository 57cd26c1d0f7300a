"""The number of commands that each principal may send to this process in a second, if it is limited."""

from aiohttp import web

from streams.access.attempts import Allowance
from streams.access.denials import QuotaExceeded
from web.requests import principal_of

MOST_PRINCIPALS = 10_000  # in memory


class Quotas:
    """The rest of each principal's quota; without credentials, all clients share one."""

    def __init__(self, each_second: float) -> None:
        self._each_second, self._at_once = each_second, max(each_second, 1.0)
        self._allowance = Allowance(self._at_once, each_second, MOST_PRINCIPALS) if each_second else None

    def spend(self, principal: str | None, commands: int) -> None:
        """Count commands; raise `QuotaExceeded` if they are too many now.

        A request with more commands than the quota allows at once is accepted when nothing of the quota is used, and
        then uses the quota of the following seconds.
        """
        if self._allowance is None:
            return
        name, needed = principal or "", min(float(commands), self._at_once)
        if self._allowance.left(name) < needed:
            seconds = self._allowance.wait_seconds(name, needed)
            raise QuotaExceeded(
                f"{principal or 'this installation'} may send {self._each_second:g} commands a second to this process: "
                f"wait for {seconds} s",
                {"principal": principal, "commandsPerSecond": self._each_second},
                {"Retry-After": str(seconds)},
            )
        self._allowance.spend(name, commands)


QUOTAS = web.AppKey("quotas", Quotas)


def spend(request: web.Request, commands: int) -> None:
    """Count the commands of a request; raise `QuotaExceeded` if they are too many now."""
    request.app[QUOTAS].spend(principal_of(request), commands)
