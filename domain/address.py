"""Postal addresses."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from .message import READABLE, After, Also, Asked, Before, Missing, Told, written

MAX_PART = 200  # in characters
Line = Annotated[str, Meta(min_length=1, max_length=MAX_PART), READABLE]
Region = Annotated[str, Meta(max_length=MAX_PART), READABLE]


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


Given = Annotated[str, Meta(min_length=1, max_length=MAX_PART), Told(Region)]
Detail = Annotated[Given | None, Before(_none_if_empty)]


class Address(Asked):
    """A shipping or billing address; `spellings` lists the other names that clients use for its fields."""

    spellings: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("recipient", "recipientName", "fullName"), "name"),
        **dict.fromkeys(("companyName", "organization", "organisation"), "company"),
        **dict.fromkeys(("street1", "address1", "addressLine1", "line1", "streetAddress"), "street"),
        **dict.fromkeys(("address2", "addressLine2", "line2"), "street2"),
        **dict.fromkeys(("address3", "addressLine3", "line3"), "street3"),
        **dict.fromkeys(("province", "region", "county", "stateOrProvince"), "state"),
        **dict.fromkeys(("zipcode", "zip_code", "zip", "postalCode", "postcode", "postCode"), "zipCode"),
        **dict.fromkeys(("countryCode",), "country"),
        **dict.fromkeys(("phoneNumber", "telephone"), "phone"),
        **dict.fromkeys(("emailAddress",), "email"),
        **dict.fromkeys(("deliveryInstructions",), "instructions"),
    }

    street: Line
    city: Line
    state: Region = written("")
    zip_code: Annotated[Region, Also(("zipcode", "zip_code"))] = written("")
    country: Line
    name: Detail = None
    company: Detail = None
    street2: Detail = None
    street3: Detail = None
    phone: Detail = None
    email: Detail = None
    instructions: Detail = None


# An address as events and states have it: as it was sent, or encrypted with the key of its customer (`privacy/`). An
# encrypted one is a text, because a text and an object are told apart without looking into them.
Sealed = Annotated[str, Meta(pattern="^sealed:")]
KeptAddress = Address | Sealed


def require_postal_code(address: Address) -> Address:
    """Return `address`; raise `Missing` if its country has postal codes and it has none."""
    if not address.zip_code and address.country.strip().casefold() not in WITHOUT_POSTAL_CODES:
        raise Missing("zipCode")
    return address


# The address of a new order. Only new orders are checked for a postal code, because the list below may change.
NewAddress = Annotated[Address, After(require_postal_code)]

# Countries and territories that have no postal codes or hardly use them (such as Eircodes in Ireland, or the codes of
# Ghana, Panama and Tanzania), by two-letter and three-letter ISO 3166 code and by name. Source: "Postal addressing
# systems in member countries" of the Universal Postal Union, https://www.upu.int
_TABLE = """
AE ARE United Arab Emirates|UAE; AG ATG Antigua and Barbuda; AO AGO Angola; AW ABW Aruba; BF BFA Burkina Faso;
BI BDI Burundi; BJ BEN Benin; BO BOL Bolivia; BQ BES Bonaire; BS BHS Bahamas|The Bahamas; BW BWA Botswana;
BZ BLZ Belize; CD COD Democratic Republic of the Congo|DR Congo;
CF CAF Central African Republic; CG COG Congo|Republic of the Congo;
CI CIV Côte d'Ivoire|Ivory Coast; CK COK Cook Islands; CM CMR Cameroon; CW CUW Curaçao|Curacao; DJ DJI Djibouti;
DM DMA Dominica; ER ERI Eritrea; FJ FJI Fiji; GA GAB Gabon; GD GRD Grenada; GH GHA Ghana; GM GMB Gambia|The Gambia;
GN GIN Guinea; GQ GNQ Equatorial Guinea; GY GUY Guyana; HK HKG Hong Kong|Hong Kong SAR; IE IRL Ireland; JM JAM Jamaica;
KI KIR Kiribati; KM COM Comoros; KN KNA Saint Kitts and Nevis; KP PRK North Korea; LC LCA Saint Lucia; ML MLI Mali;
MO MAC Macao|Macau; MR MRT Mauritania; MW MWI Malawi; NR NRU Nauru; NU NIU Niue; PA PAN Panama; QA QAT Qatar;
RW RWA Rwanda; SB SLB Solomon Islands; SC SYC Seychelles; SL SLE Sierra Leone; SO SOM Somalia; SR SUR Suriname;
ST STP São Tomé and Príncipe|Sao Tome and Principe; SX SXM Sint Maarten; SY SYR Syria; TD TCD Chad; TG TGO Togo;
TK TKL Tokelau; TL TLS Timor-Leste|East Timor; TO TON Tonga; TT TTO Trinidad and Tobago; TV TUV Tuvalu;
TZ TZA Tanzania; UG UGA Uganda; VU VUT Vanuatu; YE YEM Yemen; ZW ZWE Zimbabwe
"""
WITHOUT_POSTAL_CODES = frozenset(
    word.casefold()
    for row in _TABLE.split(";")
    for two, three, names in [row.split(maxsplit=2)]
    for word in (two, three, *names.strip().split("|"))
)
