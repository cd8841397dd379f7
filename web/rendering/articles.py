"""Articles such as the terms: Markdown files that an operator replaces.

Raw HTML in a file is shown as text, and links lead only to harmless schemes. So a file that somebody else
wrote can't run a script. The files are read when they are first requested, and again after a change.
"""

import logging
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

log = logging.getLogger(__name__)

STANDARD = Path(__file__).parents[1] / "documents"
"""The files that come with the code."""
NAMES = ("how-it-works", "guarantee", "help", "terms", "privacy", "imprint", "contact")

MAX_BYTES = 500_000
"""The most of a file that is read: more than any legal text, and little enough to parse in a second."""
MAX_DESCRIPTION = 200
"""The most characters of a description. Search engines show fewer."""

_LANGUAGE = re.compile(r"[a-z]{2,3}", re.ASCII)
_markdown = MarkdownIt("js-default", {"typographer": False}).disable("image")


@dataclass(frozen=True)
class Article:
    """A rendered file."""

    title: str
    """Its first heading."""
    description: str
    """The beginning of its first paragraph, for search engines."""
    html: Markup


def article(name: str, language: str, folder: Path | None = None) -> Article:
    """The article with this name, in a language if there is a file for it, such as `terms.de.md`.

    A file in the operator's folder replaces all standard ones with this name. One that can't be read doesn't,
    and is logged: the standard texts name no operator.

    Raises:
        KeyError: there is no such article.
    """
    if name not in NAMES:
        raise KeyError(name)
    if folder is not None and not folder.is_dir():
        _report(folder, "it isn't a folder")
    for path in _candidates(name, language, folder):
        try:
            state = path.stat()
            return _read(path, state.st_mtime_ns, state.st_size)
        except FileNotFoundError:
            continue
        except OSError as error:
            _report(path, str(error))
    raise KeyError(name)


def render(text: str) -> Article:
    """The HTML of a Markdown text."""
    tokens = _markdown.parse(text)
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open" and (anchor := _anchor(inline.content)):
            heading.attrSet("id", anchor)
    html = _markdown.renderer.render(tokens, _markdown.options, {})
    title = next(_texts(tokens, "heading_open"), "Stagedoor")
    return Article(title, _shortened(next(_texts(tokens, "paragraph_open"), "")), Markup(html))  # noqa: S704


def _candidates(name: str, language: str, folder: Path | None) -> Iterator[Path]:
    endings = [f".{language}.md", ".md"] if _LANGUAGE.fullmatch(language) else [".md"]
    for each in filter(None, (folder, STANDARD)):
        yield from (each / f"{name}{ending}" for ending in endings)


@lru_cache(maxsize=len(NAMES) * 8)
def _read(path: Path, _changed: int, _size: int) -> Article:
    """The file's article. A file that was changed is read again, because its time differs."""
    with path.open("rb") as file:
        return render(file.read(MAX_BYTES).decode("utf-8-sig", errors="replace"))


@lru_cache(maxsize=100)
def _report(path: Path, reason: str) -> None:
    """Log what can't be read. Once, because each reader of the page would repeat it."""
    log.error("%s isn't used for a page: %s", path, reason)


def _texts(tokens: Sequence[Token], kind: str) -> Iterator[str]:
    """The texts of all headings or paragraphs, without their markup."""
    for opening, inline in pairwise(tokens):
        if opening.type == kind:
            parts = (" " if part.type == "softbreak" else part.content for part in inline.children or ())
            yield "".join(parts).strip()


def _anchor(heading: str) -> str:
    """The id of a heading: its words in lower case, joined with hyphens."""
    folded = unicodedata.normalize("NFKD", heading).casefold()
    letters = "".join(each for each in folded if not unicodedata.combining(each) and each not in "'\u2019")
    return "-".join(re.findall(r"\w+", letters))


def _shortened(text: str) -> str:
    if len(text) <= MAX_DESCRIPTION:
        return text
    return text[:MAX_DESCRIPTION].rsplit(" ", 1)[0].rstrip(",.;:") + "…"
