"""Secrets that operators may set. A secret that isn't set is generated once and stored in the data folder."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydantic import SecretStr

from settings import SERVICES, Settings

MIN_LENGTH = 32

OPERATOR = "provision"
"""The user of NATS for operators, who may do anything."""

NATS_USERS = (*SERVICES, "web", OPERATOR)
"""The users in deploy/nats/users.conf."""


def operator_token(settings: Settings) -> str:
    """The bearer token of operators."""
    return _given(settings.operator_token) or stored_secret(settings.data_dir / "operator-token")


def internal_secret(settings: Settings) -> str:
    """The key with which web signs the addresses of clients for the services."""
    return _given(settings.internal_secret) or stored_secret(settings.data_dir / "internal-secret")


def webhook_secret(settings: Settings) -> str | None:
    """The key that signs webhooks. If it is None, all webhooks are rejected, as anybody could sign them."""
    if settings.stripe_webhook_secret is None and settings.uses_stripe_sandbox:
        return stored_secret(settings.data_dir / "stripe" / "webhook-secret")
    return _given(settings.stripe_webhook_secret)


def nats_password(settings: Settings, user: str) -> str:
    """A user's password for the embedded NATS server."""
    return stored_secret(settings.data_dir / "nats-users" / user)


def nats_servers(settings: Settings, user: str) -> list[str]:
    """The URLs of the NATS servers, with the user's password for the embedded one."""
    if settings.nats_url is not None:
        return settings.bus
    return [f"nats://{user}:{nats_password(settings, user)}@127.0.0.1:{settings.nats_port}"]


def stored_secret(path: Path, generate: Callable[[], str] = lambda: secrets.token_hex(32)) -> str:
    """Read the secret in the file `path`. If there is no file, generate one that only its owner can read.

    Processes that start at the same time use the same secret: the first to link its complete file wins.

    Raises:
        ValueError: the file is too short for a secret.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with NamedTemporaryFile("w", dir=path.parent) as draft:  # created with mode 0600
            draft.write(generate())
            draft.flush()
            os.fsync(draft.fileno())
            with suppress(FileExistsError):
                os.link(draft.name, path)
    secret = path.read_text()
    if len(secret) < MIN_LENGTH:
        raise ValueError(f"{path} is too short for a secret: remove it, and a new one is made")
    return secret


def _given(setting: SecretStr | None) -> str | None:
    return setting.get_secret_value() if setting is not None else None
