"""A projection: a topic, a decoder for its records, and the documents they are folded into."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from projections.document import Document
from streams.messages.envelope import EventMessage, type_of
from streams.runtime.settings import Settings
from streams.topics import Topic


class Record(Protocol):
    """The fields of a Kafka record that we use; aiokafka's `ConsumerRecord` has them."""

    @property
    def key(self) -> bytes | None:
        """The id of the aggregate."""

    @property
    def value(self) -> bytes | None:
        """The message."""

    @property
    def partition(self) -> int:
        """The number of its partition."""

    @property
    def offset(self) -> int:
        """The offset within its partition."""

    @property
    def timestamp(self) -> int:
        """When Kafka received it, in milliseconds."""


class View(Protocol):
    """A folded view; it knows the sequence of the last event it includes."""

    @property
    def version(self) -> int:
        """The sequence of the last event it includes."""


@dataclass(frozen=True, eq=False)
class Derived:
    """A read model derived from the documents of another one when it is read, at no cost for writes.

    `where`: the filter on those documents; `sorts`: see `Model`; `made_of`: sortable fields → the fields they are
    derived from.
    """

    document_of: Callable[[Document], Document]
    where: Document = field(default_factory=dict)
    sorts: tuple[str, ...] = ()
    made_of: Mapping[str, str] = field(default_factory=dict)


def as_it_is(document: Document) -> Document:
    """Return `document`."""
    return document


class History(Protocol):
    """How the events of one aggregate are found and read in a log."""

    @property
    def of(self) -> str:
        """The field of an answer that names the aggregate, such as `orderId`."""

    @property
    def order(self) -> str:
        """The field that sorts the entries of one aggregate by their sequence."""

    def between(self, aggregate_id: str, first: int = 1, last: int | None = None) -> Document:
        """Return the query for the entries of an aggregate, from one sequence to another, both inclusive."""

    def message_of(self, entry: Document) -> EventMessage:
        """Return the event of an entry, as today's code reads it."""

    def shown(self, entry: Document) -> Document:
        """Return an entry as the API shows it."""


@dataclass(frozen=True, eq=False)
class Summed:
    """A sum of several documents, made when it is read: of those whose field `by` has the requested id.

    `total` returns the sum, or None if there are no documents.
    """

    by: str
    total: Callable[[Sequence[Document]], Document | None]


@dataclass(frozen=True, eq=False)
class Counted:
    """How many documents of a gapless model are of each kind, counted as they change: one small document per partition.

    `kinds_of` returns the kinds of a view; it may have several, or none.
    """

    collection: str
    kinds_of: Callable[[Any], Sequence[str]]


@dataclass(frozen=True, eq=False)
class Archive:
    """The collection of a model's documents that are set aside; `holds` returns whether the document of a view is.

    `changed` returns the time since which a view may wait for that.
    """

    collection: str
    holds: Callable[[Any], bool]
    changed: Callable[[Any], str]


