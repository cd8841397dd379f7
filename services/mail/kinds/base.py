"""What every kind of message has in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from contracts import guarantees
from contracts.events import Event
from kit.texts import _
from settings import Settings

E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=BaseModel)


@dataclass(frozen=True)
class Notice(Generic[F]):
    """One thing that one person has to be told."""

    cause: str
    recipient: str
    """The user's id."""
    happened_at: datetime
    facts: F
    """What the message will say. It is stored until the message is sent, so it contains no address."""


@dataclass(frozen=True)
class Site:
    """The marketplace that sends the messages."""

    url: str
    currency: str
    delivery_hours: float
    payout_hours: float

    @classmethod
    def of(cls, settings: Settings) -> "Site":
        return cls(settings.site, settings.currency, settings.delivery_hours, settings.payout_hours)

    @property
    def numbers(self) -> Mapping[str, str]:
        """The numbers in the statements of contracts/guarantees.py, in the current language."""
        return guarantees.numbers(self.delivery_hours, self.payout_hours, _)

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]


@dataclass(frozen=True)
class Attachment:
    name: str
    content_type: str
    text: str


@dataclass(frozen=True)
class Button:
    label: str
    url: str


@dataclass(frozen=True)
class Content:
    """What a message says, in the recipient's language. The same content becomes its text and its HTML.

    Texts of people appear in `subject` and in the values of `details` only. There, their direction can't
    change the text around them.
    """

    subject: str
    heading: str
    lead: str
    """The first sentence, which mail programs also show in the list of messages."""
    details: Sequence[tuple[str, str]] = ()
    """Names and values."""
    steps: Sequence[str] = ()
    """What to do next."""
    button: Button | None = None
    notes: Sequence[str] = ()
    """Sentences after the button."""
    reason: str = ""
    """Why the recipient gets this message."""
    attachments: Sequence[Attachment] = ()


class Kind(Generic[E, F]):
    """A kind of message. `KINDS` lists an instance of each."""

    name: ClassVar[str]
    """Part of the key of each message, so it never changes."""
    events: ClassVar[tuple[type[Event], ...]]
    """The events that may cause such messages. A subject that no kind had before needs a subscriber."""
    facts: type[F]
    needs_link: ClassVar[bool] = False
    """Whether the message contains a one-time link, whose id is the cause."""
    is_optional: ClassVar[bool] = False
    """Whether the recipient may choose not to get such messages (RFC 8058). `MAIL_DAILY_LIMIT` limits each
    of these kinds."""
    is_limited: ClassVar[bool] = False
    """Whether a person gets only `rules.MAX_ALIKE` such messages in `rules.WINDOW`. Somebody could otherwise
    sign up with the address of others and flood their mailbox."""

    def notice(self, event: E) -> Notice[F] | None:
        """Whom the event concerns, or None if nobody has to be told."""
        raise NotImplementedError

    def content(self, facts: F, site: Site, url: str) -> Content:
        """What the message says.

        Args:
            url: the address of the one-time link, or of the site if `needs_link` isn't set.
        """
        raise NotImplementedError

    def example(self) -> E:
        """An event that causes such a message, for previews and tests."""
        raise NotImplementedError


AnyKind = Kind[Any, Any]
