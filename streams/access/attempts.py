"""Invalid tokens, counted by the address that sends them, so that guessing is slow.

An address may send some invalid tokens, and one more each second. Beyond that, only tokens that were valid before are
still checked: the clients behind one proxy share its address.
"""

import math
import time
from collections import OrderedDict

from streams.access.denials import TooManyAttempts

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
        return min(left + (time.monotonic() - counted) * self._each_second, self._at_once)

    def spend(self, client: str, amount: float = 1.0) -> None:
        """Subtract `amount`; the rest may be negative."""
        self._left[client] = self.left(client) - amount, time.monotonic()
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
        """Raise `TooManyAttempts` if `address` may not try the token with this hash now."""
        if self._allowance.left(address) >= 1 or (address, digest) in self._valid:
            return
        seconds = self._allowance.wait_seconds(address)
        raise TooManyAttempts(
            f"{address} sent too many invalid tokens: wait for {seconds} s", headers={"Retry-After": str(seconds)}
        )

    def failed(self, address: str) -> bool:
        """Count an invalid token; return whether `address` may not send another one now."""
        self._allowance.spend(address)
        return self._allowance.left(address) < 1

    def succeeded(self, address: str, digest: bytes) -> None:
        """Remember a valid token of `address`."""
        if (address, digest) not in self._valid:
            self._valid[address, digest] = None
            if len(self._valid) > MOST_TOKENS:
                self._valid.popitem(last=False)
