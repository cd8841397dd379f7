"""Every UI text is marked for gettext, so that it can be translated."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.frontend import CommandLineInterface
from babel.messages.pofile import read_po
from jinja2 import Environment

from contracts import guarantees
from web.rendering.script_texts import SCRIPT_TEXTS

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "web" / "templates"
SCRIPTS = ROOT / "static" / "js"

NOT_TRANSLATED = {"Stagedoor", "HTTP"}
"""Names, which are the same in every language."""
TEXT_ATTRIBUTES = {"alt", "aria-label", "placeholder", "title"}

_WORD = re.compile(r"[^\W\d_]{2,}")
_ATTRIBUTE = re.compile(r'[\w:-]+="[^"]*"')
"""An attribute that isn't inside a tag, because a macro returns it."""
_LITERAL_TEXT = re.compile(r"^[A-Z][a-z]|[a-z] [a-z]")
_SCRIPT_COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)
_SCRIPT_STRING = re.compile(r'"[^"\n]*"|`[^`]*`')
_INTERPOLATION = re.compile(r"\$\{[^}]*\}")
_NOT_SHOWN = re.compile(r"#.*|\w+/\w+|AbortError|banner toast( quiet)?|preview picture")
"""Strings in scripts that look like texts: selectors, time zones, the name of an error, and class names."""


class _VisibleTexts(HTMLParser):
    """Collects the texts and attributes of HTML that a person reads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "meta" and attributes.get("name") == "description":
            self.handle_data(attributes.get("content") or "")
        for name in TEXT_ATTRIBUTES & attributes.keys():
            self.handle_data(attributes[name] or "")

    def handle_data(self, data: str) -> None:
        if any(word not in NOT_TRANSLATED for word in _WORD.findall(_ATTRIBUTE.sub("", data))):
            self.found.append(" ".join(data.split()))


def unmarked_texts(source: str) -> list[str]:
    """Visible texts of a template that neither a `trans` block nor a gettext function marks."""
    html, literals = [], []
    is_block_start = is_trans = False
    depth, calls = 0, []
    previous = ""
    for _, kind, value in Environment(autoescape=True).lexer.tokeniter(source, None):
        if kind == "data" and not is_trans:
            html.append(value)
        elif kind == "name":
            if is_block_start and value in {"trans", "endtrans"}:
                is_trans = value == "trans"
        elif kind == "operator" and value in "()":
            depth += 1 if value == "(" else -1
            if value == "(" and previous in {"_", "ngettext"}:
                calls.append(depth)
            elif value == ")" and calls and calls[-1] > depth:
                calls.pop()
        elif kind == "string" and not calls and _LITERAL_TEXT.search(value[1:-1]):
            literals.append(value)
        if kind != "whitespace":
            is_block_start, previous = kind == "block_begin", value
    parser = _VisibleTexts()
    parser.feed("".join(html))
    parser.close()
    return [*parser.found, *literals]


@pytest.mark.parametrize(
    "path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: str(path.relative_to(TEMPLATES))
)
def test_every_visible_text_of_a_template_is_marked_for_gettext(path: Path) -> None:
    assert unmarked_texts(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Sold out</p>", ["Sold out"]),
        ('<img src="x.webp" alt="Your ticket">', ["Your ticket"]),
        ('<meta name="description" content="Buy tickets">', ["Buy tickets"]),
        ('<p>{{ "Save" if ticket else "List it" }}</p>', ['"Save"', '"List it"']),
        ('{{ m.input(form, "faceValue", "Face value") }}', ['"Face value"']),
        ('<p>{{ _("Sold out") }}</p>', []),
        ("<p>{% trans price %}You paid <b>{{ price }}</b>.{% endtrans %} Enjoy!</p>", ["Enjoy!"]),
        (
            '{{ m.input(form, "price", _("Price in %(currency)s", currency=currency), type="text") }}',
            [],
        ),
        ("<title>{% block title %}{% endblock %} · Stagedoor</title>", []),
        ("{# A comment for developers. #}<p>{{ ticket.title }}</p>", []),
    ],
)
def test_the_checker_finds_unmarked_texts(source: str, found: list[str]) -> None:
    assert unmarked_texts(source) == found


def literal_texts(script: str) -> list[str]:
    """Strings of a script that seem to be meant for users, instead of names in `texts`."""
    strings = [
        _INTERPOLATION.sub("", match[0][1:-1])
        for match in _SCRIPT_STRING.finditer(_SCRIPT_COMMENT.sub("", script))
    ]
    return [text for text in strings if _LITERAL_TEXT.search(text) and not _NOT_SHOWN.fullmatch(text)]


@pytest.mark.parametrize(
    "path", sorted(SCRIPTS.rglob("*.js")), ids=lambda path: str(path.relative_to(SCRIPTS))
)
def test_no_script_contains_a_literal_text(path: Path) -> None:
    assert literal_texts(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('close.textContent = "Close";', ["Close"]),
        ("show(`${ticket.title} was sold.`);", [" was sold."]),
        ("show(fill(texts.wasSold, ticket)); // A comment for developers", []),
        ('banner.className = "banner toast";', []),
    ],
)
def test_the_checker_finds_literal_texts_of_scripts(source: str, found: list[str]) -> None:
    assert literal_texts(source) == found


def test_scripts_use_exactly_the_texts_that_the_layout_provides() -> None:
    scripts = [path.read_text(encoding="utf-8") for path in SCRIPTS.rglob("*.js")]
    names = {name for script in scripts for name in re.findall(r"(?<!/)\btexts\.(\w+)", script)}
    assert names == SCRIPT_TEXTS.keys()


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """All messages that Babel extracts, with both forms of a plural."""
    catalog = tmp_path_factory.mktemp("messages") / "messages.pot"
    arguments = ["extract", "-F", str(ROOT / "pyproject.toml"), "-k", "N_", "-o", str(catalog)]
    sources = [str(ROOT / source) for source in ("web", "services", "kit", "contracts")]
    CommandLineInterface().run(["pybabel", "-q", *arguments, *sources])  # type: ignore[no-untyped-call]
    with catalog.open("rb") as file:
        ids = [message.id for message in read_po(file) if message.id]
    return [text for id_ in ids for text in ([id_] if isinstance(id_, str) else id_)]


def test_babel_extracts_the_texts_of_templates_and_python(messages: list[str]) -> None:
    assert {
        "Sign in",  # a template
        "<strong>The ticket is yours.</strong> You paid %(price)s.",  # a `trans` block
        "Finish paying",  # a constant
        "Reconnecting…",  # a text of a script
        "Page not found",  # a function
        "%(num)s sales",  # a plural
        *guarantees.NOT_GUARANTEED,
        *(
            text
            for each in (*guarantees.FOR_BUYERS, *guarantees.FOR_SELLERS)
            for text in (each.what, each.by, each.until, each.when or each.what)
        ),
    } <= set(messages)


def test_every_placeholder_has_a_name(messages: list[str]) -> None:
    unnamed = re.compile(r"%(?!\(\w+\)s|%)|\{\w*\}")
    assert [text for text in messages if unnamed.search(text)] == []


def test_no_message_begins_or_ends_with_a_space(messages: list[str]) -> None:
    """A text with a space at one end is part of a sentence, which other languages may order differently."""
    assert [text for text in messages if text != text.strip()] == []
