"""The keys of files in this process, and the key that hashes codes."""

import logging
from collections.abc import Sequence

from pymongo.errors import DuplicateKeyError

from services.tickets.files.documents import FileKey, SealedFile
from services.tickets.files.sealing import FileKeyLost, Keys, WrappedKey, fingerprint, new_data_key

log = logging.getLogger(__name__)

CODES = "codes"
"""The id of the key that hashes codes."""

REWRAPPED_AT_ONCE = 200


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
            await self._rewrap_in(FileKey, old_id)
            await self._rewrap_in(SealedFile, old_id)

    async def _rewrap_in(self, kind: type[FileKey | SealedFile], old_id: str) -> None:
        stored = kind.get_pymongo_collection()
        fields = {"key_id": 1, "wrapped": 1}
        found = await stored.find({"key_id": old_id}, fields, limit=REWRAPPED_AT_ONCE).to_list()
        for each in found:
            data_key = self.keys.unwrap(WrappedKey(each["key_id"], each["wrapped"]), each["_id"])
            wrapped = self.keys.wrap(data_key, each["_id"])
            # The guard keeps a process with an older key from replacing what another one has wrapped.
            await stored.update_one(
                {"_id": each["_id"], "key_id": old_id},
                {"$set": {"key_id": wrapped.key_id, "wrapped": wrapped.sealed}},
            )
