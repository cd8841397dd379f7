"""Pages are in the reader's language: that of the address, of the cookie, or of the browser."""

import re

import pytest

from contracts.api import User
from kit import texts
from tests.integration.web.page_client import PageClient, text_of
from tests.integration.web.shared_site import Site
from tests.support.fakes.market import Market
from tests.support.pseudo_locale import PseudoLocale

GERMAN = {"Accept-Language": "de-DE"}
TITLE_OF_AN_ARTICLE = "How it works"


@pytest.mark.parametrize(
    ("path", "cookie", "accepted", "language"),
    [
        ("/signin", None, "", "en"),
        ("/signin", None, "de-AT,de;q=0.9,en;q=0.8", "de"),
        ("/signin", None, "fr-FR,fr;q=0.9,de;q=0.7", "de"),
        ("/signin", "en", "de", "en"),
        ("/signin", "de", "en", "de"),
        ("/signin", "xx", "de", "de"),
        ("/en/signin", "de", "de", "en"),
        ("/de/signin", "en", "en", "de"),
    ],
)
async def test_the_address_counts_before_the_cookie_and_the_cookie_before_the_browser(
    client: PageClient, path: str, cookie: str | None, accepted: str, language: str
) -> None:
    headers = {"Accept-Language": accepted, **({"Cookie": f"language={cookie}"} if cookie else {})}
    page = await client.http.get(path, headers=headers)
    assert f'<html lang="{language}"' in page.text
    assert ("Passwort vergessen?" in page.text) is (language == "de")
    assert "Accept-Language" in page.headers["vary"]
    assert "Cookie" in page.headers["vary"]


async def test_a_page_of_an_address_with_a_language_keeps_that_language_for_the_browser(
    client: PageClient,
) -> None:
    first = await client.get("/de/how-it-works")
    assert "language=de; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax" in first.headers["set-cookie"]
    assert '<html lang="de"' in (await client.get("/signin")).text
    again = await client.get("/de/how-it-works")
    assert "set-cookie" not in again.headers


@pytest.mark.parametrize(
    ("path", "accepted", "canonical"),
    [
        ("/", "en", "/"),
        ("/", "de", "/de/"),
        ("/de", "en", "/de/"),
        ("/en/?q=x&city=berlin", "de", "/?city=berlin"),
        ("/de/?q=x&city=berlin", "en", "/de/?city=berlin"),
        ("/de/terms", "en", "/de/terms"),
        ("/en/terms", "de", "/terms"),
    ],
)
async def test_a_page_names_its_address_in_its_language_and_those_in_all_languages(
    client: PageClient, path: str, accepted: str, canonical: str
) -> None:
    page = (await client.get(path, **{"Accept-Language": accepted})).text
    [named] = re.findall(r'rel="canonical" href="https?://[^/]+(/[^"]*)"', page)
    [shared] = re.findall(r'property="og:url" content="https?://[^/]+(/[^"]*)"', page)
    assert named == shared == canonical
    addresses = re.findall(r'rel="alternate" hreflang="([\w-]+)" href="https?://[^/]+(/[^"]*)"', page)
    english = canonical.removeprefix("/de")
    assert dict(addresses) == {"en": english, "de": f"/de{english}", "x-default": english}


async def test_pages_that_search_engines_skip_name_no_address(client: PageClient) -> None:
    for path in ("/de/signin", "/de/no/such/page"):
        assert 'rel="alternate"' not in (await client.get(path)).text


async def test_previews_and_the_manifest_never_show_the_language_of_another_reader(
    client: PageClient, market: Market
) -> None:
    show = market.show("Nick Cave")
    market.ticket(market.user("seller@example.com")[0], show_id=show.id)
    pages = [(await client.http.get(f"/events/{show.id}", headers=headers)).text for headers in ({}, GERMAN)]
    assert len({re.findall(r'og:image" content="([^"]+)"', page)[0] for page in pages}) == 1
    manifest = await client.http.get("/manifest.webmanifest", headers=GERMAN)
    assert {"Cookie", "Accept-Language"} <= set(manifest.headers["vary"].split(", "))


@pytest.mark.parametrize(
    ("path", "cookie", "is_public"),
    [
        ("/", None, True),
        ("/", "language=de", True),
        ("/", "language=en", False),
        ("/de/", "language=de", True),
        ("/de/", None, False),
    ],
)
async def test_no_network_keeps_a_page_that_a_cookie_has_chosen_or_that_sets_one(
    site: Site, path: str, cookie: str | None, *, is_public: bool
) -> None:
    page = await site.get(path, **GERMAN, **({"Cookie": cookie} if cookie else {}))
    assert ("cdn-cache-control" in page.headers) is is_public
    assert page.headers["cache-control"] == ("no-cache" if is_public else "private, no-cache")
    assert ("set-cookie" in page.headers) <= (not is_public)