@dataclass(frozen=True, eq=False)
class Log:
    """A collection with one document per message, inserted once; `encoded` returns `entry` as BSON, if that is faster.

    `provisional`: which documents a later one with the same `_id` replaces. `history`: how entries are read if the
    messages are events. `today` converts an entry of older code to the current form. `namesakes`: entries have the ids
    of their events, and older code gave the same id to several events. `sorts`, `partial_sorts`: see `Model`.
    """

    entry: Callable[[Any, Record], Document]
    encoded: Callable[[Any, Record], bytes] | None = None
    provisional: Document | None = None
    history: History | None = None
    today: Callable[[Document], Document] = as_it_is
    namesakes: bool = False
    sorts: tuple[str, ...] = ()
    partial_sorts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Model:
    """A view folded from the events of one key, its document, and the read models derived from that document.

    `begins` tells that an event needs no older view, which saves a read. A `gapless` view includes every sequence
    number of its aggregate, so that a missing one stops the partition. Its own document is written last: once it
    includes an event, all others include it.

    The other fields say how the documents are read. `visible` filters them; `rendered` documents contain the answer as
    JSON; `summed` answers are the sum of several documents; `counted`: how many there are of each kind. Documents that
    `archive` holds are in its collection instead. `sorts` are the
    orders of a list, descending with a minus; the first is the default. `partial_sorts` exist only for the part of the
    documents that is indexed for them. `values` are all values of fields that have few, so that an index which begins
    with such a field also answers questions without it.
    """

    collection: str  # the collection of its own document, from which the view is loaded
    key: Callable[[Any], str | None]  # the key of the document that `message` changes
    begins: Callable[[Any], bool]
    fold: Callable[[Any, Any], View]
    view_of: Callable[[Document], View]
    document_of: Callable[[Any], Document]
    derived: Mapping[str, Derived] = field(default_factory=dict)  # by name
    gapless: bool = True
    visible: Document = field(default_factory=dict)
    rendered: bool = False
    summed: Summed | None = None
    counted: Counted | None = None
    archive: Archive | None = None
    sorts: tuple[str, ...] = ()
    partial_sorts: tuple[str, ...] = ()
    values: Mapping[str, tuple[str | bool | None, ...]] = field(default_factory=dict)

    def place_of(self, view: Any) -> str:
        """Return the collection that has the document of `view`, without version."""
        archive = self.archive
        return archive.collection if archive is not None and archive.holds(view) else self.collection

    @property
    def places(self) -> tuple[str, ...]:
        """The collections that may have a document, without version."""
        return (self.collection,) if self.archive is None else (self.collection, self.archive.collection)


@dataclass(frozen=True, eq=False)
class Projection:
    """A topic folded into read models.

    `shape` identifies the form of its documents: increase it when the form changes. `version` identifies this build,
    which has its own collections and progress: a new build is made beside the live one, from offset zero. Read models
    derived from one another share their version, because a document derived from another version would match neither.
    """

    name: str
    topic: Topic
    decode: Callable[[Record], Any]  # projections of a topic with the same decoder decode a record only once
    logs: Mapping[str, Log] = field(default_factory=dict)  # by collection
    models: tuple[Model, ...] = ()
    version: int = 1
    shape: int = 1
    types: frozenset[str] | None = None  # event types it reads; None: all
    sees: Callable[[Any, Record], Any] | None = (
        None  # converts a message before its models see it; None: the message itself
    )
    sums: bool = False  # converts a message for its models; None: does not

    @property
    def id(self) -> str:
        """Its name and version."""
        return f"{self.name}/v{self.version}"

    @property
    def collections(self) -> tuple[str, ...]:
        """The names of its collections, without version."""
        return (*self.logs, *(name for model in self.models for name in model.places), *self.tallies)

    @property
    def tallies(self) -> tuple[str, ...]:
        """The names of its collections of counts, without version."""
        return tuple(model.counted.collection for model in self.models if model.counted is not None)

    @property
    def by_offset(self) -> tuple[str, ...]:
        """The names of its collections in which `sequence` is an offset, without version."""
        return self.collections if self.sums else self.tallies

    @property
    def read_models(self) -> tuple[str, ...]:
        """The names of its collections, and of the read models derived from them."""
        return (*self.collections, *(name for model in self.models for name in model.derived))

    def collection(self, name: str) -> str:
        """Return the collection name of a read model in this version."""
        return f"{name}_v{self.version}"

    def placing(self, settings: Settings) -> "Projection":
        """Return it with all documents in one collection if the settings say so."""
        if settings.archived_documents == "move":
            return self
        return replace(self, models=tuple(map(_without_moves, self.models)))

    def read_of(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the records it may read: all except our own of other types."""
        if self.types is None:
            return records
        wanted = {None, *self.types}
        return [each for each in records if each.value is None or type_of(each.value) in wanted]


def _without_moves(model: Model) -> Model:
    """Return a model whose archive is read, because it may have documents from before, and gets no others."""
    return replace(model, archive=replace(model.archive, holds=lambda _: False)) if model.archive else model
