"""Recent views, so that the next event of an order needs no read.

Correctness does not depend on this cache: a view is used only if the next event follows it, and a write replaces only
older documents.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from projections.projection import View

Owner = tuple[str, str, int]  # projection id, topic, partition


class Cache:
    """The latest views of each partition that this process reads."""

    def __init__(self, views_a_partition: int = 2_000) -> None:
        self._limit = views_a_partition
        self._views: dict[Owner, OrderedDict[str, View]] = {}

    def get(self, owner: Owner, key: str, joins: int) -> View | None:
        """Return the view of `key`, if event number `joins` follows it or is already included."""
        view = self._views.setdefault(owner, OrderedDict()).get(key)
        return view if view is not None and view.version >= joins - 1 else None

    def keep(self, owner: Owner, views: Mapping[str, View]) -> None:
        """Remember `views`, and forget the least recently used ones."""
        known = self._views.setdefault(owner, OrderedDict())
        for key, view in views.items():
            known[key] = view
            known.move_to_end(key)
        while len(known) > self._limit:
            known.popitem(last=False)

    def drop(self, owner: Owner, keys: Iterable[str]) -> None:
        """Forget the views of `keys`, because the database has newer ones."""
        known = self._views.setdefault(owner, OrderedDict())
        for key in keys:
            known.pop(key, None)

    def forget(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Forget all views of `partitions`."""
        gone = set(partitions)
        for owner in [owner for owner in self._views if owner[1:] in gone]:
            del self._views[owner]

    def clear(self) -> None:
        """Forget all views."""
        self._views.clear()
