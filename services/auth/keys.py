"""The private key that signs session tokens, and further public keys that verify them."""

import re
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from kit.secrets import stored_secret
from settings import Settings

_PEM = re.compile(r"-----BEGIN .*?-----END [^-]*-----", re.DOTALL)


def private_key(settings: Settings) -> Ed25519PrivateKey:
    """The key from SESSION_PRIVATE_KEY, or else from the data folder, where it is generated on first use.

    Raises:
        ValueError: the key isn't an Ed25519 private key in PEM.
    """
    if settings.session_private_key is not None:
        pem = settings.session_private_key.get_secret_value().replace("\\n", "\n").encode()
    else:
        pem = stored_secret(settings.data_dir / "auth" / "session-key.pem", _new_key).encode()
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("SESSION_PRIVATE_KEY is encrypted; it must be set without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("SESSION_PRIVATE_KEY is no Ed25519 key")
    return key


def verification_keys(settings: Settings) -> Sequence[Ed25519PublicKey]:
    """The keys in SESSION_VERIFICATION_KEYS.

    Raises:
        ValueError: they aren't all Ed25519 public keys in PEM.
    """
    text = (settings.session_verification_keys or "").replace("\\n", "\n")
    if _PEM.sub("", text).strip():
        raise ValueError("SESSION_VERIFICATION_KEYS contains something else than public keys in PEM")
    return [_public_key(pem) for pem in _PEM.findall(text)]


def _public_key(pem: str) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError:
        raise ValueError("SESSION_VERIFICATION_KEYS contains something else than public keys") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("SESSION_VERIFICATION_KEYS contains a key that is no Ed25519 key")
    return key


def _new_key() -> str:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()
