"""The versions of a projection: which one is live, which are kept up to date beside it, and how they change. Pure.

Denied                         why a change is not made: a sentence that says what to do
"""

from dataclasses import dataclass, replace
from typing import Literal

from projections.projection import Projection
from projections.table import shape_of
from streams.wording import counted

# building: read in bulk from offset zero · following: kept up to date by the projector · stopped: failed, not live
State = Literal["building", "following", "stopped"]


class Denied(Exception):
    """A change of versions was refused."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of comparing a version with the live one; `ignored`: fields that were not compared."""

    at: str
    documents: int
    differences: int
    sampled: bool = False
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """One build of a projection; `reason`: why it stopped."""

    number: int
    shape: int
    state: State
    created_at: str
    verified: Verified | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Versions:
    """All versions of one projection that have collections; `revision` counts changes."""

    name: str
    live: int | None = None
    previous: int | None = None  # the version that `rollback` returns to
    newest: int = 0  # numbers are never reused
    switched_at: str | None = None
    revision: int = 0
    touched: int = 0  # how often documents were written other than by the projector
    versions: tuple[Version, ...] = ()

    def get(self, number: int | None) -> Version | None:
        """Return a version by its number."""
        return next((version for version in self.versions if version.number == number), None)

    @property
    def candidate(self) -> Version | None:
        """The candidate to become live: the newest version that never was."""
        return next((v for v in reversed(self.versions) if v.number not in (self.live, self.previous)), None)

    def projection(self, number: int) -> Projection | None:
        """Return the projection of a version; None if this code does not know its shape."""
        version = self.get(number)
        shape = None if version is None else shape_of(self.name, version.shape)
        return None if shape is None else replace(shape, version=number)

    @property
    def live_projection(self) -> Projection | None:
        """The version that the API reads."""
        return None if self.live is None else self.projection(self.live)

    @property
    def followed(self) -> list[Version]:
        """The versions that the projector keeps up to date."""
        return [version for version in self.versions if version.state == "following"]


def _with(versions: Versions, changed: Version) -> Versions:
    others = [version for version in versions.versions if version.number != changed.number]
    return replace(versions, versions=tuple(sorted([*others, changed], key=lambda version: version.number)))


def begun(versions: Versions, shape: int, now: str) -> tuple[Versions, Version]:
    """Begin to build a version, or continue one that was begun."""
    found = versions.candidate
    if found is not None and found.shape == shape:
        going_on = replace(found, state="building", verified=None, reason=None)
        return _with(versions, going_on), going_on
    number = versions.newest + 1
    new = Version(number, shape, "building", now)
    return replace(_with(versions, new), newest=number), new


def in_state(versions: Versions, number: int, state: State, reason: str | None = None) -> Versions:
    """Record what happens to a version."""
    version = versions.get(number)
    if version is None:
        raise Denied(f"{versions.name} v{number} was retired in the meantime.")
    if number == versions.live and state != "following":
        raise Denied(f"{versions.name} v{number} is live, and always kept up to date.")
    return _with(versions, replace(version, state=state, reason=reason))


def verified(versions: Versions, number: int, what: Verified) -> Versions:
    """Record the result of a comparison."""
    version = versions.get(number)
    if version is None:
        raise Denied(f"{versions.name} v{number} was retired in the meantime.")
    return _with(versions, replace(version, verified=what))


def promotable(versions: Versions, force: bool = False) -> Version:
    """Return the version to promote; refuse one that is not ready, or, without `force`, not verified."""
    name, candidate = versions.name, versions.candidate
    if candidate is None:
        raise Denied(f"There is no version of {name} to promote: `fulfillment projections deploy {name}` builds one.")
    title = f"{name} v{candidate.number}"
    if candidate.state == "stopped":
        raise Denied(f"{title} has stopped: {candidate.reason}. Fix the code and deploy again.")
    if candidate.state == "building":
        raise Denied(f"{title} is not complete: `fulfillment projections deploy {name}` continues building it.")
    if versions.live is None or force:
        return candidate
    if candidate.verified is None:
        raise Denied(f"{title} was not verified: `fulfillment projections verify {name}`, or promote it with --force.")
    if candidate.verified.differences:
        differs = f"{title} differs from v{versions.live} in {counted(candidate.verified.differences, 'document')}"
        raise Denied(f"{differs}; promote it anyway with --force.")
    return candidate


def promoted(versions: Versions, number: int, now: str) -> Versions:
    """Make a version live; the previous one stays up to date for a rollback."""
    return replace(versions, live=number, previous=versions.live, switched_at=now)


def rolled_back(versions: Versions, now: str) -> Versions:
    """Make the previously live version live again."""
    before = versions.get(versions.previous)
    if before is None:
        raise Denied(f"There is no version of {versions.name} to roll back to: none was promoted, or it was retired.")
    if before.state != "following":
        raise Denied(f"{versions.name} v{before.number} is not kept up to date ({before.state}: {before.reason}).")
    return replace(versions, live=before.number, previous=versions.live, switched_at=now)


def retired(versions: Versions, number: int) -> Versions:
    """Forget a version that is not live."""
    if number == versions.live:
        raise Denied(f"{versions.name} v{number} is live: promote another version first.")
    if versions.get(number) is None:
        raise Denied(f"There is no {versions.name} v{number}.")
    previous = None if versions.previous == number else versions.previous
    left = tuple(version for version in versions.versions if version.number != number)
    return replace(versions, previous=previous, versions=left)
