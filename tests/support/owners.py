"""A fake of the HTTP client with which a service asks the owner of an entity."""

from contracts.wire import Wire
from kit.errors import NotFound
from kit.owners import Owner, W


class FakeOwner(Owner):
    """Knows the entities that a test adds to `known`, by path."""

    def __init__(self, url: str = "") -> None:
        super().__init__(url)
        self.known: dict[str, Wire] = {}
        self.asked: list[tuple[str, str | None]] = []
        """The path and the session token of each request."""

    async def get(self, path: str, kind: type[W], *, session: str | None = None) -> W:
        self.asked.append((path, session))
        if path not in self.known:
            raise NotFound
        return kind.model_validate_json(self.known[path].to_json())
