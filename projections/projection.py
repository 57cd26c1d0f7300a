"""What a projection is: a topic, what its records say, and the documents they are folded into."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from projections.document import Document
from streams.messages.envelope import EventMessage, type_of
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
    def partition(self) -> int:
        """The partition it is in."""

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


def as_it_is(document: Document) -> Document:
    """Return `document`."""
    return document


class History(Protocol):
    """How the events of one aggregate are found among the entries of a log, and read."""

    @property
    def of(self) -> str:
        """The field of an answer that names the aggregate, such as `orderId`."""

    @property
    def order(self) -> str:
        """The field that sorts the entries of one aggregate by their sequence."""

    def between(self, aggregate_id: str, first: int = 1, last: int | None = None) -> Document:
        """Return the query for the entries of an aggregate, from one sequence to another, both included."""

    def message_of(self, entry: Document) -> EventMessage:
        """Return the event of an entry, as today's code knows it."""

    def shown(self, entry: Document) -> Document:
        """Return an entry as the API shows it."""


@dataclass(frozen=True, eq=False)
class Log:
    """A collection with one document for each message, which is inserted once.

    `provisional`: which of the documents a later one of the same `_id` replaces. `history`: where the messages are
    events. `today` returns an entry that older code wrote as this code would write it. `namesakes`: entries have the
    ids of their events, and older code gave several events the same one.
    """

    entry: Callable[[Any, Record], Document]
    provisional: Document | None = None
    history: History | None = None
    today: Callable[[Document], Document] = as_it_is
    namesakes: bool = False


@dataclass(frozen=True, eq=False)
class Model:
    """A view folded from the events of one key, its document, and the read models derived from that one.

    `begins` says that an event needs no older view, which spares the read. A `gapless` view sees every sequence number
    of its aggregate, so that a missing one stops the partition, and its own document is written last: where it has an
    event, all others have it.
    """

    collection: str  # of its own document, which the view is loaded from
    key: Callable[[Any], str | None]  # of the document `message` is about
    begins: Callable[[Any], bool]
    fold: Callable[[Any, Any], View]
    view_of: Callable[[Document], View]
    document_of: Callable[[Any], Document]
    derived: Mapping[str, Derived] = field(default_factory=dict)  # by their names
    gapless: bool = True


@dataclass(frozen=True, eq=False)
class Projection:
    """A topic folded into read models.

    `shape` says what its documents look like: raise it when that changes. `version` says which build this is, with
    collections and progress of its own: a new one is built beside the live one, from offset zero. Read models derived
    from one another share their version: derived from a document of another one, they would be neither the one nor
    the other.
    """

    name: str
    topic: Topic
    decode: Callable[[Record], Any]  # shared by projections of a topic: what one has decoded, the others need not
    logs: Mapping[str, Log] = field(default_factory=dict)  # by their collections
    models: tuple[Model, ...] = ()
    version: int = 1
    shape: int = 1
    types: frozenset[str] | None = None  # of the events it reads; None: all
    sees: Callable[[Any, Record], Any] | None = None  # what its models are told of a message; None: the message
    sums: bool = False  # many aggregates feed one document, which is guarded by offset

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

    def read_of(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the records it may read: all but those of ours that name another type."""
        if self.types is None:
            return records
        wanted = {None, *self.types}
        return [each for each in records if each.value is None or type_of(each.value) in wanted]
