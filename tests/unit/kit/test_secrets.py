import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from kit.secrets import operator_token, stored_secret, webhook_secret
from settings import Settings


def configured(data_dir: Path, **given: Any) -> Settings:
    return Settings(_env_file=None, data_dir=data_dir, **given)


def test_an_unset_secret_is_generated_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    first = stored_secret(tmp_path / "web" / "secret")
    assert len(first) >= 32
    assert stored_secret(tmp_path / "web" / "secret") == first
    assert stored_secret(tmp_path / "web" / "other") != first
    assert stat.S_IMODE((tmp_path / "web" / "secret").stat().st_mode) == 0o600


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
