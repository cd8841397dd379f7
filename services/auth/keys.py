"""The key that session tokens are signed with."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from settings import Settings


def private_key(settings: Settings) -> Ed25519PrivateKey:
    """The key given by SESSION_PRIVATE_KEY, or the one in the data folder, made on first use.

    Raises:
        ValueError: what is there is no Ed25519 private key in PEM.
    """
    if settings.session_private_key is not None:
        pem = settings.session_private_key.get_secret_value().replace("\\n", "\n").encode()
    else:
        pem = settings.kept("auth/session-key.pem", _new_key).encode()
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("SESSION_PRIVATE_KEY is encrypted; give it without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("SESSION_PRIVATE_KEY is no Ed25519 key")
    return key


def _new_key() -> str:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()
