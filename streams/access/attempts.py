"""Invalid tokens, counted by the address that sends them, so that guessing is slow.

An address may send some invalid tokens, and one more each second. Beyond that, a short token, which could be guessed,
is no longer checked, unless it was valid before. Long tokens are always checked, because the clients behind one proxy
share its address; an invalid one gets 429 instead of 401.
"""

import logging
import math
from collections import OrderedDict
from time import monotonic

from streams.access.denials import TooManyAttempts, Unauthorized

log = logging.getLogger(__name__)

AT_ONCE, EACH_SECOND = 30.0, 1.0  # attempts
MOST_ADDRESSES, MOST_TOKENS = 10_000, 10_000  # in memory


class Allowance:
    """An allowance for each of many clients: `at_once`, and `each_second` more."""

    def __init__(self, at_once: float, each_second: float, most: int) -> None:
        self._at_once, self._each_second, self._most = at_once, each_second, most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # and when it was counted

    def left(self, client: str) -> float:
        """Return what is left for `client`."""
        left, counted = self._left.get(client, (self._at_once, 0.0))
        return min(left + (monotonic() - counted) * self._each_second, self._at_once)

    def spend(self, client: str, amount: float = 1.0) -> None:
        """Subtract `amount`; the rest may be negative."""
        self._left[client] = self.left(client) - amount, monotonic()
        self._left.move_to_end(client)
        if len(self._left) > self._most:
            self._left.popitem(last=False)

    def wait_seconds(self, client: str, amount: float = 1.0) -> int:
        """Return after how many seconds `amount` is left, at least 1."""
        return max(math.ceil((min(amount, self._at_once) - self.left(client)) / self._each_second), 1)


class Attempts:
    """The invalid tokens that addresses sent, and the valid ones."""

    def __init__(self) -> None:
        self._allowance = Allowance(AT_ONCE, EACH_SECOND, MOST_ADDRESSES)
        self._valid: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def check(self, address: str, digest: bytes) -> None:
        """Raise `TooManyAttempts` if `address` may not try a token that could be guessed, which has this hash, now."""
        if (address, digest) not in self._valid:
            self._refuse_if_exhausted(address)

    def failed(self, address: str, digest: bytes, error: Unauthorized) -> None:
        """Count and log an invalid token; raise `TooManyAttempts` if `address` has already sent too many of them."""
        self._valid.pop((address, digest), None)
        self._refuse_if_exhausted(address)
        self._allowance.spend(address)
        log.warning("a request of %s has no valid token: %s", address, error)
        if self._allowance.left(address) < 1:
            log.warning("%s sent too many invalid tokens; it may now try one each second", address)

    def _refuse_if_exhausted(self, address: str) -> None:
        if self._allowance.left(address) < 1:
            seconds = self._allowance.wait_seconds(address)
            raise TooManyAttempts(
                f"{address} sent too many invalid tokens: wait for {seconds} s", headers={"Retry-After": str(seconds)}
            )

    def succeeded(self, address: str, digest: bytes) -> None:
        """Remember a valid token of `address`."""
        if (address, digest) not in self._valid:
            self._valid[address, digest] = None
            if len(self._valid) > MOST_TOKENS:
                self._valid.popitem(last=False)
