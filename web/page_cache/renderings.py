"""Renderings of pages that are the same for everyone, apart from who is signed in."""

import hashlib
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cached_property

from web.live.changes import Topic
from web.page_cache.segments import Segment, gzipped, joined

Headers = list[tuple[bytes, bytes]]

SLOT_BEGINS, SLOT_ENDS = b"<!--viewer-->", b"<!--/viewer-->"
"""Markers around the part of a page that shows who is signed in."""

SHARING = "sharing"
"""The key in a request's state under which a page declares its `Sharing`."""

FOR_MEMBERS = "for_members"
"""The key in a request's state that tells the app to render for users who are signed in, whoever they are."""

CATALOGUE: Topic = ("ticket", "*")
"""The topic of lists, which any ticket may change."""

PUBLIC = b"no-cache"
"""A browser asks each time whether its page is current, since live updates fetch what has just changed."""
PUBLIC_FOR_CDN = b"max-age=%d, stale-while-revalidate=%d"
"""The value of CDN-Cache-Control (RFC 9213), which browsers ignore. They would show stale pages otherwise."""
MAX_SHARED_SECONDS = 600.0
"""How long a page is shared at most. Dates more than 180 days ahead are shown with their year."""

CDN_SECONDS, CDN_STALE_SECONDS = 2, 10
"""How long a content delivery network may serve a page without asking, and how much longer while it asks."""

PERSONAL = b"private, no-store"
REMEMBERED = b"private, no-cache"
"""The value for a shared page that was chosen by a cookie of the browser, or sets one."""
VARY = b"Accept-Encoding, Accept-Language, Cookie, Authorization"


@dataclass(frozen=True)
class Sharing:
    """What a page declares about its content, so that it can be shared."""

    topics: frozenset[Topic]
    """The topics whose events change the content. Apart from these events, only the time changes it."""
    position: int
    """The sequence number up to which the content reflects all events of the stream."""
    seconds: float
    """How long the content stays the same if there are no events."""
    differs_for: Set[str] | None = frozenset()
    """Ids of the users who see more than others. None if any signed-in user may be one of them."""
    version: int | None = None
    """The version of the ticket, if the content is its card."""
    has_slot: bool = False
    """Whether the content shows who is signed in, between the markers. Other content may contain anything."""

    def is_same_for(self, user_id: str) -> bool:
        return self.differs_for is not None and user_id not in self.differs_for


_REPLACED = frozenset(
    {b"content-length", b"cache-control", b"vary", b"etag", b"last-modified", b"date", b"server"}
)
"""Headers of the app's response that a stored response doesn't keep."""


class Rendering:
    """A response that is the same for everyone who isn't signed in."""

    def __init__(self, content: bytes, headers: Sequence[tuple[bytes, bytes]], sharing: Sharing) -> None:
        self.sharing = sharing
        before, anonymous, after = _split(content) if sharing.has_slot else (content, b"", b"")
        self._before, self._anonymous, self._after = map(Segment, (before, anonymous, after))
        self._headers = [(name, value) for name, value in headers if name not in _REPLACED]
        self._headers.append((b"vary", VARY))
        self._partial: Segment | None = None
        self._tag = hashlib.blake2b(content, digest_size=12).hexdigest().encode()

    @property
    def size(self) -> int:
        """About how much memory it takes, in bytes."""
        return 2 * len(self._before.content + self._after.content) + 4_000

    def partial(self, target: str) -> Segment:
        """All of it as a part of another response, with which htmx replaces the element with this selector.

        A rendering has only one target.
        """
        if self._partial is None:
            self._partial = partial_for(target, joined(self._segments(self._anonymous)))
        return self._partial

    @cached_property
    def gzip(self) -> "Body":
        return self._public(gzipped(self._segments(self._anonymous)), [(b"content-encoding", b"gzip")])

    @cached_property
    def identity(self) -> "Body":
        return self._public(joined(self._segments(self._anonymous)), [])

    def _public(self, content: bytes, headers: Headers) -> "Body":
        caching = [
            (b"cache-control", PUBLIC),
            (b"cdn-cache-control", PUBLIC_FOR_CDN % (CDN_SECONDS, CDN_STALE_SECONDS)),
        ]
        return Body(content, self._tag, [*self._headers, *headers, *caching])

    def personal(self, viewer: Segment, *, is_gzip: bool) -> "Body":
        """The response for a signed-in user, with this segment in the slot if there is one."""
        segments = self._segments(viewer if self.sharing.has_slot else self._anonymous)
        encoding = [(b"content-encoding", b"gzip")] if is_gzip else []
        content = gzipped(segments) if is_gzip else joined(segments)
        return Body(content, None, [*self._headers, *encoding, (b"cache-control", PERSONAL)])

    def _segments(self, viewer: Segment) -> Sequence[Segment]:
        return (self._before, viewer, self._after)


def partial_for(target: str, content: bytes) -> Segment:
    """A part of a response with which htmx replaces the element with this selector."""
    begins = f'<hx-partial hx-target="{target}" hx-swap="outerMorph">'.encode()
    return Segment(begins + content + b"</hx-partial>")


def _split(page: bytes) -> tuple[bytes, bytes, bytes]:
    """The parts of a page before, in and after its slot."""
    before, _, rest = page.partition(SLOT_BEGINS)
    slot, _, after = rest.partition(SLOT_ENDS)
    return before, slot, after


def for_one_browser(headers: Headers) -> Headers:
    """The headers of a shared page that others don't get at the same address. No network may keep it."""
    kept = [(name, value) for name, value in headers if name != b"cdn-cache-control"]
    shared = (b"cache-control", PUBLIC)
    return [(b"cache-control", REMEMBERED) if each == shared else each for each in kept]


class Body:
    """The bytes and headers of a response."""

    def __init__(self, content: bytes, tag: bytes | None, headers: Headers) -> None:
        self.content = content
        self.tag = tag
        tags = [] if tag is None else [(b"etag", b'W/"' + tag + b'"')]
        self._kept = [*headers, *tags]
        self.headers = [*self._kept, (b"content-length", str(len(content)).encode())]

    @cached_property
    def headers_of_not_modified(self) -> Headers:
        dropped = {b"content-encoding", b"content-type"}
        return [(name, value) for name, value in self._kept if name not in dropped]

    def is_known_to(self, if_none_match: bytes) -> bool:
        """Whether the client has these bytes (RFC 9110, section 13.1.2). Tags are compared weakly."""
        return self.tag is not None and (self.tag in if_none_match or if_none_match == b"*")
