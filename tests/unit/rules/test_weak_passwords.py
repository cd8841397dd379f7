import pytest

from services.auth.rules import WeakPassword
from services.auth.weak_passwords import COMMON, LIKE_EMAIL, LIKE_SITE, reject_weak, weakness

ANN = "ann.lee+tickets@example.com"


@pytest.mark.parametrize(
    "password",
    [
        "correct horse",
        "see you at the show",
        "xkcd-936-rocks",
        "q7G#kd92",
        "my aunt ann likes jazz",
        "1234567\u00e9",
        "\u043a\u043e\u0440\u043e\u0432\u0430 \u0438 \u043b\u0443\u043d\u0430",
        "\U0001f3b7\U0001f3ba\U0001f941\U0001f3b8\U0001f3bb\U0001f3b9\U0001f3a4\U0001f3a7",
    ],
)
def test_an_unusual_password_is_accepted_whatever_characters_it_consists_of(password: str) -> None:
    assert weakness(password, ANN) is None


@pytest.mark.parametrize(
    "password",
    [
        *("password", "PassWord", "12345678", "qwertyuiop", "iloveyou", "i love you", "football", "Michelle"),
        *("password1", "password2026!", "!!password", "P@ssw0rd!1", "p-a-s-s-w-o-r-d", "Summer2026"),
        *("passwordpassword", "abc123abc123", "aaaaaaaa", "11111112", "abababab", "xyzxyzxyz"),
        *("abcdefgh", "stuvwxyz", "87654321", "hgfedcba", "\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7\u03b8"),
    ],
)
def test_a_common_password_or_a_simple_variation_of_one_is_weak(password: str) -> None:
    assert weakness(password, ANN) == COMMON


@pytest.mark.parametrize(
    "password",
    [
        *("ann.lee+tickets@example.com", "ANN.LEE+tickets@Example.com", "annlee+tickets", "Ann.Lee1985"),
        *("annlee12345678901234567890", "!ann.lee!", "ann.lee@example.com"),
    ],
)
def test_a_password_like_the_email_address_is_weak(password: str) -> None:
    assert weakness(password, ANN) == LIKE_EMAIL


def test_a_password_like_an_email_address_with_digits_is_weak() -> None:
    assert weakness("bob1985!", "bob1985@example.com") == LIKE_EMAIL
    assert weakness("19851985", "19851985@example.com") == LIKE_EMAIL


def test_a_short_local_part_does_not_make_other_passwords_weak() -> None:
    assert weakness("a93746151", "a@example.com") is None


@pytest.mark.parametrize("password", ["stagedoor", "Stage Door 2026", "st@ged00r!", "stagedoorstagedoor"])
def test_the_name_of_the_site_is_weak(password: str) -> None:
    assert weakness(password, ANN) == LIKE_SITE


def test_the_error_names_the_field() -> None:
    with pytest.raises(WeakPassword) as error:
        reject_weak("password", ANN, field="newPassword")
    assert (error.value.field, error.value.detail) == ("newPassword", COMMON)
