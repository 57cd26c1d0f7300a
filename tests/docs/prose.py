"""Find the text that people read in a file: comments, docstrings, strings, names of tests, paragraphs.

Each kind of file has a function that yields `Prose`: one comment, string or paragraph as a single line of text, which
maps each of its characters to a line of the file. Code is left out, and `code` in backticks is replaced.
"""

import ast
import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

CODE = "CODE"  # replaces code


class Prose(NamedTuple):
    """Text of one kind, and where its parts begin: `starts` are offsets into `text`, `lines` are lines of the file."""

    kind: str
    text: str
    starts: list[int]
    lines: list[int]

    def line(self, offset: int) -> int:
        """Return the line of the file that has the character at `offset`."""
        return self.lines[bisect_right(self.starts, offset) - 1]


def prose(kind: str, numbered: Iterable[tuple[int, str]]) -> Iterator[Prose]:
    """Yield the numbered lines as one text, unless they contain no words."""
    text, starts, lines = "", [], []
    for number, part in numbered:
        starts.append(len(text))
        lines.append(number)
        text += plain(part) + " "
    if re.search(r"[A-Za-z]{2}", text):
        yield Prose(kind, text.rstrip(), starts, lines)


def plain(text: str) -> str:
    """Return `text` without markup, link targets and code."""
    text = re.sub(r"``[^`]*``|`[^`]*`", CODE, text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<[a-zA-Z/!][^>]*>|https?://\S+|\*\*|(?<![\w*])[*_](?=\w)|(?<=\w)[*_](?![\w*])", "", text)
    return " ".join(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())


def paragraphs(kind: str, text: str, first: int = 1) -> Iterator[Prose]:
    """Yield each paragraph and each item of a list in `text`, whose first line has the number `first`."""
    item = re.compile(r"^\s*([-*+]|\d+\.|#+|\|)\s")
    block: list[tuple[int, str]] = []
    for number, line in enumerate([*text.splitlines(), ""], first):
        if not line.strip() or item.match(line):
            yield from prose(kind, block)
            block = []
        if line.strip():
            block.append((number, item.sub("", line)))


# --- Python


def python(text: str) -> Iterator[Prose]:
    """Yield comments, docstrings, strings with more than one word, and the names of tests."""
    yield from _python_comments(text)
    nodes = list(ast.walk(ast.parse(text)))
    documented = {id(each) for each in _docstrings(nodes)}
    inner = {id(part) for each in nodes if isinstance(each, ast.JoinedStr) for part in ast.walk(each)}
    for node in nodes:
        if isinstance(node, ast.Constant):
            if id(node) in documented:
                yield from _docstring(node)
            elif id(node) not in inner:
                yield from _string(node)
        elif isinstance(node, ast.JoinedStr):
            yield from _string(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield from prose("name", [(node.lineno, node.name.removeprefix("test_").replace("_", " "))])


def _python_comments(text: str) -> Iterator[Prose]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [(each.start, each.string, each.line) for each in tokens if each.type == tokenize.COMMENT]
    yield from _joined(
        ((line, column), string.lstrip("#:! "), source[:column].strip() == "")
        for (line, column), string, source in comments
    )


def _joined(comments: Iterable[tuple[tuple[int, int], str, bool]]) -> Iterator[Prose]:
    """Yield comments; comments that fill adjacent lines are one comment."""
    block: list[tuple[int, str]] = []
    column = -1
    for (line, start), text, alone in comments:
        if not (alone and block and (block[-1][0] + 1, column) == (line, start)):
            yield from prose("comment", block)
            block = []
        column = start if alone else -1
        if not re.match(r"(noqa|type: ignore|ruff:|fmt:|pragma|eslint)", text):
            block.append((line, text))
    yield from prose("comment", block)


def _docstrings(nodes: Iterable[ast.AST]) -> Iterator[ast.expr]:
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str()) as first), *_]:
                    yield first


def _docstring(node: ast.Constant) -> Iterator[Prose]:
    kind = "docstring"
    for each in paragraphs(kind, str(node.value), node.lineno):
        yield each._replace(kind=kind)
        kind = "text"


def _string(node: ast.expr) -> Iterator[Prose]:
    match node:
        case ast.Constant(value=str(text)):
            pass
        case ast.JoinedStr(values=parts):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else CODE for part in parts)
        case _:
            return
    if re.search(r"[a-z] +[a-z]", text):
        yield from prose("string", [(node.lineno, " ".join(text.split()))])


# --- other languages

_HASH = re.compile(r"(?:^|\s)#+ ?(.*)")


