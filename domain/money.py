"""Money: integer minor units and an ISO 4217 currency."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from .message import MAX_TOTAL, After, Asked, Told

# Currencies whose minor unit is not a hundredth (ISO 4217, 2024).
_EXPONENTS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
_HUNDREDTHS = frozenset(
    """AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
    CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG
    HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK
    MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE
    SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW
    ZWG""".split()
)


def exponent(currency: str) -> int:
    """Return how many decimals `currency` has; raise ValueError if ISO 4217 has no such currency."""
    if currency in _HUNDREDTHS:
        return 2
    try:
        return _EXPONENTS[currency]
    except KeyError:
        raise ValueError(f"unknown currency {currency!r:.20}: use an ISO 4217 code such as EUR") from None


def _known(currency: str) -> str:
    exponent(currency)
    return currency


if TYPE_CHECKING:
    Currency = str
else:
    Code = Literal[(*_HUNDREDTHS, *_EXPONENTS)]  # avoids a copy per decoded value
    Currency = Annotated[Code, Told(Annotated[str, Meta(max_length=3), After(_known)])]


class Money(Asked):
    """`amount` minor units of `currency`: EUR 12.50 is 1250."""

    amount: Annotated[int, Meta(ge=0, le=MAX_TOTAL)]
    currency: Currency


# The error of adding and multiplying binary floats, such as 110.53999999999999: up to 2**-53 per operation, and a total
# takes some hundreds of operations.
NOISE = Decimal("1e-12")  # relative to the amount
MOST_NOISE = Decimal("0.01")  # in minor units


def minor_units(value: Decimal | str | int | float, currency: str) -> int:
    """Return `value` of `currency` in minor units; raise ValueError if it is not an amount of money or too precise.

    Floats are read by their shortest decimal form, so that 19.99 is 19.99. The noise of binary floats beside a whole
    number of minor units is dropped.
    """
    try:
        amount = Decimal(str(value))
        if not amount.is_finite() or abs(amount) > MAX_TOTAL:
            raise ValueError(f"{str(value)!r} is not an amount of money")
        exact = amount.scaleb(exponent(currency))
    except ArithmeticError:  # decimal's error for text that is not a number, or whose exponent has many digits
        raise ValueError(f"{str(value)!r} is not an amount of money") from None
    whole = exact.to_integral_value(ROUND_HALF_EVEN)
    if exact != whole and abs(exact - whole) > min(abs(whole) * NOISE, MOST_NOISE):
        decimals = exponent(currency) or "no"
        raise ValueError(f"{value!s:.40} is finer than {currency}, which has {decimals} decimals")
    return int(whole)


def decimal_string(amount: int, currency: str) -> str:
    """Return `amount` minor units as a decimal string: 1250 EUR is `12.50`."""
    digits = exponent(currency)
    if not digits:
        return str(amount)
    whole, rest = divmod(abs(amount), 10**digits)
    return f"{'-' if amount < 0 else ''}{whole}.{rest:0{digits}}"


def money_words(money: Money) -> str:
    """Return an amount as people read it: `12.50 EUR`."""
    return f"{decimal_string(money.amount, money.currency)} {money.currency}"
