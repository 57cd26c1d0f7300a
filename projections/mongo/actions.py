"""The audit log: what operators did, and who they were; one document per action, which is written once.

The log of the process has every action as well, written first, so that an action is on record also while MongoDB is
unreachable.
"""

import asyncio
import logging
from typing import Any, NamedTuple

from pymongo.errors import PyMongoError

from projections.document import Document
from projections.mongo.client import Mongo
from streams.messages.envelope import new_id, now

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)  # independent of the level of other loggers

ACTIONS = "operator_actions"
WRITE_SECONDS = 2.0


class Action(NamedTuple):
    """An action of an operator: `via` the API or the command line, on a `target` such as an order or a topic."""

    principal: str | None  # None: the API requires no credentials
    action: str
    target: str
    via: str
    details: dict[str, Any]


class OperatorActions:
    """The audit log of this installation; it offers no way to change or delete an entry."""

    def __init__(self, mongo: Mongo) -> None:
        self._actions = mongo.durable(ACTIONS)

    async def record(self, action: Action) -> str | None:
        """Record an action that is about to be done; return why it is only in the log of this process, if so."""
        who = action.principal or "an unknown operator"
        log.info("%s: %s %s via %s %s", who, action.action, action.target, action.via, action.details)
        document = {"_id": new_id(), "time": now(), **action._asdict()}
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._actions.insert_one(document)
        except (PyMongoError, TimeoutError) as error:
            log.warning("the action %s is only in this log, because MongoDB did not store it: %r", action, error)
            return f"MongoDB did not store it: {error}"
        return None

    async def newest(self, most: int, before: str | None = None) -> list[Document]:
        """Return the newest actions first; `before`: those before the action with this id."""
        query: Document = {} if before is None else {"_id": {"$lt": before}}
        found = await self._actions.find(query).sort("_id", -1).to_list(most)
        return [{"id": each.pop("_id"), **each} for each in found]