def hashes(text: str) -> Iterator[Prose]:
    """Yield the comments of files in which a comment begins with #."""
    yield from _joined(
        ((number, found.start()), found[1], not line[: found.start()].strip())
        for number, line in enumerate(text.splitlines(), 1)
        if (found := _HASH.search(line))
    )


def yaml(text: str) -> Iterator[Prose]:
    """Yield comments, and values with more than one word."""
    yield from hashes(text)
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*(?:- )?(\w+): *(?![|>&*{\[#])(.* .*)", line):
            yield from prose("string", [(number, found[2].partition(" #")[0].strip("\"' "))])


def json(text: str) -> Iterator[Prose]:
    """Yield titles and descriptions."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r'\s*"(?:title|description|legendFormat|summary)": "(.+)"', line):
            yield from prose("string", [(number, found[1])])


def makefile(text: str) -> Iterator[Prose]:
    """Yield comments and printed texts."""
    yield from hashes(text)
    for number, line in enumerate(text.splitlines(), 1):
        for printed in re.findall(r'echo "([^"]*)"', line):
            yield from prose("string", [(number, printed)])


def template(text: str) -> Iterator[Prose]:
    """Yield the comments of Helm's templates, those of the template and those of the YAML that it makes."""
    yield from hashes(text)
    for found in re.finditer(r"\{\{-?\s*/\*(.*?)\*/\s*-?\}\}", text, re.DOTALL):
        yield from paragraphs("comment", found[1], text.count("\n", 0, found.start()) + 1)


_SLASHES = re.compile(
    r"""(?P<block>/\*.*?\*/)|(?P<line>(?<![:\w"'])//[^\n]*)|(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)""",
    re.S,
)


def javascript(text: str) -> Iterator[Prose]:
    """Yield comments, and strings with more than one word."""
    comments: list[tuple[tuple[int, int], str, bool]] = []
    for found in _SLASHES.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start()) - 1
        if found["string"]:
            content = re.sub(r"\$\{[^}]*\}", CODE, found["string"][1:-1])
            if re.search(r"[a-z] +[a-z]", content):
                yield from paragraphs("string", content, line)
        elif found["line"]:
            alone = not text[: found.start()].rpartition("\n")[2].strip()
            comments.append(((line, column), found["line"].lstrip("/ "), alone))
        else:
            yield from paragraphs("comment", re.sub(r"(?m)^\s*\*", "", found["block"][2:-2]), line)
    yield from _joined(comments)


class _Html(HTMLParser):
    READ = ("alt", "title", "placeholder", "aria-label", "content")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Prose] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in self.READ and value:
                self.found += prose("string", [(self.getpos()[0], value)])

    def handle_data(self, data: str) -> None:
        self.found += paragraphs("text", data, self.getpos()[0])

    handle_comment = handle_data


def html(text: str) -> Iterator[Prose]:
    """Yield text, comments and the attributes that browsers show."""
    parser = _Html()
    parser.feed(text)
    yield from parser.found


def markdown(text: str) -> Iterator[Prose]:
    """Yield headings, cells of tables, paragraphs, and the comments in blocks of code."""
    fenced = False
    rest: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*(```|~~~)", line):
            fenced = not fenced
            rest.append("")
        elif fenced:
            rest.append("")
            if found := re.match(r"\s*#+ (.*)", line) or re.search(r"\s{2}# (.*)", line):
                yield from prose("comment", [(number, found[1])])
        elif line.startswith("#"):
            rest.append("")
            yield from prose("heading", [(number, line.lstrip("# "))])
        elif line.lstrip().startswith("|"):
            rest.append("")
            for cell in line.split("|"):
                yield from prose("cell", [(number, cell)])
        else:
            rest.append(line)
    yield from paragraphs("text", "\n".join(rest))


READERS: dict[str, Callable[[str], Iterator[Prose]]] = {
    ".py": python,
    ".md": markdown,
    ".js": javascript,
    ".css": javascript,
    ".html": html,
    ".yml": yaml,
    ".yaml": yaml,
    ".json": json,
    ".toml": hashes,
    ".sh": hashes,
    ".tpl": template,
    ".conf": hashes,
    "Dockerfile": hashes,
    "Makefile": makefile,
    "run": hashes,
}


def read(path: Path) -> Iterator[Prose]:
    """Yield the texts in the file at `path`; nothing if its kind is unknown."""
    reader = READERS.get(path.suffix) or READERS.get(path.name)
    if reader is not None:
        yield from reader(path.read_text())
