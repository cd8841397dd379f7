"""Encrypts files, each with a data key of its own, which `TICKET_FILE_KEY` wraps.

AES-256-GCM everywhere. A data key encrypts the chunks of one file only, so that the index of a chunk is a
nonce that never repeats. Each chunk is authenticated together with its file, its index and the number of
chunks: none can be exchanged, moved or cut off. A random nonce wraps the data key.
"""

import hmac
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kit.errors import Unavailable

CHUNK_BYTES = 255 * 1024
"""Bytes of a file in one chunk. With the tag and its names, a stored chunk has less than 256 KiB."""

_NONCE_BYTES = 12


class FileKeyLost(Unavailable):
    """No key of this process opens the file. Operators have to set the lost key; nothing is replaced."""

    message = "The file can't be opened, because the marketplace misses the key for it. It isn't deleted"


class FileDamaged(Unavailable):
    """A chunk is missing, or isn't what was stored."""

    message = "The file can't be read at the moment"


@dataclass(frozen=True)
class WrappedKey:
    """A data key, which only the key with this id opens."""

    key_id: str
    sealed: bytes


@dataclass(frozen=True)
class Keys:
    """The key that wraps data keys, and after it the one before while it is replaced."""

    secrets: Sequence[str]

    @property
    def current_id(self) -> str:
        """The id of the key that wraps new data keys."""
        return _id_of(self.secrets[0])

    def wrap(self, data_key: bytes, of: str) -> WrappedKey:
        """Wrap the data key of a file."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return WrappedKey(
            self.current_id, nonce + _cipher(self.secrets[0]).encrypt(nonce, data_key, of.encode())
        )

    def unwrap(self, wrapped: WrappedKey, of: str) -> bytes:
        """The data key of a file.

        Raises:
            FileKeyLost: another key wrapped it.
        """
        for secret in self.secrets:
            if _id_of(secret) == wrapped.key_id:
                nonce, sealed = wrapped.sealed[:_NONCE_BYTES], wrapped.sealed[_NONCE_BYTES:]
                try:
                    return _cipher(secret).decrypt(nonce, sealed, of.encode())
                except InvalidTag as error:
                    raise FileKeyLost from error
        raise FileKeyLost


def new_data_key() -> bytes:
    return AESGCM.generate_key(256)


def count_chunks(size: int) -> int:
    """How many chunks a file of this size has."""
    return max(1, -(-size // CHUNK_BYTES))


def seal(content: bytes, data_key: bytes, file_id: str) -> Iterator[bytes]:
    """The encrypted chunks of a file, in order."""
    cipher, count = AESGCM(data_key), count_chunks(len(content))
    for index in range(count):
        chunk = content[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        yield cipher.encrypt(_nonce(index), chunk, _context(file_id, index, count))


def unseal(chunks: Iterable[bytes], data_key: bytes, file_id: str, size: int) -> bytes:
    """The content of a file.

    Raises:
        FileDamaged: chunks are missing, exchanged or changed.
    """
    cipher, count = AESGCM(data_key), count_chunks(size)
    try:
        content = b"".join(
            cipher.decrypt(_nonce(index), chunk, _context(file_id, index, count))
            for index, chunk in enumerate(chunks)
        )
    except InvalidTag as error:
        raise FileDamaged from error
    if len(content) != size:
        raise FileDamaged
    return content


def fingerprint(key: bytes, what: str, content: bytes) -> str:
    """A keyed hash, which reveals nothing of the content to who doesn't have the key.

    Args:
        what: the kind of the content. Equal contents of different kinds have different hashes.
    """
    return hmac.new(key, what.encode() + b"\0" + content, sha256).hexdigest()


def _nonce(index: int) -> bytes:
    return index.to_bytes(_NONCE_BYTES)


def _context(file_id: str, index: int, count: int) -> bytes:
    return f"{file_id}/{index}/{count}".encode()


def _cipher(secret: str) -> AESGCM:
    return AESGCM(_derived(secret, b"wrapping the keys of ticket files"))


def _id_of(secret: str) -> str:
    return _derived(secret, b"id of the key of ticket files").hex()[:16]


def _derived(secret: str, purpose: bytes) -> bytes:
    return hmac.new(secret.encode(), purpose, sha256).digest()
