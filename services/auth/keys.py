"""The key that session tokens are signed with."""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

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
        pem = _stored(settings.data_dir / "auth" / "session-key.pem")
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("SESSION_PRIVATE_KEY is encrypted; give it without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("SESSION_PRIVATE_KEY is no Ed25519 key")
    return key


def _stored(path: Path) -> bytes:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        # Written whole under another name, mode 0600, and linked: of two copies that start at once one
        # wins, and no crash leaves half a key.
        with NamedTemporaryFile(dir=path.parent) as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(file.name, path)
    return path.read_bytes()
