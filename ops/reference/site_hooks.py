"""Hooks of `mkdocs build`: keep the site free of requests to other hosts, and its links valid.

MkDocs calls these functions by name; `mkdocs.yml` registers this file.
"""

import gzip
import re
from pathlib import Path
from typing import Any

SCRIPT = "assets/vendor/mermaid.tiny.js"
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Return the page with links that leave `docs/`, such as those to source files, as plain text."""
    docs = Path(config.docs_dir)
    folder = (docs / page.file.src_uri).parent

    def inside(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        return match[0] if target.is_relative_to(docs.resolve()) else match[1]

    return LINK.sub(inside, markdown)


def on_post_page(output: str, *, page: Any, config: Any) -> str:
    """Return the page with our copy of Mermaid where it has a diagram; the theme would load it from a CDN."""
    if 'class="mermaid"' not in output:
        return output
    up = "../" * page.url.count("/")
    return output.replace("</head>", f'<script src="{up}{SCRIPT}"></script></head>', 1)


def on_post_build(*, config: Any) -> None:
    """Unpack Mermaid."""
    packed = Path(config.site_dir) / f"{SCRIPT}.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
