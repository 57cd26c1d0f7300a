"""What a projection is: a topic, what its records say, and the documents they are folded into."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from projections.document import Document
from streams.messages import EventMessage
from streams.topics import Topic


class Record(Protocol):
    """What we need of a Kafka record; aiokafka's `ConsumerRecord` is one."""

    @property
    def key(self) -> bytes | None:
        """The aggregate."""

    @property
    def value(self) -> bytes | None:
        """The message."""

    @property
    def offset(self) -> int:
        """Where it is in its partition."""

    @property
    def timestamp(self) -> int:
        """When Kafka got it, in milliseconds."""


class View(Protocol):
    """What is folded: it knows the sequence of the last event it includes."""

    @property
    def version(self) -> int:
        """The sequence of the last event it includes."""


@dataclass(frozen=True, eq=False)
class Derived:
    """A read model that is another one's documents, seen otherwise; it is made when it is read and costs no write.

    `where`: which of the documents; `made_of`: its fields that can be sorted by → those they are made of.
    """

    document_of: Callable[[Document], Document]
    where: Document = field(default_factory=dict)
    made_of: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Model:
    """A view folded from the events of one key, its document, and the read models derived from that one.

    `begins` says that an event needs no older view, which spares the read. A `gapless` view sees every sequence number
    of its aggregate, so that a missing one stops the partition, and its own document is written last: where it has an
    event, all others have it.
    """

    collection: str  # of its own document, which the view is loaded from
    key: Callable[[EventMessage], str | None]  # of the document `message` is about
    begins: Callable[[EventMessage], bool]
    fold: Callable[[Any, EventMessage], View]
    view_of: Callable[[Document], View]
    document_of: Callable[[Any], Document]
    derived: Mapping[str, Derived] = field(default_factory=dict)  # by their names
    gapless: bool = True


@dataclass(frozen=True, eq=False)
class Projection:
    """A topic folded into read models, which have one version: a new one is built beside it, from offset zero.

    Read models derived from one another share their version: derived from a document of another one, they would be
    neither the one nor the other.
    """

    name: str
    topic: Topic
    decode: Callable[[Record], Any]
    logs: Mapping[str, Callable[[Any], Document]]  # insert-only: collection → one document a message
    models: tuple[Model, ...] = ()
    provisional: Mapping[str, Document] = field(default_factory=dict)  # insert-only: but a later one replaces these
    version: int = 1

    @property
    def id(self) -> str:
        """Its name and version."""
        return f"{self.name}/v{self.version}"

    @property
    def collections(self) -> tuple[str, ...]:
        """The names of its collections, without version."""
        return (*self.logs, *(model.collection for model in self.models))

    def collection(self, name: str) -> str:
        """Return what a read model's collection of this version is called."""
        return f"{name}_v{self.version}"
