"""Articles are rendered from Markdown files that somebody else may have written."""

import os
import re
from pathlib import Path

import pytest
from babel import Locale

from contracts import guarantees
from kit import texts
from web.rendering import articles
from web.rendering.articles import NAMES, article, render


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("name", NAMES)
def test_every_standard_article_has_a_title_and_a_description(name: str, language: str) -> None:
    found = article(name, language)
    assert found.title
    assert 20 < len(found.description) <= articles.MAX_DESCRIPTION + 1
    assert f">{found.title}</h1>" in found.html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"),
        ("a <img src=x onerror=alert(1)>", "<p>a &lt;img src=x onerror=alert(1)&gt;</p>\n"),
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>\n"),
        ("[a](data:text/html,x)", "<p>[a](data:text/html,x)</p>\n"),
        ('[a](/x "q\\" onclick=1")', '<p><a href="/x" title="q&quot; onclick=1">a</a></p>\n'),
        ("[a](/help)", '<p><a href="/help">a</a></p>\n'),
    ],
)
def test_an_article_contains_no_raw_html_and_no_dangerous_links(text: str, html: str) -> None:
    assert str(render(text).html) == html


@pytest.mark.parametrize("name", NAMES)
def test_the_german_version_has_the_same_parts_and_links(name: str) -> None:
    english, german = (article(name, language).html for language in ("en", "de"))
    for pattern in (r"<h[123]", r"<li>", r"<em>"):
        assert len(re.findall(pattern, english)) == len(re.findall(pattern, german))
    assert re.findall(r'href="([^"]*)"', english) == re.findall(r'href="([^"]*)"', german)


@pytest.mark.parametrize("name", NAMES)
def test_links_between_articles_lead_to_pages_and_headings_that_exist(name: str) -> None:
    pages = {*(f"/{each}" for each in NAMES), "/orders", "/sell", "/account", "/account/payouts"}
    pages |= {"/account/forgot", "/.well-known/security.txt"}
    for target in re.findall(r'href="([^"]*)"', article(name, "en").html):
        assert target.partition("#")[0] in pages, target


@pytest.mark.parametrize(
    ("language", "decision"),
    [
        ("en", "the whole price back, a part of it, or nothing"),
        ("de", r"den ganzen Preis(?: zurückbekommen)?, einen Teil davon oder nichts"),
    ],
)
def test_articles_promise_what_is_guaranteed_and_not_always_the_money_back(
    language: str, decision: str
) -> None:
    """Each version says what contracts/guarantees.py says: somebody decides about a reported problem."""
    with texts.using(Locale(language)):
        guaranteed = texts._(guarantees.REPORTED.what, answer_hours="48")
    assert re.search(decision, guaranteed)
    pages = {name: article(name, language).html for name in ("guarantee", "help", "how-it-works", "terms")}
    for name in ("guarantee", "help", "terms"):
        assert re.search(decision, " ".join(pages[name].split())), name
        assert 'href="/how-it-works"' in pages[name]
    for name in ("help", "how-it-works", "terms"):
        assert 'href="/guarantee"' in pages[name], name


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("name", NAMES)
def test_articles_have_typographic_apostrophes(name: str, language: str) -> None:
    assert "'" not in article(name, language).html


def test_pictures_of_other_sites_are_not_loaded() -> None:
    assert "<img" not in render("![logo](https://example.com/x.png)").html


def test_headings_can_be_linked_to() -> None:
    html = render("# Terms\n\n## 2. What's über *here*?").html
    assert '<h2 id="2-whats-uber-here">' in html


def test_the_description_is_the_beginning_of_the_first_paragraph_without_markup() -> None:
    found = render("# Help\n\nSee **[this](/x)** and\nthat. " + "word " * 100)
    assert found.description.startswith("See this and that. word")
    assert found.description.endswith("word…")
    assert len(found.description) <= articles.MAX_DESCRIPTION + 1


def test_a_file_of_the_operator_replaces_the_standard_one_and_a_language_is_preferred(tmp_path: Path) -> None:
    (tmp_path / "terms.md").write_text("# Our terms\n\nText")
    (tmp_path / "terms.de.md").write_text("# Unsere Bedingungen\n\nText")
    assert article("terms", "en", tmp_path).title == "Our terms"
    assert article("terms", "de", tmp_path).title == "Unsere Bedingungen"
    assert article("help", "de", tmp_path).title == "Hilfe"
    assert article("help", "fr", tmp_path).title == "Help"
    assert article("terms", "../x", tmp_path).title == "Our terms"


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "terms.md"
    path.write_text("# One\n\nText")
    first = article("terms", "en", tmp_path)
    assert article("terms", "en", tmp_path) is first
    path.write_text("# Two\n\nText")
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    assert article("terms", "en", tmp_path).title == "Two"


def test_only_known_articles_are_read(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("# Secret")
    for name in ("secret", "../secret", ""):
        with pytest.raises(KeyError):
            article(name, "en", tmp_path)


def test_a_file_that_cannot_be_read_is_logged_once_and_replaced_by_the_standard_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "terms.md").mkdir()
    for _ in range(3):
        assert article("terms", "en", tmp_path) == article("terms", "en")
    assert [record.message for record in caplog.records] == [
        f"{tmp_path / 'terms.md'} isn't used for a page: [Errno 21] Is a directory: '{tmp_path / 'terms.md'}'"
    ]


def test_a_folder_of_the_operator_that_is_missing_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert article("imprint", "en", tmp_path / "missing") == article("imprint", "en")
    assert "isn't a folder" in caplog.text
