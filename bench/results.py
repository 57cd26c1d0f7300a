"""Results part by part in a file: a part that fails or is repeated does not affect the others."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.figure import Figure, Found, Profile, Ratio


@dataclass
class PartResult:
    """The results of one part, with their time and conditions; `failed` is the reason why it ended early."""

    title: str
    date: str
    conditions: str
    seconds: float = 0.0
    found: list[Found] = field(default_factory=list)
    failed: str = ""

    def figures(self) -> list[Figure]:
        """Return its figures."""
        return [one for one in self.found if isinstance(one, Figure)]

    def ratios(self) -> list[Ratio]:
        """Return its ratios."""
        return [one for one in self.found if isinstance(one, Ratio)]

    def profiles(self) -> list[Profile]:
        """Return its profiles."""
        return [one for one in self.found if isinstance(one, Profile)]


class Results:
    """The results by the names of the parts."""

    def __init__(self, path: Path | None = None, *, go_on: bool = False) -> None:
        self.path, self.parts = path, dict[str, PartResult]()
        if path is not None and go_on and path.exists():
            self.parts = {name: _part(raw) for name, raw in json.loads(path.read_text()).items()}

    def keep(self, name: str, result: PartResult) -> None:
        """Replace the results of the part `name`, also in the file."""
        self.parts[name] = result
        if self.path is not None:
            texts = {name: asdict(part) for name, part in self.parts.items()}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(texts, indent=1, ensure_ascii=False))

    def figure(self, key: str) -> Figure | None:
        """Return the figure `key` if it was measured."""
        return next((figure for figure in self.figures() if figure.key == key), None)

    def figures(self) -> Iterator[Figure]:
        """Yield all figures."""
        for part in self.parts.values():
            yield from part.figures()


def _part(raw: dict[str, Any]) -> PartResult:
    return PartResult(**raw | {"found": [_found(one) for one in raw["found"]]})


def _found(raw: dict[str, Any]) -> Found:
    kind = Profile if "load" in raw else Ratio if "base" in raw else Figure
    return kind(**raw)
