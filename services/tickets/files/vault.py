"""The keys of files in this process, and the key that hashes codes."""

import logging
from collections.abc import Sequence

from pymongo.errors import DuplicateKeyError

from kit.rewrapping import rewrap
from kit.sealing import FileKeyLost, Keys, WrappedKey, fingerprint, new_data_key
from services.tickets.files.documents import FileKey, SealedFile

log = logging.getLogger(__name__)

CODES = "codes"
"""The id of the key that hashes codes."""


class Vault:
    """Opens files with `TICKET_FILE_KEY` and the key before."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self.keys = Keys(secrets)
        self._hash_key: bytes | None = None

    async def fingerprint(self, what: str, content: bytes) -> str:
        """The keyed hash of a code or of a file.

        Raises:
            FileKeyLost: codes were hashed with a key that is lost. None is hashed with another one, because
                then a code could be listed twice.
        """
        return fingerprint(await self._key_of_hashes(), what, content)

    async def check(self) -> None:
        """Report a lost key, and wrap the data keys with the current key that the one before wraps."""
        try:
            await self._key_of_hashes()
        except FileKeyLost:
            log.error(
                "TICKET_FILE_KEY isn't the key of the stored files: set that key, or set it as "
                "PREVIOUS_TICKET_FILE_KEY. Until then files can be neither uploaded nor read"
            )
            return
        await self._rewrap()

    async def _key_of_hashes(self) -> bytes:
        if self._hash_key is None:
            self._hash_key = await self._stored_key()
        return self._hash_key

    async def _stored_key(self) -> bytes:
        """The key that is stored, or a new one that is stored if there is none."""
        keys = FileKey.get_pymongo_collection()
        for _ in range(2):
            found = await keys.find_one({"_id": CODES})
            if found is not None:
                return self.keys.unwrap(WrappedKey(found["key_id"], found["wrapped"]), CODES)
            made = self.keys.wrap(new_data_key(), CODES)
            try:
                await keys.insert_one({"_id": CODES, "key_id": made.key_id, "wrapped": made.sealed})
            except DuplicateKeyError:  # another process was faster
                continue
        found = await keys.find_one({"_id": CODES})
        if found is None:
            raise FileKeyLost
        return self.keys.unwrap(WrappedKey(found["key_id"], found["wrapped"]), CODES)

    async def _rewrap(self) -> None:
        """Wrap what the previous key wraps with the current key, so that the previous one can be removed."""
        for secret in self.keys.secrets[1:]:
            old_id = Keys([secret]).current_id
            for kind in (FileKey, SealedFile):
                await rewrap(self.keys, kind.get_pymongo_collection(), old_id)
