"""The settings for how orders get their units from several locations, unless an order says it."""

from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.address import Address
from domain.message import MAX_ID, PRINTABLE
from domain.policy import MAX_LOCATIONS, AllocationPlan, AllocationStrategy

NAME = "FULFILLMENT_LOCATIONS_FILE"
Name = Annotated[str, Field(min_length=1, max_length=MAX_ID, pattern=f"^[^{PRINTABLE.characters}]*$")]
Names = Annotated[tuple[Name, ...], Field(max_length=MAX_LOCATIONS)]  # as in a plan: events with others are unreadable


class Region(BaseModel):
    """Shipping addresses, and the locations for them, the nearest first."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    country: str
    postal_prefix: str = ""
    locations: Names


class Locations(BaseModel):
    """The contents of the file: locations in a fixed order, and by region."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    priority: Names = ()
    nearest: tuple[Region, ...] = ()

    def near(self, country: str, postal_code: str) -> tuple[str, ...]:
        """Return the locations for an address: those of the region with the longest prefix, or in the fixed order."""
        here, code = country.strip().casefold(), postal_code.replace(" ", "").casefold()
        fitting = [
            each
            for each in self.nearest
            if each.country.casefold() == here and code.startswith(each.postal_prefix.replace(" ", "").casefold())
        ]
        best = max(fitting, key=lambda each: len(each.postal_prefix), default=None)
        return self.priority if best is None else best.locations


class AllocationSettings(BaseSettings):
    """How orders get their units from several locations."""

    model_config = SettingsConfigDict(env_prefix="FULFILLMENT_", frozen=True, extra="ignore")

    allocation: AllocationStrategy | None = Field(
        None,
        description="How orders without a strategy get their units: `priority`, `nearest`, `fewest-shipments` or "
        "`keep-together`. If empty, from any location, in the order in which the product got its locations.",
    )
    one_location: bool = Field(
        False,
        description="Whether orders without `allocation` get all of their units from one location if one has them all.",
    )
    locations_file: Path | None = Field(
        None,
        description="JSON file with the locations in order of preference, read at the start: `priority` is a list, and "
        "`nearest` has objects with `country`, `postalPrefix` and `locations`.",
    )

    def locations(self) -> Locations:
        """Return the locations of the file; `OSError` if it cannot be read, `ValueError` if it is invalid."""
        if self.locations_file is None:
            return Locations()
        return Locations.model_validate_json(self.locations_file.read_bytes())

    @cached_property
    def _read(self) -> Locations:
        return self.locations()

    @property
    def _strategy(self) -> AllocationStrategy | None:
        return AllocationStrategy.PRIORITY if self.one_location and self.allocation is None else self.allocation

    def plan(self, asked: AllocationPlan | None, address: object) -> AllocationPlan | None:
        """Return how an order gets its units: as it says, completed by the settings. `address` may be encrypted."""
        strategy = self._strategy if asked is None else asked.strategy
        if strategy is None or (asked is not None and asked.locations):
            return asked
        locations = self._read.priority
        if strategy is AllocationStrategy.NEAREST and isinstance(address, Address):
            locations = self._read.near(address.country, address.zip_code)
        whole = self.one_location if asked is None else asked.one_location
        return AllocationPlan(strategy=strategy, locations=locations, one_location=whole)

    @model_validator(mode="after")
    def _locations_are_valid(self) -> "AllocationSettings":
        try:
            self.locations()
        except OSError as error:
            raise ValueError(f"{NAME}: {self.locations_file} cannot be read ({error.strerror})") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{NAME}: {self.locations_file}: {where}: {first['msg']}") from None
        return self
