"""The rights on Kafka of each user, as a table."""

from pydantic import SecretStr

from ops.reference.markdown import code, listed, table
from streams.rights import USERS, Operation, Resource, User, rights_of
from streams.runtime.settings import Settings

# Names as they are without a prefix; the environment of the machine that writes the page does not count.
PLAIN = Settings.model_construct(prefix="", instance="0", personal_data_key=SecretStr(""))  # it shows all rights


def rights() -> str:
    """Return a row for each set of operations of a user, with the resources it may do them on."""
    rows = [
        (code(user), ", ".join(map(_name, operations)), kind, listed(names))
        for user in USERS
        for (kind, operations), names in _alike(user).items()
    ]
    return table(("User", "May", "On", "Named"), rows)


def _alike(user: User) -> dict[tuple[str, tuple[Operation, ...]], list[str]]:
    found: dict[tuple[str, tuple[Operation, ...]], list[str]] = {}
    for resource, operations in rights_of(user, PLAIN).items():
        found.setdefault((_kind(resource), operations), []).append(resource.name + "*" * resource.prefixed)
    return found


def _kind(resource: Resource) -> str:
    return {"topic": "topics", "group": "groups", "transactional-id": "transactional ids"}[resource.kind]


def _name(operation: Operation) -> str:
    return operation.title().replace("_", "")