async def test_each_page_leads_to_itself_in_the_other_language(client: PageClient) -> None:
    page = (await client.get("/how-it-works")).text
    assert re.search(r'<a href="/de/how-it-works" lang="de" hreflang="de">Deutsch</a>', page)
    german = (await client.get("/de/how-it-works")).text
    assert re.search(r'<a href="/en/how-it-works" lang="en" hreflang="en">English</a>', german)


@pytest.mark.parametrize(
    "path",
    [
        *("/de/api/tickets", "/de//api/tickets", "/de/%61pi/tickets", "/de/health/live", "/de/metrics"),
        *("/de//metrics", "/de//signin", "/%64e/signin", "/de/de/signin", "/deutsch"),
    ],
)
async def test_only_pages_have_a_language_in_their_address(client: PageClient, path: str) -> None:
    assert (await client.http.get(path)).status_code == 404


async def test_dates_prices_and_plurals_follow_the_language(client: PageClient, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    for _ in range(2):
        market.ticket(seller, price=1234)
    page = text_of(await client.http.get("/", headers=GERMAN)).replace("\xa0", " ")
    assert "2 Angebote" in page
    assert "1.234,00 US$" in page or "1.234,00 $" in page or "1.234 $" in page


async def test_errors_of_a_form_and_of_a_service_are_in_the_language(
    client: PageClient, market: Market
) -> None:
    answer = await client.http.post(
        "/signin", data={"email": "ann@example.com", "password": "wrong words"}, headers=GERMAN
    )
    assert "E-Mail-Adresse und Passwort passen nicht zusammen" in answer.text
    missing = await client.http.get("/no/such/page", headers=GERMAN)
    assert missing.status_code == 404
    assert "Seite nicht gefunden" in missing.text


async def test_each_language_has_its_own_rendering_in_the_page_cache(site: Site) -> None:
    german = await site.get("/", **GERMAN)
    english = await site.get("/", **GERMAN, Cookie="language=en")
    site.asked()
    assert (await site.get("/", **GERMAN)).text == german.text
    assert (await site.get("/de/")).text != english.text
    again = await site.get("/", **GERMAN, Cookie="language=en")
    assert again.text == english.text
    assert '<html lang="en"' in english.text
    assert '<html lang="de"' in german.text
    assert german.headers["etag"] != english.headers["etag"]


async def test_a_signed_in_user_gets_a_shared_page_with_the_masthead_in_the_language(site: Site) -> None:
    _, token = site.market.user("ann@example.com")
    site.client.sign_in_as(token)
    assert "Sign out" in (await site.get("/")).text
    german = (await site.get("/", **GERMAN)).text
    assert "Abmelden" in german
    assert "Sign out" not in german


async def test_the_account_page_stores_the_language_of_emails_and_of_the_browser(
    client: PageClient, buyer: User, market: Market
) -> None:
    saved = await client.submit("/account/language", language="de")
    assert saved.headers["location"] == "/account?language"
    assert market.languages == {buyer.id: "de"}
    page = (await client.get("/account?language")).text
    assert "Ihre Sprache wurde gespeichert." in page
    assert '<html lang="de"' in page


async def test_no_language_but_ours_is_stored(client: PageClient, buyer: User, market: Market) -> None:
    answer = await client.submit("/account/language", language="xx; Domain=evil.example")
    assert answer.headers["location"] == "/account"
    assert "set-cookie" not in answer.headers
    assert market.languages == {}


async def test_whoever_signs_up_gets_emails_in_the_language_of_the_page(
    client: PageClient, market: Market
) -> None:
    await client.http.post(
        "/signup", data={"email": "neu@example.com", "password": "correct horse battery"}, headers=GERMAN
    )
    assert list(market.languages.values()) == ["de"]


@pytest.mark.parametrize("path", ["/", "/signin", "/signup", "/account/forgot", "/developers"])
async def test_no_text_of_a_page_bypasses_the_catalogue(
    client: PageClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """In the pseudo-locale, each translated text is in brackets."""
    monkeypatch.setattr(texts, "translations", lambda _code: PseudoLocale())
    page = (await client.http.get(path, headers={"Cookie": "language=en"})).text
    main = re.sub(r"<(script|style|pre|code)\b.*?</\1>", " ", page.partition("<main")[2], flags=re.DOTALL)
    assert "[" in main
    headings = {text.strip() for text in re.findall(r"<h[12][^>]*>\s*([^<]+)", main)}
    assert [text for text in headings - {"", TITLE_OF_AN_ARTICLE} if not text.startswith("[")] == []
