"""Which display names claim to be the marketplace or its staff."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.names import STAFF, reject_reserved
from services.auth.rules import ConfusingName, ReservedName

SITE = "https://tickets.rivoli.co.uk"


def is_refused(name: str, site: str = SITE) -> bool:
    try:
        reject_reserved(name, site)
    except (ReservedName, ConfusingName):
        return True
    return False


@pytest.mark.parametrize(
    "name",
    [
        *("Stagedoor", "Stagedoor Support", "stage door", "The Stagedoor Team", "St@gedoor", "5tagedoor"),
        *("Support", "SUPPORT", "Support Team", "Customer Support", "supports", "Support 24", "Support24"),
        *("Admin", "admins", "Ad min", "A d m i n", "A.d.m.i.n", "a-d-m-i-n team", "The_Admin", "AdminTeam"),
        *(
            "4dm1n",
            "Adm!n",
            "Adrnin",
            "Admin!",
            "$upport",
            "Administrator",
            "Moderator",
            "M0derator",
            "Helpdesk",
        ),
        *("Customer Service", "Staff", "Operator", "Official", "Security", "System", "Root"),
        *("Àdmín", "Ａｄｍｉｎ", "𝐀𝐝𝐦𝐢𝐧", "ⓐⓓⓜⓘⓝ", "🅰🅳🅼🅸🅽", "🇦🇩🇲🇮🇳", "ᴀᴅᴍɪɴ", "adm\u0131n", "Ⓢupport"),
        *("Аdmin", "Suppоrt", "аԁміп", "ѕυρροrt", "Stаgedoor", "Modеrаtor"),
        *("Rivoli", "rivoli tickets", "R i v o l i"),
    ],
)
def test_a_name_that_claims_to_be_the_marketplace_or_its_staff_is_refused(name: str) -> None:
    assert is_refused(name)


@pytest.mark.parametrize(
    "name",
    [
        *("Ann L.", "Badminton Bob", "Jürgen Müller", "José", "Øystein", "Łukasz", "İpek", "O'Brien", "X Æ"),
        *("Stage Manager", "Dora the Door", "The Operator", "Team Rocket", "Pat Staffordshire", "Tickets4U"),
        *(
            "Supporter of Ann",
            "Minister Ada",
            "Анна",
            "Ольга К.",
            "Ελένη",
            "Անի",
            "안나",
            "山田 Anna",
            "أحمد",
            "דנה",
        ),
        *("Anna Иванова", "Ann 🎭", "🎟️", "1999", "R2D2", "Ми", "DJ Ω", "Tickets", "Ada & Ben", "नमस्ते"),
    ],
)
def test_other_names_are_accepted(name: str) -> None:
    assert not is_refused(name)


def test_removing_the_name_is_accepted() -> None:
    reject_reserved(None, SITE)


@pytest.mark.parametrize("site", ["http://localhost:3500", "http://127.0.0.1:3500", "https://x.io"])
def test_an_address_without_a_name_reserves_nothing(site: str) -> None:
    assert not is_refused("Local Host", site)
    assert not is_refused("127 0", site)
    assert not is_refused("X Io", site)


def test_a_word_that_mixes_alphabets_is_refused_and_words_of_different_alphabets_are_not() -> None:
    with pytest.raises(ConfusingName):
        reject_reserved("Аnn", SITE)  # the first letter is Cyrillic
    reject_reserved("Ann Анна", SITE)


LOOKALIKES = {
    "a": "aAàÄａ𝒂ⓐ🅰@4ᴀα",
    "d": "dDďＤ𝖉ⓓ🅳ᴅđ",
    "e": "eEéＥ𝐞ⓔ🅴3ᴇε",
    "i": "iIíＩ𝓲ⓘ🅸1!lıɪ",
    "m": "mMｍ𝕞ⓜ🅼ᴍ",
    "n": "nNñｎ𝔫ⓝ🅽ɴ",
    "o": "oOöｏ𝑜ⓞ🅾0øᴏ",
    "p": "pPｐ𝘱ⓟ🅿ᴘ",
    "r": "rRřｒ𝗋ⓡ🆁ʀ",
    "s": "sSšｓ𝚜ⓢ🆂5$",
    "t": "tTťｔ𝓉ⓣ🆃7ᴛ",
    "u": "uUüｕ𝖚ⓤ🆄ᴜ",
    "g": "gGğｇ𝐠ⓖ🅶ɡ",
}


@st.composite
def disguised(draw: st.DrawFn) -> str:
    """A reserved word in lookalike letters, with accents and separators, alone or beside other words."""
    word = draw(st.sampled_from(["stagedoor", "support", "admin", "moderator"]))
    separator = draw(st.sampled_from(["", " ", ".", "-", "_", "·", " - "]))
    letters = [
        draw(st.sampled_from(LOOKALIKES[letter])) + draw(st.sampled_from(["", "", "\u0301"]))
        for letter in word
    ]
    before, after = draw(st.sampled_from(["", "Ann ", "The "])), draw(st.sampled_from(["", " Team", " 24"]))
    return unicodedata.normalize("NFC", before + separator.join(letters) + after)


@given(disguised())
def test_a_reserved_word_is_refused_in_whatever_letters(name: str) -> None:
    assert is_refused(name)


@given(st.text(max_size=50))
def test_every_text_is_accepted_or_refused_with_a_reason(name: str) -> None:
    is_refused(name)


@given(st.text(alphabet="bcfhjkwxyz ", max_size=50))
def test_a_name_without_the_letters_of_any_reserved_word_is_accepted(name: str) -> None:
    assert not any(set(word) <= set("bcfhjkwxyz") for word in STAFF)
    assert not is_refused(name)
