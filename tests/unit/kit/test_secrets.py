import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from kit.redaction import Redaction
from kit.secrets import internal_secret, nats_password, operator_token, stored_secret, webhook_secret
from services.auth.keys import private_key
from settings import Settings


def configured(data_dir: Path, **given: Any) -> Settings:
    return Settings(_env_file=None, data_dir=data_dir, **given)


def test_an_unset_secret_is_generated_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    first = stored_secret(tmp_path / "web" / "secret")
    assert len(first) >= 32
    assert stored_secret(tmp_path / "web" / "secret") == first
    assert stored_secret(tmp_path / "web" / "other") != first
    assert stat.S_IMODE((tmp_path / "web" / "secret").stat().st_mode) == 0o600


def test_logs_do_not_contain_a_secret_that_is_generated_or_read_after_logging_began(tmp_path: Path) -> None:
    redaction = Redaction()
    assert redaction.text("the first line") == "the first line"
    generated = stored_secret(tmp_path / "operator-token")
    (tmp_path / "internal-secret").write_text("swordfish" * 4 + "\n")
    settings = configured(tmp_path)
    for secret in (generated, internal_secret(settings).strip(), nats_password(settings, "orders")):
        assert redaction.text(f"refused {secret}!") == "refused [secret]!"


def test_logs_do_not_contain_the_lines_of_a_generated_key(tmp_path: Path) -> None:
    private_key(configured(tmp_path))
    begin, content, *_ = (tmp_path / "auth" / "session-key.pem").read_text().splitlines()
    assert Redaction().text(f"{begin}\n{content}\n") == f"{begin}\n[secret]\n"


@pytest.mark.parametrize("content", ["", "short"])
def test_a_stored_secret_that_is_too_short_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "operator-token").write_text(content)
    with pytest.raises(ValueError, match="too short for a secret"):
        operator_token(configured(tmp_path))


def test_configured_secrets_are_used_and_not_stored(tmp_path: Path) -> None:
    given = SecretStr("x" * 32)
    settings = configured(tmp_path, operator_token=given, stripe_webhook_secret=given)
    assert {operator_token(settings), webhook_secret(settings)} == {"x" * 32}
    assert list(tmp_path.iterdir()) == []


def test_unset_secrets_differ_from_each_other(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    assert len({operator_token(settings), webhook_secret(settings)}) == 2


def test_processes_with_one_data_directory_agree_on_an_unset_webhook_secret(tmp_path: Path) -> None:
    assert webhook_secret(configured(tmp_path)) == webhook_secret(configured(tmp_path))


def test_no_webhook_secret_is_generated_without_the_sandbox(tmp_path: Path) -> None:
    assert webhook_secret(configured(tmp_path, stripe_api_base="http://stripe.test")) is None
    assert list(tmp_path.iterdir()) == []
