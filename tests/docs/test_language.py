"""The project's texts are plain English: tests of the texts, and of the scanner that reads them."""

import textwrap
from pathlib import Path

import pytest

from tests.docs.language import PATTERNS, ROOT, Pattern, findings, report, sources
from tests.docs.prose import READERS, Prose, read

pytestmark = pytest.mark.usefixtures("processes")


def test_texts_are_plain_english() -> None:
    found = report(sources())
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_each_pattern_finds_and_accepts_its_examples(pattern: Pattern) -> None:
    def found(text: str) -> bool:
        kind = pattern.only[0] if pattern.only else "comment"
        return any(pattern.found(Prose(kind, text, [0], [1])))

    assert [text for text in pattern.finds if not found(text)] == []
    assert [text for text in pattern.accepts if found(text)] == []
    assert pattern.finds
    assert pattern.accepts


# Each kind of file, with the word BAD in each kind of text: every text must be read, and no code.
FILES = {
    "a.py": """\
        '''A BAD module.

        A paragraph in which a thing
        is BAD.
        '''
        # BAD
        LIMIT = 3  # BAD once
        def test_BAD_things_work():
            raise ValueError(f"it was {LIMIT} times "
                             "BAD")
        BAD = "BAD"  # a name and a value are not texts
        """,
    "a.md": """\
        # BAD

        A thing is `BAD` and
        BAD.

        | a cell | is BAD |

        ```sh
        BAD it  # BAD
        ```
        """,
    "a.js": """\
        // BAD
        const BAD = "it is BAD"; /* and
        BAD */
        """,
    "a.html": """\
        <p title="it is BAD">A text
        is BAD</p>
        <!-- a comment: BAD -->
        """,
    "a.yml": """\
        BAD: 1  # BAD
        summary: it is BAD
        """,
    "a.json": """\
        {"BAD": 1,
         "title": "BAD",
         "description": "It is BAD."}
        """,
    "a.conf": "BAD on;  # BAD\n",
    "a.toml": "BAD = 1  # BAD\n",
    "a.sh": """\
        # BAD
        set -eu  # BAD
        BAD=$(cat BAD)
        """,
    "a.tpl": """\
        {{/* It
        is BAD. */}}
        {{- define "BAD" -}}
        BAD: {{ .Values.BAD }}  # BAD
        {{- end -}}
        """,
    "Makefile": """\
        # BAD
        BAD:
        \t@echo "it is BAD"
        """,
}
LINES = {
    "a.py": [1, 4, 6, 7, 8, 9],
    "a.md": [1, 4, 6, 9],
    "a.js": [1, 2, 3],
    "a.html": [1, 2, 3],
    "a.yml": [1, 2],
    "a.json": [2, 3],
    "a.conf": [1],
    "a.toml": [1],
    "a.sh": [1, 2],
    "a.tpl": [2, 4],
    "Makefile": [1, 3],
}


@pytest.mark.parametrize("name", FILES)
def test_texts_of_each_kind_are_found_with_their_lines(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(textwrap.dedent(FILES[name]).replace("BAD", "mended"))
    assert sorted(line for line, _ in findings(read(file))) == LINES[name]


def test_a_finding_names_its_line_and_what_to_write_instead(tmp_path: Path) -> None:
    bad = "The service\nis BAD.\n".replace("BAD", "mended")
    (tmp_path / "a.md").write_text(bad)
    [(line, sentence)] = findings(read(tmp_path / "a.md"))
    assert line == 2
    assert sentence.endswith("write 'fix', 'repair'")
    assert " ".join(bad.split()) in sentence


def test_every_kind_of_file_with_text_is_read() -> None:
    unread = {path.suffix or path.name for path in sources() if path.suffix not in READERS and path.name not in READERS}
    assert unread <= {
        ".gz", ".xz", ".png", ".svg", ".lock", ".txt", ".gitignore", ".dockerignore", ".helmignore", "LICENSE",
    }  # fmt: skip
    assert ROOT / "README.md" in sources()
