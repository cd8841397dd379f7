"""Secrets that operators may set. A secret that isn't set is generated once and stored in the data folder."""

import hmac
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydantic import SecretStr

from kit.redaction import learn
from settings import SERVICES, Settings

MIN_LENGTH = 32

OPERATOR = "provision"
"""The user of NATS for operators, who may do anything."""

DEVELOPER = "developer"
"""The user of NATS for developers, who may only receive live events."""

NATS_USERS = (*SERVICES, "web", DEVELOPER, OPERATOR)
"""The users in deploy/nats/users.conf."""


def operator_token(settings: Settings) -> str:
    """The bearer token of operators."""
    return _given(settings.operator_token) or stored_secret(settings.data_dir / "operator-token")


def accepted_operator_tokens(settings: Settings) -> list[str]:
    """The bearer token of operators, and the one before while it is replaced."""
    return _with_previous(operator_token(settings), settings.previous_operator_token)


def internal_secret(settings: Settings) -> str:
    """The key with which web signs the addresses of clients for the services."""
    return _given(settings.internal_secret) or stored_secret(settings.data_dir / "internal-secret")


def accepted_internal_secrets(settings: Settings) -> list[str]:
    """The internal secret, and the one before while it is replaced."""
    return _with_previous(internal_secret(settings), settings.previous_internal_secret)


def derived_keys(settings: Settings, purpose: bytes) -> list[bytes]:
    """The key for this purpose, and the one before while the internal secret is replaced."""
    accepted = accepted_internal_secrets(settings)
    return [hmac.new(secret.encode(), purpose, sha256).digest() for secret in accepted]


def mail_token(settings: Settings) -> str:
    """The bearer token with which mail asks auth for addresses and one-time links. Only the two know it."""
    return _given(settings.mail_token) or stored_secret(settings.data_dir / "mail-token")


def ticket_file_keys(settings: Settings) -> list[str]:
    """The key that wraps the keys of uploaded files, and the one before while it is replaced."""
    key = _given(settings.ticket_file_key) or stored_secret(settings.data_dir / "ticket-file-key")
    return _with_previous(key, settings.previous_ticket_file_key)


def internal_token(settings: Settings) -> str:
    """The bearer token with which web passes on to mail what visitors choose."""
    return _token_of(internal_secret(settings))


def accepted_internal_tokens(settings: Settings) -> list[str]:
    """The bearer tokens of web, derived from each accepted internal secret."""
    return [_token_of(secret) for secret in accepted_internal_secrets(settings)]


def _token_of(secret: str) -> str:
    return hmac.new(secret.encode(), b"requests between services", sha256).hexdigest()


def webhook_secret(settings: Settings) -> str | None:
    """The key that signs webhooks. If it is None, all webhooks are rejected, as anybody could sign them."""
    if settings.stripe_webhook_secret is None and settings.uses_stripe_sandbox:
        return stored_secret(settings.data_dir / "stripe" / "webhook-secret")
    return _given(settings.stripe_webhook_secret)


def accepted_webhook_secrets(settings: Settings) -> list[str]:
    """The key that signs webhooks, and the one before while it is replaced. It may be empty: see above."""
    return _with_previous(webhook_secret(settings), settings.previous_stripe_webhook_secret)


def accepted_payouts_webhook_secrets(settings: Settings) -> list[str]:
    """The keys that sign the webhooks of payouts: its own one, or else that of payments."""
    own = _with_previous(
        _given(settings.stripe_payouts_webhook_secret), settings.previous_stripe_payouts_webhook_secret
    )
    return own or accepted_webhook_secrets(settings)


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

    From then on, the process's logs don't contain the secret.

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
    learn(secret)
    return secret


def _with_previous(current: str | None, previous: SecretStr | None) -> list[str]:
    return [secret for secret in (current, _given(previous)) if secret]


def _given(setting: SecretStr | None) -> str | None:
    return setting.get_secret_value() if setting is not None else None
