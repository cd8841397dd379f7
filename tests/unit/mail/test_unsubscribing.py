from pathlib import Path

import pytest

from services.mail.unsubscribing import Choice, Tokens
from settings import Settings

CHOICE = Choice("65f0c0ffee0000000000000f", "new-device")
SECRET, NEXT = "s" * 32, "n" * 32


def tokens(folder: Path, secret: str = SECRET, previous: str | None = None) -> Tokens:
    given = {"data_dir": folder, "internal_secret": secret, "previous_internal_secret": previous}
    return Tokens(Settings.model_validate(given))


def test_a_token_names_the_user_and_the_kind(tmp_path: Path) -> None:
    assert tokens(tmp_path).read(tokens(tmp_path).make(CHOICE)) == CHOICE


def test_a_token_is_valid_while_the_secret_is_replaced(tmp_path: Path) -> None:
    token = tokens(tmp_path).make(CHOICE)
    assert tokens(tmp_path, NEXT, previous=SECRET).read(token) == CHOICE
    assert tokens(tmp_path, NEXT).read(token) is None


@pytest.mark.parametrize("position", [0, 23, 25, 36, -1])
def test_a_changed_token_is_not_valid(position: int, tmp_path: Path) -> None:
    token = list(tokens(tmp_path).make(CHOICE))
    token[position] = "b" if token[position] == "a" else "a"
    assert tokens(tmp_path).read("".join(token)) is None


@pytest.mark.parametrize("wrong", ["", ".", "a.b.c", "65f0c0ffee0000000000000f.new-device.", "é" * 60])
def test_a_text_that_is_no_token_is_not_valid(wrong: str, tmp_path: Path) -> None:
    assert tokens(tmp_path).read(wrong) is None
