"""Recent views, so that the next event of an order needs no read. Nothing depends on them being there, or right:
a view is used only if the next event joins on to it, and a write only succeeds over an older document.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from projections.projection import View

Owner = tuple[str, str, int]  # projection id, topic, partition


class Cache:
    """The latest views of each partition that is read here."""

    def __init__(self, views_a_partition: int = 2_000) -> None:
        self._limit = views_a_partition
        self._views: dict[Owner, OrderedDict[str, View]] = {}

    def get(self, owner: Owner, key: str, joins: int) -> View | None:
        """Return the view of `key`, if event number `joins` can follow or is in it already."""
        view = self._views.setdefault(owner, OrderedDict()).get(key)
        return view if view is not None and view.version >= joins - 1 else None

    def keep(self, owner: Owner, views: Mapping[str, View]) -> None:
        """Remember `views`, and forget those not touched for longest."""
        known = self._views.setdefault(owner, OrderedDict())
        for key, view in views.items():
            known[key] = view
            known.move_to_end(key)
        while len(known) > self._limit:
            known.popitem(last=False)

    def drop(self, owner: Owner, keys: Iterable[str]) -> None:
        """Forget the views of `keys`: the database knows better."""
        known = self._views.setdefault(owner, OrderedDict())
        for key in keys:
            known.pop(key, None)

    def forget(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Forget all views of `partitions`."""
        gone = set(partitions)
        for owner in [owner for owner in self._views if owner[1:] in gone]:
            del self._views[owner]

    def clear(self) -> None:
        """Forget everything."""
        self._views.clear()
